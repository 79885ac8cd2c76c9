"""An account's own model: how the shipped one is shifted by what its people correct. Pure."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ModelKind(StrEnum):
    CALIBRATION = "calibration"
    """One number for each band and status."""
    WEIGHTS = "weights"
    """That, and one for each feature and each of them."""


class AccountModel(BaseModel):
    """Numbers to add to the shipped model's: `bias` by output, and a row by output for each feature in `weights`.

    Feature names are the code's own words, so nothing of what a customer wrote is in it.
    """

    model_config = ConfigDict(frozen=True)

    account: str = Field(description="`platform:account_id`")
    number: int = Field(ge=1, description="1, 2, 3 … in the order of training")
    kind: ModelKind
    base: str = Field(description="name of the shipped model that it shifts")
    edition: str = Field(description="hash of that model's weights: it fits no others")
    made_at: datetime
    labels: int = Field(description="how many it was fitted on")
    result: str = Field(description="what the held-back labels said of it")
    bias: tuple[float, ...]
    features: tuple[str, ...] = ()
    weights: tuple[tuple[float, ...], ...] = Field(default=(), description="a row for each of `features`")

    @model_validator(mode="after")
    def _one_row_a_feature(self) -> Self:
        if len(self.features) != len(self.weights) or any(len(row) != len(self.bias) for row in self.weights):
            raise ValueError("there is not one number for each feature and output")
        return self
