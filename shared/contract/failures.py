"""The three kinds of failure. Whatever is neither of these crashes the process, for its supervisor to restart. Pure."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an input can never work: the closed list that stands on a dead letter."""

    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    UNKNOWN_OBJECT = "unknown_object"
    UNKNOWN_KIND = "unknown_kind"
    MALFORMED = "malformed"
    NO_ACCOUNT = "no_account"
    NO_CUSTOMER = "no_customer"
    NO_MESSAGE_ID = "no_message_id"
    BAD_ID = "bad_id"
    BAD_TIME = "bad_time"
    NOT_AN_EVENT = "not_an_event"


class RejectedError(Exception):
    """This input can never work: it goes to the DLQ with its reason."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class TransientError(Exception):
    """Transient: back off with jitter and try again; hold the offset meanwhile."""


class UnreachableError(Exception):
    """A server that is needed to start could not be reached: exit status 3."""


class WrongKeysError(ValueError):
    """LEADSTREAM_ENCRYPTION_KEYS is empty, malformed, or lacks the key of a stored token: exit status 2.

    The message names the setting and contains nothing of a key.
    """
