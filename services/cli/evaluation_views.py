"""The measures of analysts as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.console import RenderableType
from rich.table import Table

from services.analyzer.evaluation.evaluate import Report
from services.analyzer.evaluation.uncertainty import Figure

TITLES = {
    "band": "band right",
    "status": "status acceptable",
    "won_precision": "WON: precision",
    "won_recall": "WON: recall",
    "auc": "AUC of hot or ready",
    "spearman": "rank correlation",
    "open_spearman": "rank correlation, open leads",
    "far_off": "off by two bands or more",
    "cold_at_top": "cold among the 20 highest open",
    "calibration_error": "calibration error",
    "sure_right": "right where confidence ≥ 70",
    "sure": "confidence ≥ 70",
    "won_on_the_way": "never won, called WON on the way",
    "jumps": "jumps of 30 a conversation",
    "scores": "different scores",
}
GROUP_COLUMNS = (
    "band",
    "status",
    "won_precision",
    "won_recall",
    "auc",
    "open_spearman",
    "far_off",
    "calibration_error",
)


def evaluation_tables(
    reports: Mapping[str, Report], differences: Mapping[str, Mapping[str, Figure]]
) -> Iterator[RenderableType]:
    """Yield the measures of all analysts side by side, their differences, and each one's by language and length."""
    yield figures_table({name: report.figures for name, report in reports.items()} | dict(differences))
    for name, report in reports.items():
        speed = "" if report.messages_a_second is None else f", {report.messages_a_second:,.0f} messages a second"
        yield f"\n{name}: {report.labelled} labelled conversations{speed}"
        yield groups_table({**report.by_language, **report.by_length})


def figures_table(columns: Mapping[str, Mapping[str, Figure]]) -> Table:
    table = _table("measure", columns)
    for name, title in TITLES.items():
        table.add_row(title, *(_with_interval(figures[name]) for figures in columns.values()))
    return table


def groups_table(reports: Mapping[str, Report]) -> Table:
    """Return a row for each group. A number of cases stands beside a measure that is not of all of them."""
    table = _table("", ["cases", *(TITLES[name] for name in GROUP_COLUMNS)])
    for group, report in reports.items():
        shown = (_with_cases(report.figures[name], report.labelled) for name in GROUP_COLUMNS)
        table.add_row(group, str(report.labelled), *shown)
    return table


def _table(first: str, columns: Iterable[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _with_interval(figure: Figure) -> str:
    if figure.value is None:
        return "–"
    interval = " {:.2f} to {:.2f}".format(*figure.interval) if figure.interval else ""
    return f"{_number(figure.value)}{interval} of {figure.cases}"


def _with_cases(figure: Figure, labelled: int) -> str:
    if figure.value is None:
        return "–"
    return _number(figure.value) + ("" if figure.cases == labelled else f" of {figure.cases}")


def _number(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() and value > 1 else f"{value:.2f}"
