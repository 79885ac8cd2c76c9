"""An account: a Facebook Page or an Instagram professional account that was added. Pure."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field

from shared.contract.ids import Platform
from shared.domain.pipelines import Mode


def account_key(platform: Platform, account_id: str) -> str:
    """Return an account's `_id`: `platform:account_id`."""
    return f"{platform}:{account_id}"


UTC_NAME = "UTC"
UNIT_SECONDS = {"d": 86_400, "h": 3_600, "m": 60}


def parse_every(text: str) -> int:
    """Return the seconds of `30m`, `6h` or `1d`. ValueError for anything else."""
    match = re.fullmatch(r"([1-9]\d{0,4})([mhd])", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an interval: give minutes, hours or days as in 30m, 6h or 1d")
    return int(match[1]) * UNIT_SECONDS[match[2]]


def format_every(seconds: int) -> str:
    """Return the interval in the largest unit that divides it: the inverse of `parse_every`."""
    unit = next((unit for unit, length in UNIT_SECONDS.items() if seconds % length == 0), "m")
    return f"{seconds // UNIT_SECONDS[unit]}{unit}"


class Account(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    platform: Platform
    account_id: str = Field(description="Page id, or the Instagram professional account's id")
    page_id: str = Field(description="the Page whose edges and token are used; for Messenger the account itself")
    name: str
    encrypted_token: str = Field(repr=False)
    pipeline: str | None = Field(default=None, description="name of the pipeline of its contacts")
    mode: Mode = Mode.SKIP_EXISTING
    every_seconds: int | None = Field(default=None, description="interval of scheduled runs; None for none")
    timezone: str = Field(default=UTC_NAME, description="IANA name; the AI reads the conversation's times in it")

    @property
    def key(self) -> str:
        return account_key(self.platform, self.account_id)
