"""The fallback scorer: messages a second on one core, and the cost per message of long conversations.

`python -m tests.bench.scoring ROUNDS` is the measured process; it prints microseconds a message as JSON.
"""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import timedelta

import orjson

from services.analyzer.analysis.analyst import AnalysisInput, Analyst, SpeakerRole, Transcript, TranscriptLine
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from shared.contract.ids import Platform
from shared.runtime.service import reduce_garbage_collection
from tests.bench.analyzer_events import EPOCH, said
from tests.bench.backfill_ground import said as said_by
from tests.bench.figures import Bench
from tests.bench.judging import Figure, Measured, Side, at_least, at_most

USUAL = 25
LENGTHS = (100, 10_000, 100_000)
MESSAGES = 100_000
"""Per measurement. Every length has the same lines, except for the number at their ends."""
STRIDE = 4_200
"""The distance between the first stories of two measurements, so that all begin with the same story."""


def scoring(bench: Bench) -> Measured:
    told = said_by("tests.bench.scoring", str(bench.rounds), settings={})
    usual = Side("fallback, messages/s a core", tuple(1e6 / each for each in told[str(USUAL)]), "by processor time")
    by_length = [Side(f"of {length:,}: µs each", tuple(told[str(length)])) for length in LENGTHS]
    growth = max(each.median for each in by_length[1:]) / by_length[0].median
    figures = (
        Figure("fallback scorer, messages/s a core", usual.median, at_least(20_000)),
        Figure("of 10,000 or 100,000 / of 100, µs a message", growth, at_most(1.5)),
    )
    return Measured((usual, *by_length), figures)


def analysis_inputs(turn: int, length: int, messages: int = MESSAGES) -> list[AnalysisInput]:
    """Return conversations as the worker passes them. No text occurs twice, in any turn."""
    lines = [_line(turn * STRIDE, place) for place in range(messages)]
    return [_analysis_input(tuple(lines[start : start + length])) for start in range(0, messages, length)]


def _analysis_input(lines: tuple[TranscriptLine, ...]) -> AnalysisInput:
    return AnalysisInput(Transcript(Platform.MESSENGER, lines), lines[-1].at + timedelta(hours=3))


def _line(first: int, place: int) -> TranscriptLine:
    found = said(first + place // USUAL, place % USUAL)
    role = SpeakerRole.CUSTOMER if found.inbound else SpeakerRole.BUSINESS
    return TranscriptLine(EPOCH + timedelta(minutes=place), role, found.text)


async def microseconds(analyst: Analyst, conversations: list[AnalysisInput]) -> float:
    """Return microseconds of processor time a message."""
    began = time.process_time()
    for each in conversations:
        await analyst.analyse(each)
    spent = time.process_time() - began
    return spent * 1e6 / sum(len(each.transcript.lines) for each in conversations)


async def measure(rounds: int) -> dict[str, list[float]]:
    """Measure the lengths in turn; the first round is a warm-up. Garbage is collected as in the analyzer."""
    analyst = FallbackScorer()
    reduce_garbage_collection()
    lengths = (USUAL, *LENGTHS)
    told: dict[str, list[float]] = {str(length): [] for length in lengths}
    for turn in range((rounds + 1) * len(lengths)):
        length = lengths[turn % len(lengths)]
        told[str(length)].append(await microseconds(analyst, analysis_inputs(turn, length)))
    return {name: values[1:] for name, values in told.items()}


if __name__ == "__main__":
    print(orjson.dumps(asyncio.run(measure(int(sys.argv[1])))).decode())
