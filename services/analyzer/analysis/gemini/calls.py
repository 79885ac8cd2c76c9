"""One call of Gemini: what goes, what comes, and how it fails. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked, whichever model it is asked of. `schema` is the answer's, as the API spells it."""

    system: str
    prompt: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """`text` as the model gave it, empty where the answer was blocked, and what it cost."""

    text: str
    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None


class FailureKind(StrEnum):
    """Why a call gave no answer, by what follows from it."""

    EXHAUSTED = "exhausted"
    """The key's quota of this model is used up."""
    FAILED = "failed"
    """The server or the way to it: it may go well the next time."""
    NO_SUCH_MODEL = "no_such_model"
    KEY_REFUSED = "key_refused"
    REQUEST_REFUSED = "request_refused"
    """This model will never take this request."""


class CallError(Exception):
    """A call without an answer. `detail` is a word for the log and quotes nothing that was said."""

    def __init__(self, fault: FailureKind, detail: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(f"{fault}: {detail}" if detail else str(fault))
        self.fault = fault
        self.retry_after_seconds = retry_after_seconds


class Transport(Protocol):
    """Calls that end by themselves within `timeout_seconds`; CallError for all that goes wrong on the way."""

    async def generate(self, key: str, model: str, request: Request, timeout_seconds: float) -> Answer: ...

    async def count_tokens(self, key: str, model: str, request: Request, timeout_seconds: float) -> int:
        """Of the whole request, as this model counts."""
        ...
