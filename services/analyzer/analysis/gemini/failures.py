"""What went wrong, from an error of the Gemini API: google.rpc.Status in JSON, as both libraries keep it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from services.analyzer.analysis.ai.transport import FailureKind, ModelCallError

REFUSALS = frozenset({"SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"})
"""The finish reasons that name the content (ai.google.dev/api/generate-content#FinishReason)."""
TEMPORARY = frozenset({408, 409, 499})


def call_error(
    status: int, name: str, message: str, details: object, headers: Mapping[str, str] | None
) -> ModelCallError:
    """Return the error. `name` is for the log; `details` are those of google.rpc.Status, if it is one."""
    known = [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
    kind = _kind(status, message, {detail.get("reason") for detail in known})
    return ModelCallError(kind, name, next(_retry_hints(known, headers or {}), None))


def _kind(status: int, message: str, reasons: set[Any]) -> FailureKind:
    """Map the status. A 400 may be about the key (ai.google.dev/gemini-api/docs/troubleshooting) or the length."""
    if status in {401, 403} or "API_KEY_INVALID" in reasons or "API key not valid" in message:
        return FailureKind.KEY_REFUSED
    if status in {404, 429}:
        return FailureKind.NO_SUCH_MODEL if status == 404 else FailureKind.EXHAUSTED
    if not 400 <= status < 500 or status in TEMPORARY:
        return FailureKind.FAILED
    is_too_long = "exceeds the maximum number of tokens" in message
    return FailureKind.TOO_LONG if is_too_long else FailureKind.REQUEST_REFUSED


def _retry_hints(details: list[dict[str, Any]], headers: Mapping[str, str]) -> Iterator[float]:
    """Yield the seconds that the server asks to wait: `RetryInfo` of google.rpc (`"retryDelay": "7s"`), or a header."""
    hints = [str(detail.get("retryDelay", "")).removesuffix("s") for detail in details]
    hints.append(headers.get("retry-after", ""))
    yield from (float(number) for number in hints if number.replace(".", "", 1).isdecimal())
