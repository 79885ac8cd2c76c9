"""The deterministic scorer that stands in where there is no AI. Pure; the clock comes with the brief.

It reads the customer's words only, adds up what they signal, and says in `reasoning` what each point was for. It never
says more than 80: a keyword is not a signature.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from services.analyzer.analyst import Brief, Line, Role
from services.analyzer.details import find_details
from services.analyzer.lexicon import Lexicon, load_lexicon, tokenise
from services.analyzer.wording import next_action, summarise
from shared.contacts import AnalysisSource, LeadStatus, Verdict

RULES_VERSION = "fallback-rules-1"
LOWEST, HIGHEST = 1, 80
BASE = 20
POINTS = {
    "price": 9,
    "availability": 7,
    "delivery": 7,
    "terms": 7,
    "details": 5,
    "need": 6,
    "budget": 7,
    "urgency": 6,
    "visit": 10,
    "negotiate": 8,
    "commit": 22,
    "paid": 26,
    "expensive": -9,
    "later": -9,
    "thanks": 1,
}
ASKED = ("commit", "price", "terms", "delivery", "negotiate", "availability")
"""A payment counts as a deal only in a conversation about buying."""
LOST_SCORE, COMPLAINT_SCORE, OTHER_SCORE, SILENT_SCORE = 10, 15, 10, 22
QUIET_AFTER = timedelta(days=3)
COLD_AFTER = timedelta(days=30)


@dataclass(slots=True)
class Reading:
    """What a conversation shows: signals with the line of the customer's in which each came last."""

    last: dict[str, int] = field(default_factory=dict)
    negated: set[str] = field(default_factory=set)
    customer: list[Line] = field(default_factory=list)
    numbers: bool = False
    contact_given: bool = False
    attachments: int = 0

    def has(self, *signals: str) -> bool:
        return any(signal in self.last for signal in signals)


class FallbackScorer:
    def __init__(self, lexicon: Lexicon | None = None) -> None:
        self._lexicon = lexicon or load_lexicon()

    async def analyse(self, brief: Brief) -> Verdict:
        return self.score(brief)

    def score(self, brief: Brief) -> Verdict:
        """The same brief always gives the same verdict, in microseconds a message."""
        lines = brief.transcript.lines
        reading = self._read(lines)
        points = _points(reading, brief)
        status, score = _judge(reading, sum(points.values()), brief)
        reasons = ", ".join(f"{name} {value:+d}" for name, value in points.items() if value)
        texts = [line.text for line in reading.customer if line.text]
        return Verdict(
            summary=summarise(brief.transcript, frozenset(reading.last), status, score),
            lead_score=score,
            lead_status=status,
            confidence=min(60, 30 + 3 * len(reading.customer)),
            reasoning=f"{RULES_VERSION}: {reasons}; {status}, clamped to {score}.",
            recommended_stage=None,
            language=self._lexicon.language(texts),
            next_action=next_action(status, frozenset(reading.last)),
            source=AnalysisSource.FALLBACK,
            model=RULES_VERSION,
        )

    def _read(self, lines: tuple[Line, ...]) -> Reading:
        reading = Reading(customer=[line for line in lines if line.role is Role.CUSTOMER])
        for place, line in enumerate(reading.customer):
            for hit in self._lexicon.hits(line.text):
                if hit.negated and POINTS.get(hit.signal, 0) > 0:
                    reading.negated.add(hit.signal)
                else:
                    reading.last[hit.signal] = place
            reading.numbers = reading.numbers or any(map(str.isdigit, line.text))
            reading.attachments += bool(line.marks)
        details = find_details(line.text for line in reading.customer)
        reading.contact_given = bool(details.emails or details.phones)
        return reading


def _points(reading: Reading, brief: Brief) -> dict[str, int]:
    """What each thing is worth, by name; their sum is the raw score."""
    points = {"base": BASE}
    points |= {name: value for name, value in POINTS.items() if name in reading.last}
    points |= {
        f"not {name}": -value for name, value in POINTS.items() if name in reading.negated and name not in reading.last
    }
    number = len(reading.customer)
    points["messages"] = 10 if number >= 12 else 8 if number >= 6 else 4 if number >= 3 else 0
    words = sum(len(tokenise(line.text)) for line in reading.customer)
    points["words"] = 6 if words >= 60 else 3 if words >= 25 else 0
    points["numbers"] = 4 if reading.numbers else 0
    points["contact details"] = 8 if reading.contact_given else 0
    if brief.now - brief.transcript.lines[-1].at > COLD_AFTER:
        points["over 30 days ago"] = -5
    return points


def _judge(reading: Reading, raw: int, brief: Brief) -> tuple[LeadStatus, int]:
    """What closes a conversation decides by what came last; else the points do."""
    score = max(LOWEST, min(HIGHEST, raw))
    end = len(reading.customer) - 1
    deal = max(reading.last.get("commit", -1), reading.last.get("paid", -1))
    refused = reading.last.get("refuse", -1)
    if refused >= 0 and refused >= deal and refused >= end - 2:
        return LeadStatus.LOST, LOST_SCORE
    if reading.last.get("complaint", -1) > deal:
        return LeadStatus.CONTACTED, min(score, COMPLAINT_SCORE)
    if reading.has("other") and not reading.has("paid"):
        return LeadStatus.NEW, min(score, OTHER_SCORE)
    if reading.has("paid") and reading.has(*ASKED):
        return LeadStatus.WON, HIGHEST
    if _is_silent(brief):
        return LeadStatus.UNRESPONSIVE, min(score, SILENT_SCORE)
    return _open_status(reading, score), score


def _is_silent(brief: Brief) -> bool:
    """The business wrote twice or more and days went by."""
    lines = brief.transcript.lines
    trailing = 0
    for line in reversed(lines):
        if line.role is Role.CUSTOMER:
            break
        trailing += 1
    return trailing >= 2 and brief.now - lines[-1].at > QUIET_AFTER


def _open_status(reading: Reading, score: int) -> LeadStatus:
    if reading.has("commit", "negotiate") and score >= 60:
        return LeadStatus.NEGOTIATING
    if score >= 50:
        return LeadStatus.QUALIFIED
    return LeadStatus.CONTACTED if score >= 31 else LeadStatus.NEW
