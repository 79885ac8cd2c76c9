"""The deterministic scorer that stands in where there is no AI. Pure; the clock comes with the brief.

It reads the customer's words only, adds up what they signal, and says in `reasoning` what each point was for. What
closes a conversation (a refusal, a payment, a complaint, a pitch) decides by itself. Points alone never give more than
80: a keyword is not a signature.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from datetime import timedelta

from services.analyzer.analysis.analyst import AnalysisInput, SpeakerRole
from services.analyzer.analysis.fallback.lexicon import Lexicon, load_lexicon
from services.analyzer.analysis.fallback.signals import ConversationSignals, read
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

    async def analyse(self, analysis_input: AnalysisInput) -> Verdict:
        """A very long conversation takes seconds, in which leases and the consumer's group go on all the same."""
        if len(analysis_input.transcript.lines) > LONG_LINES:
            return await asyncio.to_thread(self.score, analysis_input)
        return self.score(analysis_input)

    def score(self, analysis_input: AnalysisInput) -> Verdict:
        """The same brief always gives the same verdict, in microseconds a message."""
        seen = read(analysis_input.transcript.lines, self._lexicon)
        points = _points(seen, analysis_input)
        status, score, why = _judge(seen, _on_curve(sum(points.values())), analysis_input)
        reasons = ", ".join(f"{name} {value:+d}" for name, value in points.items()) or "no sign of a purchase"
        signals = frozenset(seen.last) - {"complaint"} | ({"complaint"} if _complains(seen) else set())
        return Verdict(
            summary=summarise(analysis_input.transcript, signals, status, score),
            lead_score=score,
            lead_status=status,
            confidence=min(60, 30 + 3 * seen.number),
            reasoning=f"Points: {reasons}; {sum(points.values())} in all. {why}: {status.value}, score {score}.",
            recommended_stage=None,
            language=seen.language,
            next_action=next_action(status, signals),
            source=AnalysisSource.FALLBACK,
            model=RULES_VERSION,
        )


def _points(seen: ConversationSignals, analysis_input: AnalysisInput) -> dict[str, int]:
    """What each thing that was seen is worth, by name."""
    points = {name: value for name, value in POINTS.items() if seen.has(name)}
    extras = {
        "quoted": 2 if seen.has("quoted") and not seen.has("price") else 0,
        "figures": min(3, seen.figures),
        "questions": 1 if seen.questions >= 2 else 0,
        "messages": 2 if seen.number >= 8 else 1 if seen.number >= 4 else 0,
        "over 30 days ago": -2 if analysis_input.now - analysis_input.transcript.lines[-1].at > COLD_AFTER else 0,
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


def _judge(seen: ConversationSignals, score: int, analysis_input: AnalysisInput) -> tuple[LeadStatus, int, str]:
    """What closes a conversation decides, the first that applies; else the points do."""
    closing = (
        (_refuses(seen), LeadStatus.LOST, LOST_SCORE, "The customer refuses"),
        (_is_about_other(seen, score), LeadStatus.NEW, OTHER_SCORE, "It is not about buying"),
        (_complains(seen), LeadStatus.CONTACTED, COMPLAINT_SCORE, "The customer complains"),
        (_has_agreed(seen), LeadStatus.WON, WON_SCORE, "The customer has agreed"),
        (_is_silent(analysis_input), LeadStatus.UNRESPONSIVE, SILENT_SCORE, "The customer does not answer"),
        (CORE.isdisjoint(seen.last), LeadStatus.NEW, SILENT_SCORE, "No interest in buying shows"),
    )
    for applies, status, most, why in closing:
        if applies:
            return status, most if status is LeadStatus.WON else min(score, most), why
    if _is_put_off(seen):
        score = min(score, PUT_OFF_SCORE)
        return _open_status(seen, score, analysis_input), score, "The customer puts it off"
    return _open_status(seen, score, analysis_input), score, "Open"


def _refuses(seen: ConversationSignals) -> bool:
    """And has not asked to buy something since, or instead."""
    refused = seen.last_of("refuse", "parted")
    return refused >= 0 and refused >= seen.last_of(*INTEREST) and refused > seen.last_of("inquiry")


def _has_agreed(seen: ConversationSignals) -> bool:
    """Paid; or promised and not put off since; or said where to when it was ordered; or nodded to a confirmation.

    Where there is something to look at first, the last two only agree on a visit.
    """
    paid = seen.last_of("paid")
    if paid >= 0 and seen.last_of("soon") != paid:
        return True
    agreed = [seen.last_of("commit") if seen.last_of("commit") > seen.last_of("viewing") else -1]
    if not seen.has("viewing", "soon"):
        agreed.append(seen.last_of("settled"))
        if seen.has("order", "agreed", "accept", "yes", "need", "quoted"):
            agreed.append(seen.last_of("given", "answered"))
        if seen.has("date", "visit", "order", "agreed", "given", "answered"):
            agreed.append(seen.last_of("acknowledged"))
    return max(agreed) > seen.last_of("later", "soon", "expensive")


def _complains(seen: ConversationSignals) -> bool:
    """Of what was bought, and has not bought again since. Who wants to buy something may use such a word once, too."""
    bought = seen.last_of("commit", "paid")
    deals = seen.last_of("negotiate", "soon", "order") if seen.phrases.get("complaint") == 1 else -1
    if seen.last_of("complaint") >= max(bought, deals, 0):
        return True
    several = seen.phrases.get("gripe", 0) >= 2
    wants = seen.last_of("price", "availability", "order") if several else seen.last_of(*INTEREST, "quoted")
    return seen.last_of("gripe") > max(bought, wants)


def _is_about_other(seen: ConversationSignals, score: int) -> bool:
    if seen.has("paid"):
        return False
    if seen.has("injection") and score <= 60:
        return True
    pitch = seen.phrases.get("pitch", 0)
    return seen.has("other") or pitch >= 2 or (pitch == 1 and score < LITTLE_INTEREST)


def _is_put_off(seen: ConversationSignals) -> bool:
    put_off = seen.last_of("later", "expensive")
    if put_off < 0 or put_off <= seen.last_of("soon", "viewing", "negotiate", "agreed"):
        return False
    return put_off >= seen.last_of("visit", "order", "commit")


def _is_silent(analysis_input: AnalysisInput) -> bool:
    """The business wrote twice or more and days went by."""
    lines = analysis_input.transcript.lines
    after = next((place for place, line in enumerate(reversed(lines)) if line.role is SpeakerRole.CUSTOMER), len(lines))
    return after >= 2 and analysis_input.now - lines[-1].at > QUIET_AFTER


def _open_status(seen: ConversationSignals, score: int, analysis_input: AnalysisInput) -> LeadStatus:
    if score <= 30:
        return LeadStatus.NEW
    if score <= 60:
        return LeadStatus.CONTACTED
    if seen.has("negotiate"):
        return LeadStatus.NEGOTIATING
    offered = any(
        line.role is SpeakerRole.BUSINESS and "[file]" in line.marks for line in analysis_input.transcript.lines
    )
    return LeadStatus.PROPOSAL_SENT if offered else LeadStatus.QUALIFIED
