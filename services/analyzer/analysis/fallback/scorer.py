"""The deterministic scorer that stands in where there is no AI. Pure; the clock comes with the brief.

It reads the customer's words only, adds up what they signal, and says in `reasoning` what each point was for. What
closes a conversation (a refusal, a payment, a complaint, a pitch) decides by itself. Points alone never give more than
80: a keyword is not a signature.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from datetime import timedelta

from services.analyzer.analysis.analyst import AnalysisInput, Role
from services.analyzer.analysis.fallback.lexicon import Lexicon, load_lexicon
from services.analyzer.analysis.fallback.signals import Reading, read
from services.analyzer.analysis.fallback.texts import next_action, summarise
from shared.contract.contacts import AnalysisSource, LeadStatus, Verdict

RULES_VERSION = "fallback-rules-3"
LOWEST, HIGHEST = 1, 80
POINTS = {
    "price": 2,
    "availability": 2,
    "delivery": 1,
    "terms": 2,
    "details": 1,
    "need": 2,
    "budget": 3,
    "urgency": 1,
    "date": 2,
    "visit": 2,
    "viewing": 3,
    "negotiate": 3,
    "order": 3,
    "accept": 2,
    "yes": 1,
    "soon": 3,
    "commit": 4,
    "paid": 6,
    "given": 2,
    "answered": 1,
    "agreed": 2,
    "acknowledged": 1,
    "picture": 1,
}
CURVE = ((0, 12), (1, 22), (2, 38), (9, 50), (10, 66), (14, 72), (24, 78), (30, 80))
"""From points to the score, straight between: few are chatter, some an interest, many make it hot; steep between."""
PUT_OFF_SCORE = 47
"""The most for a customer who puts it off or finds it dear: an interest, but not now."""
WON_SCORE = 92
"""In the interval that the rules give to who has agreed, 85 to 100."""
LOST_SCORE, COMPLAINT_SCORE, OTHER_SCORE, SILENT_SCORE = 8, 14, 8, 20
INTEREST = ("price", "availability", "need", "viewing", "negotiate", "order", "commit", "paid")
"""Who speaks of these after a refusal has turned down something else, or has come back."""
CORE = frozenset(INTEREST) | {"delivery", "terms", "budget", "soon", "visit", "quoted"}
"""Without any of these there is no lead to speak of."""
QUIET_AFTER = timedelta(days=3)
LITTLE_INTEREST = 45
COLD_AFTER = timedelta(days=30)
LONG_LINES = 2_000
"""As many are scored in a twentieth of a second."""


class FallbackScorer:
    has_ai = False

    def __init__(self, lexicon: Lexicon | None = None) -> None:
        self._lexicon = lexicon or load_lexicon()

    async def analyse(self, brief: AnalysisInput) -> Verdict:
        """A very long conversation takes seconds, in which leases and the consumer's group go on all the same."""
        if len(brief.transcript.lines) > LONG_LINES:
            return await asyncio.to_thread(self.score, brief)
        return self.score(brief)

    def score(self, brief: AnalysisInput) -> Verdict:
        """The same brief always gives the same verdict, in microseconds a message."""
        reading = read(brief.transcript.lines, self._lexicon)
        points = _points(reading, brief)
        status, score, why = _judge(reading, _on_curve(sum(points.values())), brief)
        reasons = ", ".join(f"{name} {value:+d}" for name, value in points.items()) or "no sign of a purchase"
        signals = frozenset(reading.last) - {"complaint"} | ({"complaint"} if _complains(reading) else set())
        return Verdict(
            summary=summarise(brief.transcript, signals, status, score),
            lead_score=score,
            lead_status=status,
            confidence=min(60, 30 + 3 * reading.number),
            reasoning=f"Points: {reasons}; {sum(points.values())} in all. {why}: {status.value}, score {score}.",
            recommended_stage=None,
            language=reading.language,
            next_action=next_action(status, signals),
            source=AnalysisSource.FALLBACK,
            model=RULES_VERSION,
        )


def _points(reading: Reading, brief: AnalysisInput) -> dict[str, int]:
    """What each thing that was seen is worth, by name."""
    points = {name: value for name, value in POINTS.items() if reading.has(name)}
    extras = {
        "quoted": 2 if reading.has("quoted") and not reading.has("price") else 0,
        "figures": min(3, reading.figures),
        "questions": 1 if reading.questions >= 2 else 0,
        "messages": 2 if reading.number >= 8 else 1 if reading.number >= 4 else 0,
        "over 30 days ago": -2 if brief.now - brief.transcript.lines[-1].at > COLD_AFTER else 0,
    }
    return points | {name: value for name, value in extras.items() if value}


def _on_curve(points: int) -> int:
    if points <= CURVE[0][0]:
        return max(LOWEST, CURVE[0][1] + points)
    if points >= CURVE[-1][0]:
        return HIGHEST
    place = bisect_right(CURVE, (points, 100))
    (left, low), (right, high) = CURVE[place - 1], CURVE[place]
    return round(low + (high - low) * (points - left) / (right - left))


def _judge(reading: Reading, score: int, brief: AnalysisInput) -> tuple[LeadStatus, int, str]:
    """What closes a conversation decides, the first that applies; else the points do."""
    closing = (
        (_refuses(reading), LeadStatus.LOST, LOST_SCORE, "The customer refuses"),
        (_is_about_other(reading, score), LeadStatus.NEW, OTHER_SCORE, "It is not about buying"),
        (_complains(reading), LeadStatus.CONTACTED, COMPLAINT_SCORE, "The customer complains"),
        (_has_agreed(reading), LeadStatus.WON, WON_SCORE, "The customer has agreed"),
        (_is_silent(brief), LeadStatus.UNRESPONSIVE, SILENT_SCORE, "The customer does not answer"),
        (CORE.isdisjoint(reading.last), LeadStatus.NEW, SILENT_SCORE, "No interest in buying shows"),
    )
    for applies, status, most, why in closing:
        if applies:
            return status, most if status is LeadStatus.WON else min(score, most), why
    if _is_put_off(reading):
        score = min(score, PUT_OFF_SCORE)
        return _open_status(reading, score, brief), score, "The customer puts it off"
    return _open_status(reading, score, brief), score, "Open"


def _refuses(reading: Reading) -> bool:
    """And has not asked to buy something since, or instead."""
    refused = reading.last_of("refuse", "parted")
    return refused >= 0 and refused >= reading.last_of(*INTEREST) and refused > reading.last_of("inquiry")


def _has_agreed(reading: Reading) -> bool:
    """Paid; or promised and not put off since; or said where to when it was ordered; or nodded to a confirmation.

    Where there is something to look at first, the last two only agree on a visit.
    """
    paid = reading.last_of("paid")
    if paid >= 0 and reading.last_of("soon") != paid:
        return True
    agreed = [reading.last_of("commit") if reading.last_of("commit") > reading.last_of("viewing") else -1]
    if not reading.has("viewing", "soon"):
        agreed.append(reading.last_of("settled"))
        if reading.has("order", "agreed", "accept", "yes", "need", "quoted"):
            agreed.append(reading.last_of("given", "answered"))
        if reading.has("date", "visit", "order", "agreed", "given", "answered"):
            agreed.append(reading.last_of("acknowledged"))
    return max(agreed) > reading.last_of("later", "soon", "expensive")


def _complains(reading: Reading) -> bool:
    """Of what was bought, and has not bought again since. Who wants to buy something may use such a word once, too."""
    bought = reading.last_of("commit", "paid")
    deals = reading.last_of("negotiate", "soon", "order") if reading.phrases.get("complaint") == 1 else -1
    if reading.last_of("complaint") >= max(bought, deals, 0):
        return True
    several = reading.phrases.get("gripe", 0) >= 2
    wants = reading.last_of("price", "availability", "order") if several else reading.last_of(*INTEREST, "quoted")
    return reading.last_of("gripe") > max(bought, wants)


def _is_about_other(reading: Reading, score: int) -> bool:
    if reading.has("paid"):
        return False
    if reading.has("injection") and score <= 60:
        return True
    pitch = reading.phrases.get("pitch", 0)
    return reading.has("other") or pitch >= 2 or (pitch == 1 and score < LITTLE_INTEREST)


def _is_put_off(reading: Reading) -> bool:
    put_off = reading.last_of("later", "expensive")
    if put_off < 0 or put_off <= reading.last_of("soon", "viewing", "negotiate", "agreed"):
        return False
    return put_off >= reading.last_of("visit", "order", "commit")


def _is_silent(brief: AnalysisInput) -> bool:
    """The business wrote twice or more and days went by."""
    lines = brief.transcript.lines
    after = next((place for place, line in enumerate(reversed(lines)) if line.role is Role.CUSTOMER), len(lines))
    return after >= 2 and brief.now - lines[-1].at > QUIET_AFTER


def _open_status(reading: Reading, score: int, brief: AnalysisInput) -> LeadStatus:
    if score <= 30:
        return LeadStatus.NEW
    if score <= 60:
        return LeadStatus.CONTACTED
    if reading.has("negotiate"):
        return LeadStatus.NEGOTIATING
    offered = any(line.role is Role.BUSINESS and "[file]" in line.marks for line in brief.transcript.lines)
    return LeadStatus.PROPOSAL_SENT if offered else LeadStatus.QUALIFIED
