"""Analyse a conversation with a model. If it is larger than the context, digests replace its oldest lines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress

from services.analyzer.analysis.ai.key_selector import AnalysisAttempt, KeySelector, RequestTooLongError
from services.analyzer.analysis.ai.prompt import assessment_request, digest_request, digest_row, transcript_rows
from services.analyzer.analysis.ai.response import read_digest, read_verdict
from services.analyzer.analysis.ai.transport import ModelRequest
from services.analyzer.analysis.analyst import AnalysisInput, NoVerdictError
from shared.contract.contacts import Verdict
from shared.contract.failures import TransientError

KEPT_SHARE = 0.75
"""The share of the room for lines that the newest get, sent word for word, when not all lines fit."""
PART_SHARE = 0.125
"""The share of that room that one digest covers. Parts are summed up in parallel, and a small part is faster."""
MAX_DIGEST_CHARS = 6_000
MIN_ROOM_BYTES = 2_000
"""Less room would take a digest of every few lines."""
MIN_CONTEXT_TOKENS = 2_000
"""Fewer do not hold the instructions."""


class AIAnalyst:
    def __init__(
        self, selector: KeySelector, deadline_seconds: float, context_tokens: int, summary_language: str
    ) -> None:
        self._selector = selector
        self._deadline_seconds = deadline_seconds
        self._context_tokens = context_tokens
        self._summary_language = summary_language

    async def analyse(self, analysis_input: AnalysisInput) -> Verdict:
        """Return the verdict. NoVerdictError when no usable answer comes before the deadline."""
        attempt = self._selector.start_attempt(self._deadline_seconds)
        try:
            verdict = await self._verdict(analysis_input, attempt)
        except TransientError as error:
            raise NoVerdictError(str(error), attempt.cost) from None
        return attempt.cost.added_to(verdict)

    async def _verdict(self, analysis_input: AnalysisInput, attempt: AnalysisAttempt) -> Verdict:
        """Ask, with less each time the request turns out to be too long: the context or an estimate was wrong."""
        context_tokens, sent = self._context_tokens, None
        while True:
            with suppress(RequestTooLongError):
                request = await self._request_that_fits(analysis_input, attempt, context_tokens)
                if request != sent:
                    sent = request
                    return await self._selector.generate(
                        request, attempt, lambda answer: read_verdict(answer, analysis_input)
                    )
            context_tokens //= 2
            if context_tokens < MIN_CONTEXT_TOKENS:
                raise TransientError("the conversation is too long for the AI")

    async def _request_that_fits(
        self, analysis_input: AnalysisInput, attempt: AnalysisAttempt, context_tokens: int
    ) -> ModelRequest:
        """Return the request, with digests for the oldest lines, and digests of digests, until it fits."""
        rows = transcript_rows(analysis_input)
        while True:
            request = assessment_request(analysis_input, rows, self._summary_language)
            size = _bytes(request.prompt) + _bytes(request.system)
            if size <= context_tokens:  # no token is shorter than a byte: no need to count
                return request
            tokens = await self._selector.count_tokens(request, attempt)
            if tokens <= context_tokens:
                return request
            room_bytes = context_tokens * size / tokens - (size - _bytes("\n".join(rows)))
            if room_bytes < MIN_ROOM_BYTES:
                raise RequestTooLongError("the instructions leave no room for the conversation")
            rows = await self._shorten(rows, room_bytes, attempt)

    async def _shorten(self, rows: Sequence[str], room_bytes: float, attempt: AnalysisAttempt) -> list[str]:
        """Replace the oldest rows by digests. The first digest that fails cancels the others."""
        older = len(rows) - _newest(rows, KEPT_SHARE * room_bytes)
        parts = list(_parts(rows[:older], PART_SHARE * room_bytes))
        failed: Sequence[BaseException] = ()
        try:
            async with asyncio.TaskGroup() as group:
                digests = [group.create_task(self._digest(part, attempt)) for part in parts]
        except* TransientError as errors:
            failed = errors.exceptions
        if failed:
            raise failed[0]
        return [*(digest.result() for digest in digests), *rows[older:]]

    async def _digest(self, part: Sequence[str], attempt: AnalysisAttempt) -> str:
        """Return a digest at most half as long as its rows, so that repeated digests end."""
        max_chars = min(MAX_DIGEST_CHARS, sum(map(len, part)) // 2)
        request = digest_request(part)
        return digest_row(
            len(part), await self._selector.generate(request, attempt, lambda answer: read_digest(answer, max_chars))
        )


def _bytes(text: str) -> int:
    return len(text.encode())


def _newest(rows: Sequence[str], max_bytes: float) -> int:
    """Return how many of the last rows fit into `max_bytes`."""
    for number, row in enumerate(reversed(rows)):
        max_bytes -= _bytes(row) + 1
        if max_bytes < 0:
            return number
    return len(rows)


def _parts(rows: Sequence[str], max_bytes: float) -> Iterator[Sequence[str]]:
    """Split the rows in order, each row whole: a part is larger than `max_bytes` only if it is a single larger row."""
    start, size = 0, 0
    for number, row in enumerate(rows):
        if size and size + _bytes(row) + 1 > max_bytes:
            yield rows[start:number]
            start, size = number, 0
        size += _bytes(row) + 1
    if size:
        yield rows[start:]
