"""The deterministic scorer that stands in where there is no AI. Pure; the clock comes with the brief.

It reads the customer's words only, adds up what they signal, and says in `reasoning` what each point was for. What
closes a conversation (a refusal, a payment, a complaint, a pitch) decides by itself. It never says more than 80: a
keyword is not a signature.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import timedelta

from services.analyzer.analyst import Brief, Role
from services.analyzer.lexicon import Lexicon, load_lexicon
from services.analyzer.reading import Reading, read
from services.analyzer.wording import next_action, summarise
from shared.contacts import AnalysisSource, LeadStatus, Verdict

RULES_VERSION = "fallback-rules-2"
LOWEST, HIGHEST = 1, 80
POINTS = {
    "price": 2,
    "availability": 2,
    "delivery": 2,
    "terms": 2,
    "details": 1,
    "need": 2,
    "budget": 2,
    "urgency": 1,
    "date": 2,
    "visit": 3,
    "negotiate": 4,
    "order": 5,
    "commit": 7,
    "paid": 9,
}
CURVE = ((0, 12), (2, 36), (4, 44), (9, 56), (10, 64), (12, 68), (16, 74), (24, 80))
"""From points to the score, straight between: the first points tell a lead from chatter, many make it hot."""
PUT_OFF_SCORE = 54
"""The most for a customer who puts it off or finds it dear: an interest, but not now."""
LOST_SCORE, COMPLAINT_SCORE, OTHER_SCORE, SILENT_SCORE = 8, 14, 8, 20
INTEREST = ("price", "availability", "delivery", "terms", "details", "visit", "negotiate", "order", "commit", "paid")
"""Who speaks of these after a refusal has turned down something else, or has come back."""
QUIET_AFTER = timedelta(days=3)
COLD_AFTER = timedelta(days=30)


class FallbackScorer:
    def __init__(self, lexicon: Lexicon | None = None) -> None:
        self._lexicon = lexicon or load_lexicon()

    async def analyse(self, brief: Brief) -> Verdict:
        return self.score(brief)

    def score(self, brief: Brief) -> Verdict:
        """The same brief always gives the same verdict, in microseconds a message."""
        reading = read(brief.transcript.lines, self._lexicon)
        points = _points(reading, brief)
        status, score, why = _judge(reading, _on_curve(sum(points.values())), brief)
        reasons = ", ".join(f"{name} {value:+d}" for name, value in points.items()) or "no sign of a purchase"
        signals = frozenset(reading.last)
        return Verdict(
            summary=summarise(brief.transcript, signals, status, score),
            lead_score=score,
            lead_status=status,
            confidence=min(60, 30 + 3 * len(reading.lines)),
            reasoning=f"Points: {reasons}; {sum(points.values())} in all. {why}: {status.value}, score {score}.",
            recommended_stage=None,
            language=self._lexicon.language([line.text for line in reading.lines]),
            next_action=next_action(status, signals),
            source=AnalysisSource.FALLBACK,
            model=RULES_VERSION,
        )


def _points(reading: Reading, brief: Brief) -> dict[str, int]:
    """What each thing that was seen is worth, by name."""
    points = {name: value for name, value in POINTS.items() if reading.has(name)}
    number = len(reading.lines)
    extras = {
        "not needed": -2 if reading.need_negated and not reading.has("need") else 0,
        "contact details": 2 if reading.contact_given else 0,
        "figures": 1 if any(letter.isdigit() for line in reading.lines for letter in line.text) else 0,
        "messages": 2 if number >= 8 else 1 if number >= 4 else 0,
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


def _judge(reading: Reading, score: int, brief: Brief) -> tuple[LeadStatus, int, str]:
    """What closes a conversation decides by what came last; else the points do."""
    deal, refused = reading.last_of("commit", "paid"), reading.last_of("refuse")
    if refused >= 0 and refused >= reading.last_of(*INTEREST):
        return LeadStatus.LOST, min(score, LOST_SCORE), "The customer refuses"
    if reading.has("complaint") and reading.last_of("complaint") >= deal:
        return LeadStatus.CONTACTED, min(score, COMPLAINT_SCORE), "The customer complains"
    if reading.has("other") and not reading.has("paid"):
        return LeadStatus.NEW, min(score, OTHER_SCORE), "It is not about buying"
    if _is_agreed(reading):
        return LeadStatus.WON, HIGHEST, "The customer has agreed"
    if _is_silent(brief):
        return LeadStatus.UNRESPONSIVE, min(score, SILENT_SCORE), "The customer does not answer"
    if reading.last_of("later", "expensive") > reading.last_of("visit", "negotiate", "order", "commit"):
        score, why = min(score, PUT_OFF_SCORE), "The customer puts it off"
    else:
        why = "Open"
    return _open_status(reading, score, brief), score, why


def _is_agreed(reading: Reading) -> bool:
    """Paid or promised and not put off since, or ordered with a proof or an address to send it to."""
    deal, order = reading.last_of("commit", "paid"), reading.last_of("order")
    if reading.last_of("later") > max(deal, order):
        return False
    return deal >= 0 or (order >= 0 and (reading.contact_given or reading.proof_at >= order))


def _is_silent(brief: Brief) -> bool:
    """The business wrote twice or more and days went by."""
    lines = brief.transcript.lines
    after = next((place for place, line in enumerate(reversed(lines)) if line.role is Role.CUSTOMER), len(lines))
    return after >= 2 and brief.now - lines[-1].at > QUIET_AFTER


def _open_status(reading: Reading, score: int, brief: Brief) -> LeadStatus:
    if score <= 30:
        return LeadStatus.NEW
    if score <= 60:
        return LeadStatus.CONTACTED
    if reading.has("order", "negotiate"):
        return LeadStatus.NEGOTIATING
    offered = any(line.role is Role.BUSINESS and "[file]" in line.marks for line in brief.transcript.lines)
    return LeadStatus.PROPOSAL_SENT if offered else LeadStatus.QUALIFIED
