"""Which key and model is asked next, for how long, and what follows from a failure."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from services.analyzer.analysis.analyst import Spent
from services.analyzer.analysis.gemini.calls import Answer, CallError, FailureKind, Request, Transport
from services.analyzer.analysis.gemini.limits import KeyBreaker
from services.analyzer.analysis.gemini.response import UnusableAnswerError
from shared.contract.failures import TransientError

PATIENCE_SECONDS = 2.0
"""How long one question waits between two tries, also for a key that rests: about as long as a call takes, so that a
queue of conversations moves no slower while the AI rests than while it answers."""
UNUSABLE_ANSWERS = 2
"""So many of one model to one question are enough: at temperature 0 it will not say anything else."""

Said = TypeVar("Said")

log = structlog.get_logger()


@dataclass(slots=True)
class Effort:
    """What one analysis may take, and what all its calls together have taken."""

    ends_at: float
    retries: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def spent(self) -> Spent:
        return Spent(self.retries, self.input_tokens, self.output_tokens)

    def paid(self, answer: Answer) -> None:
        self.input_tokens = _sum(self.input_tokens, answer.input_tokens)
        self.output_tokens = _sum(self.output_tokens, answer.output_tokens)


@dataclass(slots=True)
class _Question:
    """One request that goes from key to key until it is answered. `useless` counts by model."""

    effort: Effort
    useless: Counter[str]
    failures: int = 0


class KeySelector:
    """Models in their order; of a model's keys the one that was used longest ago. One for the whole process."""

    def __init__(
        self,
        transport: Transport,
        keys: Sequence[str],
        models: Sequence[str],
        requests_per_minute: int,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transport = transport
        self._keys = tuple(keys)
        self._models = tuple(models)
        self._gates = {(key, model): KeyBreaker(requests_per_minute) for model in models for key in keys}
        self._monotonic = monotonic
        self._sleep = sleep

    def begin(self, seconds: float) -> Effort:
        """An analysis that may take so long."""
        return Effort(self._monotonic() + seconds)

    async def generate(self, request: Request, effort: Effort, read: Callable[[Answer], Said]) -> Said:
        """What `read` makes of an answer. TransientError when there is none in time that it can use."""

        async def call(key: str, model: str, seconds: float) -> Said:
            answer = await self._transport.generate(key, model, request, seconds)
            effort.paid(answer)
            return read(answer)

        return await self._ask(_Question(effort, Counter()), call)

    async def count_tokens(self, request: Request, effort: Effort) -> int:
        """TransientError when nobody counts in time."""

        async def call(key: str, model: str, seconds: float) -> int:
            return await self._transport.count_tokens(key, model, request, seconds)

        return await self._ask(_Question(effort, Counter()), call)

    async def _ask(self, question: _Question, call: Callable[[str, str, float], Awaitable[Said]]) -> Said:
        while True:
            key, model = await self._admitted(question)
            gate, now = self._gates[key, model], self._monotonic()
            gate.enter(now)
            try:
                said = await call(key, model, question.effort.ends_at - now)
            except UnusableAnswerError as error:
                gate.answered(self._monotonic())
                question.useless[model] += 1
                reason = str(error)
            except CallError as error:
                self._learn(key, model, error, question)
                reason = str(error)
            except BaseException:
                gate.left()
                raise
            else:
                gate.answered(self._monotonic())
                return said
            question.effort.retries += 1
            log.info("gemini_gave_nothing", model=model, key_number=self._keys.index(key), reason=reason)

    def _learn(self, key: str, model: str, error: CallError, question: _Question) -> None:
        now, fault = self._monotonic(), error.fault
        about = [(key, model)]
        if fault is FailureKind.REQUEST_REFUSED:
            question.useless[model] = UNUSABLE_ANSWERS
            self._gates[key, model].answered(now)
            return
        if fault is FailureKind.NO_SUCH_MODEL:
            about = [(each, model) for each in self._keys]
        elif fault is FailureKind.KEY_REFUSED:
            about = [(key, each) for each in self._models]
        elif fault is FailureKind.FAILED:
            question.failures += 1
        for pair in about:
            self._gates[pair].failed(now, fault, error.retry_after_seconds)

    async def _admitted(self, question: _Question) -> tuple[str, str]:
        """The key and model to ask now, after a pause where the last try failed or none is free."""
        pause = _back_off(question.failures)
        patient_until = min(self._monotonic() + PATIENCE_SECONDS, question.effort.ends_at)
        while True:
            now = self._monotonic()
            waits = {pair: self._gates[pair].opens_in(now) for pair in self._living(question)}
            soonest = min(waits, key=lambda pair: waits[pair], default=None)
            if soonest is None:
                raise TransientError("Gemini gives nothing that can be used")
            pause = max(pause, waits[soonest])
            if now + pause >= patient_until:
                raise TransientError("Gemini rests, or there is no time left")
            if not pause:
                return soonest
            await self._sleep(pause)
            pause = 0.0

    def _living(self, question: _Question) -> Iterator[tuple[str, str]]:
        for model in self._models:
            if question.useless[model] < UNUSABLE_ANSWERS:
                yield from ((key, model) for key in sorted(self._keys, key=lambda key: self._gates[key, model].used_at))


def _back_off(failures: int) -> float:
    """Seconds: more with every failure of one question; with jitter, so that what failed together comes apart."""
    return random.uniform(0.2, 1) * float(min(PATIENCE_SECONDS, 0.5 * 2**failures)) if failures else 0.0  # noqa: S311


def _sum(known: int | None, more: int | None) -> int | None:
    return known if more is None else (known or 0) + more
