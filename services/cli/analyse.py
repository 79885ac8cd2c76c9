"""`leadstream analyse`: try out a change of rules or prompt on transcripts in a file."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple

import orjson
import typer
from rich.console import Console

from services.analyzer.analysis.ai.analyst import AIAnalyst
from services.analyzer.analysis.ai.recording import RecordingTransport, ReplayTransport
from services.analyzer.analysis.analyst import AnalysisInput
from services.analyzer.analysis.fallbacks import compose_fallback
from services.analyzer.analysis.providers import Provider, compose_ai, compose_replay, open_transport
from services.analyzer.evaluation.evaluate import Analyse, Evaluation, compare, report
from services.analyzer.evaluation.transcripts_file import TranscriptCase, read_case
from services.cli.evaluation_views import evaluation_tables
from shared.contract.contacts import Verdict, band
from shared.contract.failures import TransientError
from shared.runtime.logging import configure_logging
from shared.runtime.settings import AnalyzerSettings, FallbackChoice


class AnalystChoice(StrEnum):
    FALLBACK = "fallback"
    LOCAL = "local"
    GEMINI = "gemini"
    GENAI = "genai"
    OPENAI = "openai"


FALLBACKS: dict[AnalystChoice, FallbackChoice] = {AnalystChoice.FALLBACK: "fast", AnalystChoice.LOCAL: "local"}


class Recordings(NamedTuple):
    """The folder that answers are kept in, and the folders that they are taken from."""

    kept: Path | None
    replayed: tuple[Path, ...]


class Line(NamedTuple):
    """A line of a file; `place` counts over all files, `name` is for a message."""

    place: int
    name: str
    content: bytes


Outcome = tuple[TranscriptCase, Verdict] | ValueError
"""What one analyst makes of a line."""


def analyse(
    files: Annotated[list[str], typer.Argument(metavar="FILE.jsonl...", help="The files; `-` is standard input.")],
    analyst: Annotated[
        list[AnalystChoice] | None,
        typer.Option(help="The analyst to use, `fallback` by default; several are compared."),
    ] = None,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Print the agreement with the labels on a last line.")
    ] = False,
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the AI's raw answers in this folder.")
    ] = None,
    replay: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR", help="Answer from a recorded folder, without key or network. Several are compared."
        ),
    ] = None,
) -> None:
    """Analyse the transcripts in files and print each verdict as one JSON object a line, in the files' order.

    A line of a file is {"id", "platform", "now", "language"?, "messages": [{"at", "from", "text", "attachment"}],
    "label"?}, in UTF-8; times without a zone are UTC. A line of the output has id, score, status, band, confidence and
    reasoning, and with several analysts the analyst's name.

    With --evaluate, a last line {"measures": ...} has every measure of the labelled transcripts, its number of cases
    and its 95 % interval, the same by language and by length, and with several analysts their differences. On a
    terminal, tables follow on standard error.

    With --replay each AI answers once from each folder, named by the folder; `gemini` is the default. Standard error
    says how many prompts have no recording, or one with other instructions than those of today.

    A line that cannot be read, or that the AI does not answer, is reported on standard error with its number; the rest
    is analysed, and the status is 1. The fallback does not replace the AI here.
    """
    settings = AnalyzerSettings()
    configure_logging(settings.log_level, as_json=settings.log_json)
    choices = list(dict.fromkeys(analyst or [AnalystChoice.GEMINI if replay else AnalystChoice.FALLBACK]))
    if record and replay:
        raise typer.BadParameter("either --record or --replay")
    recordings = Recordings(record, tuple(dict.fromkeys(replay or ())))
    with contextlib.ExitStack() as stack:
        sources = {file: stack.enter_context(_opened(file)) for file in files}
        complete = asyncio.run(_analyse_all(sources, choices, settings, recordings, evaluate))
    if not complete:
        raise typer.Exit(1)


def _opened(file: str) -> contextlib.AbstractContextManager[BinaryIO]:
    if file == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE.jsonl") from None


async def _analyse_all(
    sources: dict[str, BinaryIO],
    choices: Sequence[AnalystChoice],
    settings: AnalyzerSettings,
    recordings: Recordings,
    evaluate: bool,
) -> bool:
    """Print the verdicts of the chosen analysts. Return whether every line got all of them."""
    async with AsyncExitStack() as stack:
        analysts = [
            analyst for choice in choices for analyst in await _open_analysts(choice, settings, recordings, stack)
        ]
        parallelism = 1 if FALLBACKS.keys() >= set(choices) else settings.analysis_parallelism
        complete = await _print_all(sources, analysts, parallelism, evaluate)
    if evaluate:
        _print_measures(analysts)
    return complete


async def _open_analysts(
    choice: AnalystChoice, settings: AnalyzerSettings, recordings: Recordings, stack: AsyncExitStack
) -> list[Evaluation]:
    """Return one analyst, or with recordings to replay one for each folder."""
    if choice in FALLBACKS:
        return [Evaluation(choice.value, compose_fallback(FALLBACKS[choice]).analyse, judges_prefixes=True)]
    provider = Provider(choice)
    if not recordings.replayed:
        transport = await stack.enter_async_context(open_transport(settings, provider))
        if recordings.kept:
            transport = RecordingTransport(transport, recordings.kept)
        return [Evaluation(choice.value, _asking(compose_ai(settings, provider, transport)))]
    analysts = []
    for folder in recordings.replayed:
        replayed = ReplayTransport(folder)
        stack.callback(_report_replay, replayed)
        analysts.append(Evaluation(f"{choice} {folder}", _asking(compose_replay(settings, provider, replayed))))
    return analysts


def _asking(ai: AIAnalyst) -> Analyse:
    async def ask(analysis_input: AnalysisInput) -> Verdict:
        try:
            return await ai.analyse(analysis_input)
        except TransientError as error:
            raise ValueError(f"the AI gave no answer: {error}") from None

    return ask


def _report_replay(replayed: ReplayTransport) -> None:
    for names, what in (
        (replayed.missing, "prompts have no recording"),
        (replayed.other_instructions, "answers were recorded with other instructions"),
    ):
        if names:
            listed = ", ".join(sorted(names))
            typer.echo(f"leadstream: {replayed.folder}: {len(names)} {what}: {listed}", err=True)


async def _print_all(
    sources: dict[str, BinaryIO], analysts: Sequence[Evaluation], parallelism: int, evaluate: bool
) -> bool:
    """Print the verdicts. Return whether every line got one of each analyst."""
    complete = True
    async for line, outcomes in _in_order(_lines(sources), analysts, parallelism):
        for analyst, outcome in zip(analysts, outcomes, strict=True):
            prefix = {"analyst": analyst.name} if len(analysts) > 1 else {}
            if isinstance(outcome, ValueError):
                complete = False
                typer.echo(f"leadstream: {line.name}: {': '.join([*prefix.values(), str(outcome)])}", err=True)
                continue
            case, verdict = outcome
            typer.echo(orjson.dumps({"id": case.id, **prefix, **_printed(verdict)}))
            if evaluate:
                await analyst.judge(line.place, case, verdict)
    return complete


def _print_measures(analysts: Sequence[Evaluation]) -> None:
    reports = {each.name: report(each) for each in analysts}
    differences = {f"{second.name} - {first.name}": compare(first, second) for first, second in pairwise(analysts)}
    measures = {name: each.as_json() for name, each in reports.items()}
    if len(analysts) == 1:
        typer.echo(orjson.dumps({"measures": measures[analysts[0].name]}))
    else:
        typer.echo(orjson.dumps({"measures": measures, "differences": differences}))
    console = Console(stderr=True, highlight=False)
    if console.is_terminal:
        for table in evaluation_tables(reports, differences):
            console.print(table)


def _lines(sources: dict[str, BinaryIO]) -> Iterator[Line]:
    place = 0
    for file, source in sources.items():
        for number, content in enumerate(source, 1):
            place += 1
            if content.strip():
                yield Line(place, f"{file}: line {number}" if len(sources) > 1 else f"line {number}", content)


async def _in_order(
    lines: Iterator[Line], analysts: Sequence[Evaluation], parallelism: int
) -> AsyncIterator[tuple[Line, list[Outcome]]]:
    """Yield lines and outcomes in order, with `parallelism` lines at once and no more of them read ahead."""
    pending: deque[tuple[Line, asyncio.Task[list[Outcome]]]] = deque()
    async with asyncio.TaskGroup() as group:
        for line in lines:
            pending.append((line, group.create_task(_outcomes(line.content, analysts))))
            if len(pending) == parallelism:
                first, task = pending.popleft()
                yield first, await task
        for rest, task in pending:
            yield rest, await task


async def _outcomes(content: bytes, analysts: Sequence[Evaluation]) -> list[Outcome]:
    try:
        case = read_case(content)
    except ValueError as error:
        return [error] * len(analysts)
    return [await _outcome(case, each) for each in analysts]


async def _outcome(case: TranscriptCase, analyst: Evaluation) -> Outcome:
    try:
        return case, await analyst.verdict(case)
    except ValueError as error:
        return error


def _printed(verdict: Verdict) -> dict[str, object]:
    return {
        "score": verdict.lead_score,
        "status": verdict.lead_status,
        "band": band(verdict.lead_score),
        "confidence": verdict.confidence,
        "reasoning": verdict.reasoning,
    }
