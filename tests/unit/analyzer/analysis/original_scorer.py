"""The scorer of the system being replaced, with its faults: the baseline that ours must beat."""

from __future__ import annotations

from itertools import pairwise

from services.analyzer.analysis.analyst import AnalysisInput
from shared.contract.contacts import LeadStatus

KEYWORDS = (
    "price", "cost", "buy", "purchase", "order", "how much", "available", "delivery", "shipping", "payment", "invoice",
    "quote", "interested", "need", "want", "looking for", "urgent",
)  # fmt: skip


def original_score(analysis_input: AnalysisInput) -> tuple[int, LeadStatus]:
    lines = [line for line in analysis_input.transcript.lines if line.text]
    if not lines:
        return 15, LeadStatus.NEW
    score = 20 + _steps(len(lines), ((20, 25), (10, 15), (5, 10)), 5)
    score += _steps(sum(len(line.text) for line in lines) / len(lines) - 1e-9, ((100, 15), (50, 10)), 5)
    text = " ".join(line.text for line in lines).lower()
    score += _steps(sum(keyword in text for keyword in KEYWORDS), ((5, 20), (3, 12), (1, 6)), 0)
    changes = sum(a.role != b.role for a, b in pairwise(lines)) / max(len(lines) - 1, 1)
    score += 15 if changes > 0.7 else 8 if changes > 0.4 else 0
    days = (analysis_input.now - lines[-1].at).days
    score += 10 if days <= 1 else 5 if days <= 7 else -10 if days > 30 else 0
    score = max(15, min(80, score))
    return score, LeadStatus.QUALIFIED if score >= 60 else LeadStatus.CONTACTED if score >= 40 else LeadStatus.NEW


def _steps(value: float, steps: tuple[tuple[int, int], ...], otherwise: int) -> int:
    return next((points for least, points in steps if value >= least), otherwise)
