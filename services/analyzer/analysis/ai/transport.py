"""One call of a model: request, answer and kinds of failure. A client of a provider implements the transport. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A request for any model. `schema` describes the answer: a JSON Schema of objects, arrays and plain values, whose
    `properties` are in the order that the model writes them."""

    system: str
    prompt: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """The text of the model and its cost in tokens. With `refused`, it does not answer this content."""

    text: str
    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    refused: bool = False


class FailureKind(StrEnum):
    """Why a call gave no answer; `key_selector.py` decides what follows from each."""

    EXHAUSTED = "exhausted"
    """429: the key's quota of this model is used up."""
    FAILED = "failed"
    """The server or the network failed; the next call may succeed."""
    NO_SUCH_MODEL = "no_such_model"
    KEY_REFUSED = "key_refused"
    REQUEST_REFUSED = "request_refused"
    """This model never accepts this request."""
    TOO_LONG = "too_long"
    """The request is larger than the model's context."""


class ModelCallError(Exception):
    """A call without an answer. `detail` is for the log and quotes nothing of the conversation."""

    def __init__(self, kind: FailureKind, detail: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(f"{kind}: {detail}" if detail else str(kind))
        self.kind = kind
        self.retry_after_seconds = retry_after_seconds


class ModelTransport(Protocol):
    """Calls end within `timeout_seconds`. Every failure raises ModelCallError."""

    async def generate(self, key: str, model: str, request: ModelRequest, timeout_seconds: float) -> ModelAnswer: ...

    async def count_tokens(self, key: str, model: str, request: ModelRequest, timeout_seconds: float) -> int:
        """Return the tokens of the whole request as this model counts them."""
        ...
