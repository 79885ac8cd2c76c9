"""The measures of analysts as tables."""

from __future__ import annotations

import io

from rich.console import Console

from services.analyzer.analysis.analyst import AnalysisInput
from services.analyzer.evaluation.evaluate import Evaluation, compare, report
from services.analyzer.evaluation.measures import MEASURES, Label, LabelledVerdict
from services.cli.evaluation_views import TITLES, evaluation_tables
from shared.contract.contacts import Band, LeadStatus, Verdict

WARM = Label(40, 50, frozenset({LeadStatus.QUALIFIED}), Band.WARM, LeadStatus.QUALIFIED)


async def never(_: AnalysisInput) -> Verdict:
    raise AssertionError


def test_every_measure_has_a_row_with_its_interval_and_cases() -> None:
    judged = {place: LabelledVerdict(WARM, 45 + place % 2 * 40, LeadStatus.QUALIFIED, lines=3) for place in range(40)}
    first, second = Evaluation("first", never, judged=judged), Evaluation("second", never, judged=dict(judged))
    sink = io.StringIO()
    console = Console(file=sink, width=200)
    for table in evaluation_tables(
        {each.name: report(each) for each in (first, second)}, {"gap": compare(first, second)}
    ):
        console.print(table)
    shown = sink.getvalue()
    assert TITLES.keys() == MEASURES.keys()
    assert all(title in shown for title in TITLES.values())
    assert "0.50 0.35 to 0.65 of 40" in shown
    assert "short" in shown
