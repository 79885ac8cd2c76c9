"""Conversations read by Gemini: the whole of each, and of one that no model can hold the oldest part as digests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from services.analyzer.analysis.analyst import AnalysisInput, NoVerdictError
from services.analyzer.analysis.gemini.calls import Request
from services.analyzer.analysis.gemini.key_selector import Effort, KeySelector
from services.analyzer.analysis.gemini.prompt import assessment, digest_row, digestion, rows_of
from services.analyzer.analysis.gemini.response import read_digest, read_verdict
from shared.contract.contacts import Verdict
from shared.contract.failures import TransientError

CONTEXT_TOKENS = 1_000_000
"""What is sent at most; the models of the API read 1,048,576 (ai.google.dev/gemini-api/docs/models)."""
KEPT_SHARE = 0.75
"""Of the context, how much the newest lines take that are read word for word where not all can be."""
PART_SHARE = 0.125
"""Of the context, how much is summed up at once: parts are read at the same time, and a small one sooner."""
DIGEST_CHARACTERS = 6_000


class GeminiAnalyst:
    def __init__(self, schedule: KeySelector, deadline_seconds: float, context_tokens: int = CONTEXT_TOKENS) -> None:
        self._schedule = schedule
        self._deadline_seconds = deadline_seconds
        self._context_tokens = context_tokens

    async def analyse(self, brief: AnalysisInput) -> Verdict:
        """NoVerdictError when none could be had before the deadline. Waits for nothing but its own calls."""
        effort = self._schedule.begin(self._deadline_seconds)
        try:
            request = await self._fitting(brief, effort)
            verdict = await self._schedule.generate(request, effort, lambda answer: read_verdict(answer, brief))
        except TransientError as error:
            raise NoVerdictError(str(error), effort.spent) from None
        return effort.spent.on(verdict)

    async def _fitting(self, brief: AnalysisInput, effort: Effort) -> Request:
        """With digests for the oldest lines, and digests of digests, until it fits."""
        rows = rows_of(brief.transcript)
        while True:
            request = assessment(brief, rows)
            size = _bytes(request.prompt) + _bytes(request.system)
            if size <= self._context_tokens:  # no token is shorter than a byte, so nobody need be asked
                return request
            tokens = await self._schedule.count_tokens(request, effort)
            if tokens <= self._context_tokens:
                return request
            rows = await self._shorter(rows, self._context_tokens * size / tokens, effort)

    async def _shorter(self, rows: Sequence[str], context_bytes: float, effort: Effort) -> list[str]:
        """The first part that cannot be summed up ends the others."""
        older = len(rows) - _newest(rows, KEPT_SHARE * context_bytes)
        parts = list(_parts(rows[:older], PART_SHARE * context_bytes))
        failed: Sequence[BaseException] = ()
        try:
            async with asyncio.TaskGroup() as group:
                digests = [group.create_task(self._digest(part, effort)) for part in parts]
        except* TransientError as errors:
            failed = errors.exceptions
        if failed:
            raise failed[0]
        return [*(digest.result() for digest in digests), *rows[older:]]

    async def _digest(self, part: Sequence[str], effort: Effort) -> str:
        """Shorter than what it stands for, or there would be no end."""
        longest = min(DIGEST_CHARACTERS, sum(map(len, part)) // 2)
        request = digestion(part)
        return digest_row(
            len(part), await self._schedule.generate(request, effort, lambda answer: read_digest(answer, longest))
        )


def _bytes(text: str) -> int:
    return len(text.encode())


def _newest(rows: Sequence[str], most_bytes: float) -> int:
    """How many of the last rows go into so many bytes."""
    for number, row in enumerate(reversed(rows)):
        most_bytes -= _bytes(row) + 1
        if most_bytes < 0:
            return number
    return len(rows)


def _parts(rows: Sequence[str], most_bytes: float) -> Iterator[Sequence[str]]:
    """In their order and each row whole, so a part may be longer where a single row is."""
    start, size = 0, 0
    for number, row in enumerate(rows):
        if size and size + _bytes(row) + 1 > most_bytes:
            yield rows[start:number]
            start, size = number, 0
        size += _bytes(row) + 1
    if size:
        yield rows[start:]
