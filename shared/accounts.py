"""A Facebook Page or an Instagram professional account that was added. Pure."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from shared.ids import Platform
from shared.pipelines import Mode


def account_key(platform: Platform, account_id: str) -> str:
    """An account's `_id`: `platform:account_id`."""
    return f"{platform}:{account_id}"


class Account(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    platform: Platform
    account_id: str = Field(description="Page id, or the Instagram professional account's id")
    page_id: str = Field(description="the Page whose edges and token serve it; for Messenger the account itself")
    name: str
    encrypted_token: str = Field(repr=False)
    pipeline: str | None = Field(default=None, description="name of the pipeline whose stages its contacts get")
    mode: Mode = Mode.SKIP_EXISTING
    every_seconds: int | None = Field(default=None, description="how often it is read by itself; None: when asked")

    @property
    def key(self) -> str:
        return account_key(self.platform, self.account_id)
