"""What the Graph API answers when it refuses, by the names that tests ask for it.

Codes and texts: developers.facebook.com/docs/graph-api/guides/error-handling and
.../docs/messenger-platform/error-codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class RefusedError(Exception):
    """An error body and its HTTP status."""

    code: int
    message: str
    subcode: int | None = None
    status: int = 400
    type: str = "OAuthException"
    is_transient: bool = False

    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {
            "message": self.message,
            "type": self.type,
            "code": self.code,
            "fbtrace_id": "AbCdEfGhIjK",
        }
        if self.subcode:
            error["error_subcode"] = self.subcode
        if self.is_transient:
            error["is_transient"] = True
        return {"error": error}


REDUCE = "Please reduce the amount of data you're asking for, then retry your request"
NAMED: dict[str, RefusedError] = {
    "unknown": RefusedError(1, "An unknown error occurred", status=500),
    "reduce_data": RefusedError(1, REDUCE, status=500),
    "reduce_data_transient": RefusedError(1, REDUCE, 99, is_transient=True),
    "transient": RefusedError(2, "(#2) Service temporarily unavailable", is_transient=True),
    "rate_app": RefusedError(4, "(#4) Application request limit reached", is_transient=True),
    "rate_user": RefusedError(17, "(#17) User request limit reached", 2446079, is_transient=True),
    "rate_page": RefusedError(32, "(#32) Page request limit reached"),
    "rate_messenger": RefusedError(80006, "(#80006) There have been too many calls to this messenger account."),
    "rate_instagram": RefusedError(80002, "(#80002) There have been too many calls to this Instagram account."),
    "abuse": RefusedError(613, "(#613) Calls to this api have exceeded the rate limit.", 2018338),
    "capability": RefusedError(3, "(#3) Application does not have the capability to make this API call."),
    "permission": RefusedError(200, "(#200) Requires pages_messaging permission to manage the object", status=403),
    "gone": RefusedError(
        100, "The thread owner has archived or deleted this conversation, or the thread does not exist", 2534001
    ),
    "missing": RefusedError(100, "Unsupported get request. Object does not exist.", 33, type="GraphMethodException"),
    "token_expired": RefusedError(190, "Error validating access token: Session has expired.", 463, status=401),
    "token_invalid": RefusedError(190, "Invalid OAuth access token.", status=401),
    "no_token": RefusedError(2500, "An active access token must be used to query information about the current user."),
    "no_proof": RefusedError(
        100, "API calls from the server require an appsecret_proof argument", type="GraphMethodException"
    ),
    "bad_proof": RefusedError(100, "Invalid appsecret_proof provided in the API argument", type="GraphMethodException"),
    "no_version": RefusedError(2500, "Unknown path components"),
    "ids_removed": RefusedError(100, "The ids query parameter is deprecated in v26.0+", status=500),
    "no_time_paging": RefusedError(100, "(#100) Time-based pagination is not available for the conversations endpoint"),
    "bad_cursor": RefusedError(100, "(#100) Invalid cursors values", type="OAuthException"),
    "bad_limit": RefusedError(100, "(#100) Param limit must be a positive integer"),
    "bad_platform": RefusedError(100, "(#100) Param platform must be one of {INSTAGRAM, MESSENGER}"),
    "message_deleted": RefusedError(100, "The message has been deleted.", 2534025),
}


def unknown_field(field: str) -> RefusedError:
    return RefusedError(100, f"(#100) Tried accessing nonexisting field ({field})")
