"""`leadstream analyse`: how an owner tries out a change of rules or prompt before trusting it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import orjson
import typer

from services.analyzer.analysis.analyst import AnalysisInput
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from services.analyzer.app import compose_analyst
from services.analyzer.evaluation.measures import LabelledVerdict, measure
from services.analyzer.evaluation.transcripts_file import TranscriptCase, read_case
from shared.contract.contacts import AnalysisSource, Verdict, band
from shared.runtime.logging import configure_logging
from shared.runtime.settings import AnalyzerSettings

Asker = Callable[[AnalysisInput], Awaitable[Verdict]]
"""ValueError when no verdict is to be had."""
Outcome = tuple[TranscriptCase, Verdict] | ValueError


class Choice(StrEnum):
    FALLBACK = "fallback"
    GEMINI = "gemini"


def analyse(
    file: Annotated[str, typer.Argument(metavar="FILE.jsonl", help="`-`: standard input.")],
    analyst: Annotated[Choice, typer.Option(help="Who reads them.")] = Choice.FALLBACK,
    evaluate: Annotated[bool, typer.Option("--evaluate", help="Measure against the labels, on a last line.")] = False,
) -> None:
    """Read transcripts from a file, and print a verdict on each as one JSON object a line, in the file's order.

    A line of the file is {"id", "platform", "now", "messages": [{"at", "from", "text", "attachment"}], "label"?}, in
    UTF-8; times without a zone are UTC. A line of the output has id, score, status, band, confidence and reasoning.

    With --evaluate a last line {"measures": ...} says for how many of the labelled ones the score lies in the interval,
    the band and the status are right (shares, 0 to 1), and how well the order agrees (Spearman).

    A line that cannot be read, or that the AI gives no answer to, is named on standard error with its number; the rest
    is analysed all the same, and the status is 1. Nothing stands in for the AI here.
    """
    settings = AnalyzerSettings()
    configure_logging(settings.log_level, as_json=settings.log_json)
    chosen, parallelism = _composed(analyst, settings)
    with _opened(file) as source:
        complete = asyncio.run(_print_all(source, chosen, parallelism, evaluate))
    if not complete:
        raise typer.Exit(1)


def _opened(file: str) -> contextlib.AbstractContextManager[BinaryIO]:
    if file == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE.jsonl") from None


def _composed(choice: Choice, settings: AnalyzerSettings) -> tuple[Asker, int]:
    """Whom to ask, and how many conversations at once."""
    if choice is Choice.FALLBACK:
        return FallbackScorer().analyse, 1
    if not settings.gemini_api_keys:
        raise typer.BadParameter("gemini needs LEADSTREAM_GEMINI_API_KEYS", param_hint="--analyst")
    composed = compose_analyst(settings)

    async def ask_ai(analysis_input: AnalysisInput) -> Verdict:
        verdict = await composed.analyse(analysis_input)
        if verdict.source is not AnalysisSource.AI:
            raise ValueError("the AI gave no answer")
        return verdict

    return ask_ai, settings.analysis_parallelism


async def _print_all(source: BinaryIO, ask: Asker, parallelism: int, evaluate: bool) -> bool:
    """Whether every line got its verdict."""
    judged: list[LabelledVerdict] = []
    complete = True
    async for number, outcome in _in_order(source, ask, parallelism):
        if isinstance(outcome, ValueError):
            complete = False
            typer.echo(f"leadstream: line {number}: {outcome}", err=True)
            continue
        case, verdict = outcome
        typer.echo(_line(case, verdict))
        if evaluate and case.label:
            judged.append(LabelledVerdict(case.label, verdict.lead_score, verdict.lead_status))
    if evaluate:
        typer.echo(orjson.dumps({"measures": asdict(measure(judged))}))
    return complete


async def _in_order(source: BinaryIO, ask: Asker, parallelism: int) -> AsyncIterator[tuple[int, Outcome]]:
    """The outcomes by their lines' numbers: `parallelism` at once, and no more lines read than that."""
    under_way: deque[tuple[int, asyncio.Task[Outcome]]] = deque()
    async with asyncio.TaskGroup() as group:
        for number, line in enumerate(source, 1):
            if not line.strip():
                continue
            under_way.append((number, group.create_task(_outcome(line, ask))))
            if len(under_way) == parallelism:
                first, task = under_way.popleft()
                yield first, await task
        for rest, task in under_way:
            yield rest, await task


async def _outcome(line: bytes, ask: Asker) -> Outcome:
    try:
        case = read_case(line)
        return case, await ask(case.analysis_input)
    except ValueError as error:
        return error


def _line(case: TranscriptCase, verdict: Verdict) -> bytes:
    return orjson.dumps(
        {
            "id": case.id,
            "score": verdict.lead_score,
            "status": verdict.lead_status,
            "band": band(verdict.lead_score),
            "confidence": verdict.confidence,
            "reasoning": verdict.reasoning,
        }
    )
