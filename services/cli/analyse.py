"""`leadstream analyse`: try out a change of rules or prompt on transcripts in a file."""

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
from services.analyzer.analysis.providers import Provider, open_ai
from services.analyzer.evaluation.measures import LabelledVerdict, measure
from services.analyzer.evaluation.transcripts_file import TranscriptCase, read_case
from shared.contract.contacts import Verdict, band
from shared.contract.failures import TransientError
from shared.runtime.logging import configure_logging
from shared.runtime.settings import AnalyzerSettings

Analyse = Callable[[AnalysisInput], Awaitable[Verdict]]
"""ValueError when there is no verdict."""
LineOutcome = tuple[TranscriptCase, Verdict] | ValueError


class AnalystChoice(StrEnum):
    FALLBACK = "fallback"
    GEMINI = "gemini"
    GENAI = "genai"
    OPENAI = "openai"


def analyse(
    file: Annotated[str, typer.Argument(metavar="FILE.jsonl", help="The file; `-` is standard input.")],
    analyst: Annotated[AnalystChoice, typer.Option(help="The analyst to use.")] = AnalystChoice.FALLBACK,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Print the agreement with the labels on a last line.")
    ] = False,
) -> None:
    """Analyse the transcripts in a file and print each verdict as one JSON object a line, in the file's order.

    A line of the file is {"id", "platform", "now", "messages": [{"at", "from", "text", "attachment"}], "label"?}, in
    UTF-8; times without a zone are UTC. A line of the output has id, score, status, band, confidence and reasoning.

    With --evaluate, a last line {"measures": ...} has the shares (0 to 1) of labelled transcripts with the score in the
    interval, the right band and the right status, and the rank correlation of the scores (Spearman).

    A line that cannot be read, or that the AI does not answer, is reported on standard error with its number; the rest
    is analysed, and the status is 1. The fallback does not replace the AI here.
    """
    settings = AnalyzerSettings()
    configure_logging(settings.log_level, as_json=settings.log_json)
    with _opened(file) as source:
        complete = asyncio.run(_analyse_all(source, analyst, settings, evaluate))
    if not complete:
        raise typer.Exit(1)


def _opened(file: str) -> contextlib.AbstractContextManager[BinaryIO]:
    if file == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE.jsonl") from None


async def _analyse_all(source: BinaryIO, choice: AnalystChoice, settings: AnalyzerSettings, evaluate: bool) -> bool:
    """Print the verdicts of the chosen analyst. Return whether every line got one."""
    if choice is AnalystChoice.FALLBACK:
        return await _print_all(source, FallbackScorer().analyse, 1, evaluate)
    async with open_ai(settings, Provider(choice)) as ai:

        async def ask_ai(analysis_input: AnalysisInput) -> Verdict:
            try:
                return await ai.analyse(analysis_input)
            except TransientError as error:
                raise ValueError(f"the AI gave no answer: {error}") from None

        return await _print_all(source, ask_ai, settings.analysis_parallelism, evaluate)


async def _print_all(source: BinaryIO, analyse_one: Analyse, parallelism: int, evaluate: bool) -> bool:
    """Print the verdicts. Return whether every line got one."""
    judged: list[LabelledVerdict] = []
    complete = True
    async for number, outcome in _in_order(source, analyse_one, parallelism):
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


async def _in_order(source: BinaryIO, analyse_one: Analyse, parallelism: int) -> AsyncIterator[tuple[int, LineOutcome]]:
    """Yield line numbers and outcomes in order, with `parallelism` analyses at once and no more lines read ahead."""
    pending: deque[tuple[int, asyncio.Task[LineOutcome]]] = deque()
    async with asyncio.TaskGroup() as group:
        for number, line in enumerate(source, 1):
            if not line.strip():
                continue
            pending.append((number, group.create_task(_outcome(line, analyse_one))))
            if len(pending) == parallelism:
                first, task = pending.popleft()
                yield first, await task
        for rest, task in pending:
            yield rest, await task


async def _outcome(line: bytes, analyse_one: Analyse) -> LineOutcome:
    try:
        case = read_case(line)
        return case, await analyse_one(case.analysis_input)
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
