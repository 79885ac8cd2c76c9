"""The Graph API's refusals, by the names that tests use.

Codes and texts: developers.facebook.com/docs/graph-api/guides/error-handling and
.../docs/messenger-platform/error-codes. HTTP statuses are those in logs of the real service: limits have 400, the
removed `ids` has 500.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Refusal:
    code: int
    message: str
    subcode: int | None = None
    status: int = 400
    type: str = "OAuthException"
    is_transient: bool = False

    def body(self, trace_id: str) -> dict[str, Any]:
        error: dict[str, Any] = {"message": self.message, "type": self.type, "code": self.code}
        if self.subcode:
            error["error_subcode"] = self.subcode
        if self.is_transient:
            error["is_transient"] = True
        return {"error": {**error, "fbtrace_id": trace_id}}


class RefusedError(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def refused(name: str) -> RefusedError:
    return RefusedError(REFUSALS[name])


def refusal_named(text: str) -> Refusal:
    """Return a refusal by name, `code` or `code/subcode`; an unknown code gets a generic text. ValueError otherwise."""
    if text in REFUSALS:
        return REFUSALS[text]
    match = re.fullmatch(r"(\d+)(?:/(\d+))?", text)
    if match is None:
        raise ValueError(f"no refusal is called {text!r}; give a code, code/subcode or one of: {', '.join(REFUSALS)}")
    code, subcode = int(match[1]), int(match[2]) if match[2] else None
    known = (each for each in REFUSALS.values() if (each.code, each.subcode) == (code, subcode))
    return next(known, Refusal(code, f"(#{code}) An error occurred", subcode))


def unknown_field(field: str) -> RefusedError:
    return RefusedError(Refusal(100, f"(#100) Tried accessing nonexisting field ({field})"))


def _method(text: str, subcode: int | None = None) -> Refusal:
    return Refusal(100, text, subcode, type="GraphMethodException")


def _too_many(code: int, what: str) -> Refusal:
    text = f"(#{code}) There have been too many calls to this {what} account. Wait a bit and try again."
    return Refusal(code, text)


REDUCE_DATA_TEXT = "Please reduce the amount of data you're asking for, then retry your request"
MISSING_OBJECT_TEXT = (
    "Unsupported get request. Object with that ID does not exist, cannot be loaded due to missing permissions, or does "
    "not support this operation."
)
REFUSALS: dict[str, Refusal] = {
    "unknown": Refusal(1, "An unknown error occurred", status=500),
    "reduce_data": Refusal(1, REDUCE_DATA_TEXT, status=500),
    "reduce_data_transient": Refusal(1, REDUCE_DATA_TEXT, 99, is_transient=True),
    "transient": Refusal(2, "(#2) Service temporarily unavailable", is_transient=True),
    "capability": Refusal(3, "(#3) Application does not have the capability to make this API call."),
    "rate_app": Refusal(4, "(#4) Application request limit reached", is_transient=True),
    "rate_user": Refusal(17, "(#17) User request limit reached", 2446079, is_transient=True),
    "rate_page": Refusal(32, "(#32) Page request limit reached"),
    "rate_pages": _too_many(80001, "Page"),
    "rate_instagram": _too_many(80002, "Instagram"),
    "rate_messenger": _too_many(80006, "Messenger"),
    "rate_calls": Refusal(613, "(#613) Calls to this api have exceeded the rate limit.", 2534040),
    "abuse": Refusal(613, "(#613) Calls to this api have exceeded the rate limit.", 2018338),
    "permission": Refusal(200, "(#200) Requires pages_messaging permission to manage the object", status=403),
    "blocked": Refusal(368, "The action attempted has been deemed abusive or is otherwise disallowed"),
    "page_token_needed": Refusal(210, "(#210) A page access token is required to request this resource."),
    "bad_batch": Refusal(100, "(#100) param batch must be a JSON array of 1 to 50 requests"),
    "bad_subscribed_fields": Refusal(100, "(#100) Param subscribed_fields must be a list of known fields"),
    "missing": _method(MISSING_OBJECT_TEXT, 33),
    "unsupported_method": _method("Unsupported request method", 33),
    "gone": Refusal(
        100, "The thread owner has archived or deleted this conversation, or the thread does not exist", 2534001
    ),
    "user_gone": Refusal(100, "(#100) No matching user found", 2534014),
    "message_deleted": Refusal(100, "The message has been deleted.", 2534025),
    "token_removed": Refusal(190, "Error validating access token: The user has not authorized the application.", 458),
    "token_expired": Refusal(190, "Error validating access token: Session has expired.", 463, status=401),
    "token_invalid": Refusal(190, "Invalid OAuth access token - Cannot parse access token", status=401),
    "no_token": Refusal(2500, "An active access token must be used to query information about the current user."),
    "no_proof": _method("API calls from the server require an appsecret_proof argument"),
    "bad_proof": _method("Invalid appsecret_proof provided in the API argument"),
    "no_version": Refusal(2500, "Unknown path components"),
    "ids_removed": Refusal(100, "The ids query parameter is deprecated in v26.0+", status=500),
    "no_time_paging": Refusal(100, "(#100) Time-based pagination is not available for the conversations endpoint"),
    "bad_cursor": Refusal(100, "(#100) Invalid cursors values"),
    "bad_limit": Refusal(100, "(#100) Param limit must be a positive integer"),
    "bad_fields": Refusal(2500, "Syntax error in the fields parameter"),
    "bad_platform": Refusal(100, "(#100) Param platform must be one of {INSTAGRAM, MESSENGER}"),
}
