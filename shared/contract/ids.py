"""Identities. The same fact has the same id, whoever reports it and however often. Pure."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import orjson


class Platform(StrEnum):
    MESSENGER = "messenger"
    INSTAGRAM = "instagram"


class ConversationKey(NamedTuple):
    """One customer of one account. `str()` of it is the Kafka key, the MongoDB `_id` and the contact's id."""

    platform: Platform
    account_id: str
    customer_id: str

    def __str__(self) -> str:
        return f"{self.platform}:{self.account_id}:{self.customer_id}"

    @classmethod
    def parse(cls, text: str) -> ConversationKey:
        """The inverse of `str()`. ValueError when `text` is not `platform:account:customer`."""
        parts = text.split(":")
        if len(parts) != 3 or not all(parts):
            raise ValueError(f"not a conversation key: {text!r}; expected platform:account:customer")
        return cls(Platform(parts[0]), parts[1], parts[2])


@lru_cache(16_384)
def is_usable_id(value: str) -> bool:
    """Whether an account's or customer's id can be part of a key: short, and free of the separator and of controls."""
    return 0 < len(value) <= 128 and ":" not in value and value.isprintable()


def message_id(platform: Platform, account_id: str, mid: str) -> str:
    """`platform:account_id:mid`, equal for a webhook's `message.mid` and the Graph API's `message.id`.

    Messenger's ids lose one leading `m_`: old Graph ids are `m_` + the webhook's mid, and a standby echo in
    Facebook's documentation has none where logs of real traffic always do (FACEBOOK.md §2.7).
    """
    if platform is Platform.MESSENGER:
        mid = mid.removeprefix("m_")
    return ":".join((platform, account_id, mid))  # half of the time that an enum takes in an f-string


def content_hash(value: object) -> str:
    """32 hex digits over the canonical JSON (sorted keys) of `value`: the id of what the platform gave none."""
    canonical = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.sha256(canonical).hexdigest()[:32]


def event_id(kind: str, *parts: object) -> str:
    """`kind:part:part…`. The kind belongs in it: one message may be said, edited, reacted to and unsent."""
    return ":".join((kind, *map(str, parts)))
