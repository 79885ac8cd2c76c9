"""Labelled conversations, and how well a scorer meets the labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from services.analyzer.analyst import Brief, Line, Role, Transcript
from shared.contacts import LeadStatus, band
from shared.ids import Platform

FILE = Path(__file__).parent / "data" / "conversations.jsonl"


@dataclass(frozen=True)
class Labelled:
    id: str
    brief: Brief
    low: int
    high: int
    statuses: frozenset[str]
    band: str


def labelled() -> Iterator[Labelled]:
    for row in map(json.loads, FILE.read_text().splitlines()):
        lines = tuple(
            Line(
                datetime.fromisoformat(m["at"]),
                Role(m["from"]),
                m["text"],
                (f"[{m['attachment']}]",) if "attachment" in m else (),
            )
            for m in row["messages"]
        )
        label = row["label"]
        brief = Brief(Transcript(Platform(row["platform"]), lines), datetime.fromisoformat(row["now"]))
        yield Labelled(
            row["id"], brief, label["score_low"], label["score_high"], frozenset(label["statuses"]), label["band"]
        )


@dataclass(frozen=True)
class Measures:
    in_interval: float
    in_band: float
    in_status: float
    rank_correlation: float


def measure(score: Callable[[Brief], tuple[int, LeadStatus]]) -> Measures:
    cases = list(labelled())
    given = [score(case.brief) for case in cases]
    pairs = list(zip(cases, given, strict=True))
    return Measures(
        in_interval=sum(c.low <= s <= c.high for c, (s, _) in pairs) / len(pairs),
        in_band=sum(band(s).value == c.band for c, (s, _) in pairs) / len(pairs),
        in_status=sum(status.value in c.statuses for c, (_, status) in pairs) / len(pairs),
        rank_correlation=spearman([(c.low + c.high) / 2 for c in cases], [float(s) for s, _ in given]),
    )


def spearman(left: list[float], right: list[float]) -> float:
    a, b = _ranks(left), _ranks(right)
    mean = (len(a) - 1) / 2
    covariance = sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    spread = sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b)
    return float(covariance / spread**0.5)


def _ranks(values: list[float]) -> list[float]:
    """Equal values share the mean of their places."""
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) - 1) / 2 for value in values]
