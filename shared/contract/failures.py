"""The expected kinds of failure. Any other error crashes the process, and its supervisor restarts it. Pure."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an input can never be processed: the closed list of reasons of dead letters."""

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
    TOO_LARGE = "too_large"
    ODD_PART = "odd_part"


class RejectedError(Exception):
    """This input can never be processed: it becomes a dead letter with this reason."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class TransientError(Exception):
    """The call may succeed later: retry it with jittered back-off and hold the offset meanwhile."""


EXIT_UNREACHABLE = 3


class UnreachableError(Exception):
    """A server that the process needs could not be reached: the process ends with `EXIT_UNREACHABLE`."""


class WrongSettingsError(ValueError):
    """A setting is missing or wrong: exit status 2. The message names the setting and contains nothing of a secret."""


class WrongKeysError(WrongSettingsError):
    """LEADSTREAM_ENCRYPTION_KEYS is empty, malformed, or lacks the key of a stored token."""
