"""What went wrong, from the status and body of an OpenAI-compatible response. Pure.

Bodies differ: OpenAI has {"error": {"message", "type", "param", "code"}} (platform.openai.com/docs/guides/error-codes);
vLLM the same or the inner object alone, with the status as `code` (github.com/vllm-project/vllm/issues/20409);
llama.cpp `exceed_context_size_error` as `type` (github.com/ggml-org/llama.cpp/pull/15780), at times under another HTTP
status (github.com/oobabooga/textgen/issues/7257); LM Studio {"error": "text"}
(github.com/willmiao/ComfyUI-Lora-Manager/issues/1033); OpenRouter an error under HTTP 200, with a status as `code`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from services.analyzer.analysis.ai.transport import FailureKind, ModelCallError

TOO_LONG = re.compile(
    r"context[ _](length|size|window)|maximum model length|too many tokens|(prompt|input) is too long|"
    r"max_tokens must be at least|maximum number of tokens"
)
"""The last two are what vLLM (github.com/vllm-project/vllm/issues/4667) and Gemini say."""
CONTENT = re.compile(r"content_filter|content_policy|content management policy|moderation")
WRONG_KEY = re.compile(r"(invalid|incorrect)[ _]api[ _]key|api[ _]key (is )?(not valid|invalid)")
FORMAT = re.compile(r"response[_ ]format|json[_ ](schema|object)|structured output|schema|grammar")
CODE = re.compile(r"[a-zA-Z0-9_.-]{1,60}")
TEMPORARY = frozenset({408, 409, 425, 499})
NOT_SUPPORTED = frozenset({400, 415, 422, 500, 501})
"""Statuses under which a server refuses a parameter that it does not know."""


class Parameter(StrEnum):
    """A parameter that servers and models refuse, and that a request can do without."""

    RESPONSE_FORMAT = "response_format"
    TEMPERATURE = "temperature"


def is_failure(status: int, body: object) -> bool:
    return status != 200 or (isinstance(body, dict) and bool(body.get("error")))


def call_error(status: int, headers: Mapping[str, str], body: object, now: datetime) -> ModelCallError:
    """Return the error. Its detail has status and code only: a message may quote the key or the conversation."""
    said = _error(body)
    status = _status(status, said)
    code = next((name for name in (str(said.get("code") or ""), str(said.get("type"))) if CODE.fullmatch(name)), "")
    return ModelCallError(_kind(status, _text(said)), f"HTTP {status} {code}".rstrip(), _retry_after(headers, now))


def refused_parameter(status: int, body: object) -> Parameter | None:
    """Return the parameter that the server does not support, if that is why it refuses.

    Examples: "This response_format type is unavailable now" (github.com/caura-ai/caura/pull/1475), "'temperature' does
    not support 0 with this model" (github.com/johny-b/llmcomp/issues/69).
    """
    said = _error(body)
    text = _text(said)
    if _status(status, said) not in NOT_SUPPORTED or TOO_LONG.search(text):
        return None
    if "temperature" in text:
        return Parameter.TEMPERATURE
    return Parameter.RESPONSE_FORMAT if FORMAT.search(text) else None


def _kind(status: int, text: str) -> FailureKind:
    if status in {402, 429}:  # 402: no credit left
        return FailureKind.EXHAUSTED
    if CONTENT.search(text):
        return FailureKind.REQUEST_REFUSED
    if status in {401, 403} or (status == 400 and WRONG_KEY.search(text)):
        return FailureKind.KEY_REFUSED
    if status == 413 or TOO_LONG.search(text):
        return FailureKind.TOO_LONG
    if status == 404:
        return FailureKind.NO_SUCH_MODEL
    is_refused = 400 <= status < 500 and status not in TEMPORARY
    return FailureKind.REQUEST_REFUSED if is_refused else FailureKind.FAILED


def _error(body: object) -> dict[str, Any]:
    """Return the object that describes the error, with a bare text as its message."""
    said = body.get("error") or body if isinstance(body, dict) else body
    return said if isinstance(said, dict) else {"message": said}


def _status(status: int, said: Mapping[str, Any]) -> int:
    """Return the HTTP status, or the one in the body if HTTP reports success."""
    code = said.get("code")
    return status if status != 200 else code if isinstance(code, int) and 400 <= code < 600 else 500


def _text(said: Mapping[str, Any]) -> str:
    return " ".join(str(said.get(name) or "") for name in ("code", "type", "param", "message")).lower()


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds to wait: `retry-after-ms`, or `retry-after` in seconds or as a date.

    So reads OpenAI's own client (`_parse_retry_after_header` in github.com/openai/openai-python).
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        hint = headers.get(name, "")
        if hint.replace(".", "", 1).isdecimal():
            return float(hint) * unit
    try:
        return max(0.0, (parsedate_to_datetime(headers.get("retry-after", "")) - now).total_seconds())
    except (ValueError, TypeError):
        return None
