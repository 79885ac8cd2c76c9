"""Classifying errors of the Graph API by code and subcode. Pure.

Sources: https://developers.facebook.com/docs/graph-api/guides/error-handling,
https://developers.facebook.com/docs/graph-api/overview/rate-limiting and
https://developers.facebook.com/docs/messenger-platform/error-codes. HTTP status and `type` are ignored if there is a
code: rate limits come as 400, and permanent errors as 500.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ErrorKind(StrEnum):
    TRANSIENT = "transient"  # retry
    THROTTLED = "throttled"  # wait, and make no call meanwhile
    REDUCE_DATA = "reduce_data"  # request fewer items
    TOKEN = "token"  # a person must connect the account again  # noqa: S105
    PERMISSION = "permission"  # a person must grant it
    CAPABILITY = "capability"  # the app may not do this
    GONE = "gone"  # this object does not exist any more; others do
    BLOCKED = "blocked"  # Facebook has blocked the user or app for a while
    ABUSE = "abuse"  # a warning: never retry
    BAD_REQUEST = "bad_request"  # our request is wrong


class Scope(StrEnum):
    """The budget that is exceeded when a call is throttled: all its calls must wait.

    A Page's own limit counts as ACCOUNT too: its Instagram account finds out by one refused call of its own.
    """

    APP = "app"
    USER = "user"
    ACCOUNT = "account"


FATAL = frozenset(
    {
        ErrorKind.TOKEN,
        ErrorKind.PERMISSION,
        ErrorKind.CAPABILITY,
        ErrorKind.BLOCKED,
        ErrorKind.ABUSE,
        ErrorKind.BAD_REQUEST,
    }
)
"""After one of these no other call for the same account can succeed."""
WARNINGS = frozenset({ErrorKind.BLOCKED, ErrorKind.ABUSE})
"""After one of these no call may be made until a person has looked into it: Facebook escalates if calls continue."""


@dataclass(frozen=True, slots=True)
class GraphError:
    """An error as a value. It quotes nothing of the platform's message, which may contain a token or a name.

    `retry_after_seconds` is the wait that the platform requests, if any; `scope` is set when `kind` is THROTTLED.
    """

    kind: ErrorKind
    code: int | None = None
    subcode: int | None = None
    status: int | None = None
    detail: str = ""
    scope: Scope | None = None
    retry_after_seconds: float | None = None

    def __str__(self) -> str:
        code = f" {self.code}" + (f"/{self.subcode}" if self.subcode else "") if self.code is not None else ""
        return f"{self.kind}{code}" + (f": {self.detail}" if self.detail else "")


_BY_SUBCODE = {
    (613, 2018338): ErrorKind.ABUSE,
    (100, 33): ErrorKind.GONE,
    (100, 2534001): ErrorKind.GONE,
    (100, 2534014): ErrorKind.GONE,
    (100, 2534025): ErrorKind.GONE,
    (1, 99): ErrorKind.REDUCE_DATA,
}
_THROTTLED = {
    **dict.fromkeys((4, 341), Scope.APP),
    17: Scope.USER,
    **dict.fromkeys((32, 613), Scope.ACCOUNT),
    **dict.fromkeys((80000, 80001, 80002, 80003, 80004, 80005, 80006, 80008, 80009, 80014), Scope.ACCOUNT),
}
_BY_CODE = {
    **dict.fromkeys(range(200, 300), ErrorKind.PERMISSION),
    2: ErrorKind.TRANSIENT,
    3: ErrorKind.CAPABILITY,
    10: ErrorKind.PERMISSION,
    100: ErrorKind.BAD_REQUEST,
    102: ErrorKind.TOKEN,
    190: ErrorKind.TOKEN,
    230: ErrorKind.GONE,
    368: ErrorKind.BLOCKED,
    2500: ErrorKind.TOKEN,
}
ADVICE = {
    ErrorKind.TOKEN: "connect the account again",
    ErrorKind.PERMISSION: "grant the app its permissions again",
    ErrorKind.CAPABILITY: "the app lacks this capability",
    ErrorKind.BLOCKED: "Facebook has blocked this for a while; wait before the next run",
    ErrorKind.GONE: "it was deleted, or the token may not see it",
    ErrorKind.ABUSE: "Facebook warns of abuse; find its cause before the next run",
    ErrorKind.BAD_REQUEST: "this version of the API does not know the request; check LEADSTREAM_GRAPH_VERSION",
}
TOKEN_ADVICE = {
    458: "the app was removed; connect the account again",
    459: "a person must log in to Facebook and pass its check point",
    460: "the password was changed; connect the account again",
    463: "the token has expired; connect the account again",
    464: "the user is not confirmed; log in to Facebook",
    467: "the token is no longer valid; connect the account again",
    492: "the user no longer has a role on the Page",
    493: "data access has ended after 90 days; connect the account again",
}


def classify(error: object, status: int, retry_after_seconds: float | None = None) -> GraphError:
    """Classify the `error` object of a body, or a body in the old form. An unknown code counts as transient."""
    if not isinstance(error, dict):
        return error_of_status(status, retry_after_seconds)
    code, subcode = _number(error.get("code")), _number(error.get("error_subcode"))
    kind = _kind(code, subcode, error)
    advice = ADVICE.get(kind, "")
    detail = TOKEN_ADVICE.get(subcode or 0, advice) if kind is ErrorKind.TOKEN else advice
    scope = _THROTTLED.get(code) if code is not None and kind is ErrorKind.THROTTLED else None
    return GraphError(kind, code, subcode, status, detail, scope, retry_after_seconds)


def error_of_status(status: int, retry_after_seconds: float | None = None) -> GraphError:
    """Return the error for a body that is not JSON or contains no error object."""
    detail = f"HTTP {status} without a readable error"
    return GraphError(ErrorKind.TRANSIENT, status=status, detail=detail, retry_after_seconds=retry_after_seconds)


def _kind(code: int | None, subcode: int | None, error: dict[str, Any]) -> ErrorKind:
    if code is None:
        return ErrorKind.TRANSIENT
    if known := _BY_SUBCODE.get((code, subcode or 0)):
        return known
    if code in _THROTTLED:
        return ErrorKind.THROTTLED
    if code == 1 and "reduce the amount of data" in str(error.get("message", "")).lower():
        return ErrorKind.REDUCE_DATA
    known = _BY_CODE.get(code, ErrorKind.TRANSIENT)
    is_open = known is ErrorKind.BAD_REQUEST and error.get("is_transient") is True
    return ErrorKind.TRANSIENT if is_open else known


def _number(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isdecimal() else None
