"""Which key and model is called next, for how long, and what follows from a failure.

The path of a failed call, for example of HTTP 429:

1. A provider's client (`gemini/client.py`) maps its error to a ModelCallError with a FailureKind (429 is EXHAUSTED) and
   the server's RetryInfo or Retry-After in seconds.
2. `KeySelector._record_failure` opens breakers in `key_breaker.py`: EXHAUSTED this key at this model, KEY_REFUSED this
   key at every model, NO_SUCH_MODEL this model for every key, FAILED after three in a row, a failed probe or a
   server's hint. A breaker cools down for the server's time, else for COOL_DOWN_SECONDS of the kind, twice as long
   after each failed probe. REQUEST_REFUSED and TOO_LONG open none: the request goes to the next model. If all find it
   too long, `analyst.py` shortens it.
3. `KeySelector._next_key_and_model` takes the next free key of the model, then the next model. If all cool down it
   waits for the first one. If that takes more than MAX_PAUSE_SECONDS or passes the deadline, it raises TransientError
   at once.
4. `analyst.py` (AIAnalyst) raises NoVerdictError with what the calls cost. `LEADSTREAM_GEMINI_DEADLINE_SECONDS`
   limits all calls of one analysis together.
5. `analysis/resilient.py` (ResilientAnalyst) returns the verdict of the fallback scorer, `source: fallback`.
6. `queue/analysis_pool.py` puts the conversation into the AI retry queue (`shared/store/ai_retry_queue.py`) and asks
   the AI again after `LEADSTREAM_AI_AGAIN_SECONDS`, doubling with each failure.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from services.analyzer.analysis.ai.key_breaker import KeyBreaker
from services.analyzer.analysis.ai.response import UnusableAnswerError
from services.analyzer.analysis.ai.transport import (
    FailureKind,
    ModelAnswer,
    ModelCallError,
    ModelRequest,
    ModelTransport,
)
from services.analyzer.analysis.analyst import AnalysisCost
from shared.contract.failures import TransientError

MAX_PAUSE_SECONDS = 2.0
"""The longest pause between two calls for one request, also while every key cools down. It is about as long as a call:
conversations are analysed as fast while the AI is away as while it answers."""
MAX_UNUSABLE_ANSWERS = 2
"""Per request and model: at temperature 0 a model repeats its answer."""

Result = TypeVar("Result")
Call = Callable[[str, str, float], Awaitable[Result]]
"""Takes the key, the model and the seconds that are left."""

log = structlog.get_logger()


class RequestTooLongError(TransientError):
    """The same request in fewer words may be answered."""


@dataclass(slots=True)
class AnalysisAttempt:
    """The deadline of one analysis, and the cost of its calls so far."""

    ends_at: float
    retries: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def cost(self) -> AnalysisCost:
        return AnalysisCost(self.retries, self.input_tokens, self.output_tokens)

    def add_tokens(self, answer: ModelAnswer) -> None:
        self.input_tokens = _sum(self.input_tokens, answer.input_tokens)
        self.output_tokens = _sum(self.output_tokens, answer.output_tokens)


@dataclass(slots=True)
class _RequestState:
    """One request until it is answered. `unusable` counts answers by model."""

    attempt: AnalysisAttempt
    unusable: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    too_long: bool = False


class KeySelector:
    """Takes models in order of preference and, of a model's keys, the least recently used. One per process."""

    def __init__(
        self,
        transport: ModelTransport,
        keys: Sequence[str],
        models: Sequence[str],
        requests_per_minute: int,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transport = transport
        self._keys = tuple(keys)
        self._models = tuple(models)
        self._breakers = {(key, model): KeyBreaker(requests_per_minute) for model in models for key in keys}
        self._monotonic = monotonic
        self._sleep = sleep

    def start_attempt(self, seconds: float) -> AnalysisAttempt:
        return AnalysisAttempt(self._monotonic() + seconds)

    async def generate(
        self, request: ModelRequest, attempt: AnalysisAttempt, read: Callable[[ModelAnswer], Result]
    ) -> Result:
        """Return what `read` makes of an answer. TransientError when no usable answer comes in time.

        RequestTooLongError when no model is left and the request was too long for one of them.
        """

        async def call(key: str, model: str, seconds: float) -> Result:
            answer = await self._transport.generate(key, model, request, seconds)
            attempt.add_tokens(answer)
            if answer.refused:
                raise ModelCallError(FailureKind.REQUEST_REFUSED, "no answer to this content")
            return read(answer)

        return await self._call_until_answered(_RequestState(attempt), call)

    async def count_tokens(self, request: ModelRequest, attempt: AnalysisAttempt) -> int:
        """Return the tokens of the request. TransientError when no model counts them in time."""

        async def call(key: str, model: str, seconds: float) -> int:
            return await self._transport.count_tokens(key, model, request, seconds)

        return await self._call_until_answered(_RequestState(attempt), call)

    async def _call_until_answered(self, state: _RequestState, call: Call[Result]) -> Result:
        while True:
            key, model = await self._next_key_and_model(state)
            breaker, now = self._breakers[key, model], self._monotonic()
            breaker.start_call(now)
            try:
                result = await call(key, model, state.attempt.ends_at - now)
            except UnusableAnswerError as error:
                breaker.record_success(self._monotonic())
                state.unusable[model] += 1
                reason = str(error)
            except ModelCallError as error:
                self._record_failure(key, model, error, state)
                reason = str(error)
            except BaseException:
                breaker.record_abandoned()
                raise
            else:
                breaker.record_success(self._monotonic())
                return result
            state.attempt.retries += 1
            log.info("ai_gave_nothing", model=model, key_number=self._keys.index(key), reason=reason)

    def _record_failure(self, key: str, model: str, error: ModelCallError, state: _RequestState) -> None:
        now, kind = self._monotonic(), error.kind
        pairs = [(key, model)]
        if kind in {FailureKind.REQUEST_REFUSED, FailureKind.TOO_LONG}:
            state.too_long |= kind is FailureKind.TOO_LONG
            state.unusable[model] = MAX_UNUSABLE_ANSWERS
            self._breakers[key, model].record_success(now)
            return
        if kind is FailureKind.NO_SUCH_MODEL:
            pairs = [(each, model) for each in self._keys]
        elif kind is FailureKind.KEY_REFUSED:
            pairs = [(key, each) for each in self._models]
        elif kind is FailureKind.FAILED:
            state.failures += 1
        for pair in pairs:
            self._breakers[pair].record_failure(now, kind, error.retry_after_seconds)

    async def _next_key_and_model(self, state: _RequestState) -> tuple[str, str]:
        """Return the key and model to call now, after a pause if the last call failed or no key is free."""
        pause = _back_off_seconds(state.failures)
        gives_up_at = min(self._monotonic() + MAX_PAUSE_SECONDS, state.attempt.ends_at)
        while True:
            now = self._monotonic()
            waits = {pair: self._breakers[pair].seconds_until_free(now) for pair in self._usable_pairs(state)}
            soonest = min(waits, key=lambda pair: waits[pair], default=None)
            if soonest is None:
                if state.too_long:
                    raise RequestTooLongError("the request is too long for the AI")
                raise TransientError("the AI gives no usable answer")
            pause = max(pause, waits[soonest])
            if now + pause >= gives_up_at:
                raise TransientError("every key of the AI cools down, or there is no time left")
            if not pause:
                return soonest
            await self._sleep(pause)
            pause = 0.0

    def _usable_pairs(self, state: _RequestState) -> Iterator[tuple[str, str]]:
        """Yield models in their order and keys by last use, so that `min` takes the first of equal waits."""
        for model in self._models:
            if state.unusable[model] < MAX_UNUSABLE_ANSWERS:
                keys = sorted(self._keys, key=lambda key: self._breakers[key, model].last_call_at)
                yield from ((key, model) for key in keys)


def _back_off_seconds(failures: int) -> float:
    """Return the pause after so many failures of one request, with jitter so that requests do not retry together."""
    return random.uniform(0.2, 1) * float(min(MAX_PAUSE_SECONDS, 0.5 * 2**failures)) if failures else 0.0  # noqa: S311


def _sum(known: int | None, more: int | None) -> int | None:
    return known if more is None else (known or 0) + more
