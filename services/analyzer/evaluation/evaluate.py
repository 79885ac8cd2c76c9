"""Collect an analyst's verdicts on labelled transcripts and report their measures, by language and length too."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.analyzer.analysis.analyst import AnalysisInput, Transcript
from services.analyzer.evaluation.measures import MEASURES, Label, LabelledVerdict
from services.analyzer.evaluation.transcripts_file import TranscriptCase
from services.analyzer.evaluation.uncertainty import Figure, difference, figures
from shared.contract.contacts import Verdict

Analyse = Callable[[AnalysisInput], Awaitable[Verdict]]
"""ValueError when there is no verdict."""
SHORT_LINES, LONG_LINES = 4, 12


@dataclass(slots=True)
class Evaluation:
    """The verdicts of one analyst. `judged` has them by the place of the transcript, and only if it has a label.

    `seconds` is the sum of the analyses' durations. With `judges_prefixes` a transcript is also analysed after each of
    its messages, which an AI would have to be paid for.
    """

    name: str
    analyse: Analyse
    judges_prefixes: bool = False
    judged: dict[int, LabelledVerdict] = field(default_factory=dict)
    messages: int = 0
    seconds: float = 0.0

    async def verdict(self, case: TranscriptCase) -> Verdict:
        began = time.perf_counter()
        verdict = await self.analyse(case.analysis_input)
        self.seconds += time.perf_counter() - began
        self.messages += len(case.analysis_input.transcript.lines)
        return verdict

    async def judge(self, place: int, case: TranscriptCase, verdict: Verdict) -> None:
        if case.label is None:
            return
        on_the_way = (
            [await self.analyse(each) for each in prefixes(case.analysis_input)] if self.judges_prefixes else None
        )
        self.judged[place] = labelled_verdict(case, case.label, verdict, on_the_way)


def labelled_verdict(
    case: TranscriptCase, label: Label, verdict: Verdict, on_the_way: Iterable[Verdict] | None
) -> LabelledVerdict:
    """`on_the_way` has the verdicts after each message."""
    return LabelledVerdict(
        label,
        verdict.lead_score,
        verdict.lead_status,
        verdict.confidence,
        case.language,
        len(case.analysis_input.transcript.lines),
        None if on_the_way is None else tuple((each.lead_score, each.lead_status) for each in on_the_way),
    )


def prefixes(analysis_input: AnalysisInput) -> Iterable[AnalysisInput]:
    """Yield the conversation as it stood after each message, at the time of that message."""
    transcript = analysis_input.transcript
    for number, line in enumerate(transcript.lines, 1):
        yield AnalysisInput(Transcript(transcript.platform, transcript.lines[:number]), line.at, analysis_input.stages)


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of an analyst by measure, and those of each language and length by its name."""

    labelled: int
    figures: dict[str, Figure]
    by_language: dict[str, Report] = field(default_factory=dict)
    by_length: dict[str, Report] = field(default_factory=dict)
    messages_a_second: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return values by measure, and beside them their numbers of cases, 95 % intervals and groups."""
        found: dict[str, Any] = {
            "labelled": self.labelled,
            **{name: figure.value for name, figure in self.figures.items()},
            "cases": {name: figure.cases for name, figure in self.figures.items()},
            "intervals": {name: figure.interval for name, figure in self.figures.items()},
        }
        groups = {"by_language": self.by_language, "by_length": self.by_length}
        for name, reports in groups.items():
            if reports:
                found[name] = {group: report.as_json() for group, report in reports.items()}
        return found if self.messages_a_second is None else {**found, "messages_a_second": self.messages_a_second}


def report(evaluation: Evaluation) -> Report:
    judged = list(evaluation.judged.values())
    return Report(
        len(judged),
        figures(judged),
        _by(lambda each: each.language, judged),
        _by(length, judged),
        round(evaluation.messages / evaluation.seconds, 1) if evaluation.seconds else None,
    )


def compare(first: Evaluation, second: Evaluation) -> dict[str, Figure]:
    """Return second minus first by measure, over the transcripts that both judged."""
    both = sorted(first.judged.keys() & second.judged.keys())
    sides = [[each.judged[place] for place in both] for each in (first, second)]
    return {name: difference(measure, *sides) for name, measure in MEASURES.items()}


def length(judged: LabelledVerdict) -> str:
    if judged.lines <= SHORT_LINES:
        return "short"
    return "long" if judged.lines >= LONG_LINES else "medium"


def _by(group: Callable[[LabelledVerdict], str], judged: Sequence[LabelledVerdict]) -> dict[str, Report]:
    """Return the groups' reports, largest group first."""
    groups: dict[str, list[LabelledVerdict]] = {}
    for each in judged:
        groups.setdefault(group(each), []).append(each)
    largest_first = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return {name: Report(len(each), figures(each)) for name, each in largest_first}
