"""Conversations read by Gemini. The only module that imports Google's client, past its makers' support (ADR 0001)."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from google.ai import generativelanguage as glm
from google.api_core import exceptions as google_errors
from google.api_core.client_options import ClientOptions
from google.protobuf.json_format import ParseError

from services.analyzer.analyst import Brief
from services.analyzer.answer import Answer, UnusableAnswerError, read_answer
from services.analyzer.prompt import MAX_TRANSCRIPT_CHARACTERS, SCHEMA, SYSTEM, user_prompt
from shared.contacts import Verdict
from shared.failures import TransientError

COOL_DOWN_SECONDS = 60.0
"""How long a key rests for a model after a 429 that does not say how long."""
ABSENT_SECONDS = 3600.0
"""How long a model that is not there is not asked for: models are withdrawn, and sometimes come back."""
UNUSABLE_ANSWERS = 2
"""So many of one model for one conversation are enough: at temperature 0 it will not say anything else."""

log = structlog.get_logger()

Ask = Callable[[str, str, str, float], Answer]
"""(key, model, prompt, timeout in seconds) → the answer. Blocking; google's errors pass through."""


@dataclass(slots=True)
class _Reading:
    """One conversation being read: until when, and what was tried for it."""

    brief: Brief
    prompt: str
    ends_at: float
    tries: int = 0
    unusable: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class GeminiAnalyst:
    """Tries the models in their order with every key that is not resting, until the deadline.

    A key that is refused is not used again before the next start. Waiting here holds up no other conversation.
    """

    keys: Sequence[str] = field(repr=False)
    models: Sequence[str]
    endpoint: str
    deadline_seconds: float
    ask: Ask | None = None
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _resting: dict[tuple[str, str], float] = field(default_factory=dict, repr=False)
    _refused: set[str] = field(default_factory=set, repr=False)

    async def analyse(self, brief: Brief) -> Verdict:
        """TransientError when no verdict could be had before the deadline, or the transcript is longer than is read."""
        reading = _Reading(brief, user_prompt(brief), self.monotonic() + self.deadline_seconds)
        if len(reading.prompt) > MAX_TRANSCRIPT_CHARACTERS:
            raise TransientError("the conversation is longer than the models read at once")
        while True:
            for key, model in self._usable(reading):
                if self.monotonic() >= reading.ends_at:
                    raise TransientError(f"no verdict from Gemini within {self.deadline_seconds:g} s")
                verdict = await self._try(key, model, reading)
                if verdict:
                    return verdict
                reading.tries += 1
            pause = self._pause(reading)
            if self.monotonic() + pause >= reading.ends_at:
                raise TransientError(f"no verdict from Gemini after {reading.tries} tries")
            await self.sleep(pause)

    async def _try(self, key: str, model: str, reading: _Reading) -> Verdict | None:
        """None when this key and model gave nothing; what follows from it for the next try is remembered."""
        try:
            left = reading.ends_at - self.monotonic()
            answer = await asyncio.to_thread(self.ask or self._ask, key, model, reading.prompt, left)
            return read_answer(answer, reading.brief, reading.tries)
        except google_errors.TooManyRequests as error:
            self._resting[key, model] = self.monotonic() + (_retry_after(error) or COOL_DOWN_SECONDS)
            reason = "exhausted"
        except google_errors.NotFound:
            self._resting |= {(each, model): self.monotonic() + ABSENT_SECONDS for each in self.keys}
            reason = "no_such_model"
        except google_errors.ClientError as error:
            if not _is_about_the_key(error):
                raise TransientError(f"Gemini does not take this conversation: {type(error).__name__}") from None
            self._refused.add(key)
            reason = "key_refused"
        except UnusableAnswerError as error:
            reading.unusable[model] += 1
            reason = str(error)
        except (google_errors.GoogleAPIError, OSError) as error:
            reason = type(error).__name__
        log.info("gemini_gave_nothing", model=model, key_number=list(self.keys).index(key), reason=reason)
        return None

    def _living(self, reading: _Reading) -> Iterator[tuple[str, str]]:
        """Model by model, with every key. Looks anew at each step, as a try may end a key or a model."""
        for model in self.models:
            for key in self.keys:
                if key not in self._refused and reading.unusable[model] < UNUSABLE_ANSWERS:
                    yield key, model

    def _usable(self, reading: _Reading) -> Iterator[tuple[str, str]]:
        return (pair for pair in self._living(reading) if self._resting.get(pair, 0) <= self.monotonic())

    def _pause(self, reading: _Reading) -> float:
        """Until the first key is rested where all are; else a little, with jitter. For ever where none is left."""
        rested = min((self._resting.get(pair, 0) for pair in self._living(reading)), default=float("inf"))
        jitter = random.uniform(0.2, 1) * float(min(5.0, 0.5 * 2 ** min(reading.tries, 4)))  # noqa: S311
        return max(rested - self.monotonic(), jitter)

    def _ask(self, key: str, model: str, prompt: str, timeout_seconds: float) -> Answer:
        """One call by REST, with this key alone: the library's global configuration is left untouched."""
        options = ClientOptions(api_key=key, api_endpoint=self.endpoint or None)
        with glm.GenerativeServiceClient(transport="rest", client_options=options) as client:
            try:
                response = client.generate_content(_request(model, prompt), timeout=timeout_seconds, retry=None)
            except (ParseError, AttributeError):  # the latter is how the library meets an error that is no object
                raise UnusableAnswerError("what came is not an answer of this API") from None
        return _read(response, model)


def _request(model: str, prompt: str) -> Any:
    """JSON mode with a response schema, temperature 0 (ai.google.dev/api/generate-content)."""
    return glm.GenerateContentRequest(
        model=f"models/{model}",
        system_instruction=glm.Content(parts=[glm.Part(text=SYSTEM)]),
        contents=[glm.Content(role="user", parts=[glm.Part(text=prompt)])],
        generation_config=glm.GenerationConfig(
            temperature=0, response_mime_type="application/json", response_schema=glm.Schema(_schema(SCHEMA))
        ),
    )


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The library's spelling of a schema."""
    made = {("type_" if key == "type" else key): value for key, value in schema.items()}
    if "properties" in made:
        made["properties"] = {name: _schema(value) for name, value in made["properties"].items()}
    return made


def _read(response: Any, model: str) -> Answer:
    """UnusableAnswerError for a blocked or empty answer."""
    if not response.candidates:
        raise UnusableAnswerError("the answer was blocked or is empty")
    text = "".join(part.text for part in response.candidates[0].content.parts)
    usage = response.usage_metadata
    return Answer(text, model, usage.prompt_token_count or None, usage.candidates_token_count or None)


def _is_about_the_key(error: google_errors.GoogleAPICallError) -> bool:
    """Also a 400 may be: `API_KEY_INVALID` (ai.google.dev/gemini-api/docs/troubleshooting)."""
    reasons = {detail.get("reason") for detail in _details(error)}
    return error.code in (401, 403) or "API_KEY_INVALID" in reasons or "API key not valid" in str(error.message)


def _retry_after(error: google_errors.GoogleAPICallError) -> float | None:
    """Seconds that the server asks to wait (`RetryInfo` of google.rpc: `"retryDelay": "7s"`), if it does."""
    for detail in _details(error):
        number = str(detail.get("retryDelay", "")).removesuffix("s")
        if number.replace(".", "", 1).isdecimal():
            return float(number)
    return None


def _details(error: google_errors.GoogleAPICallError) -> list[dict[str, Any]]:
    """Over REST the library hands them on as the JSON that they came as."""
    return [detail for detail in error.details if isinstance(detail, dict)]
