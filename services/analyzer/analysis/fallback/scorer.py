"""The deterministic scorer for conversations that no AI analyses. Pure; the time is part of the input.

It adds points for the signals in the customer's words and lists them in `reasoning`. A signal that closes a
conversation (a refusal, a payment, a complaint, a pitch) decides by itself. Points alone give at most 80.

`_judge` decides the status; WON is decided in `_has_agreed` (ADR 12). `shared/domain/routing.py` then decides which
pipeline stage a contact with that status gets.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from datetime import timedelta

from services.analyzer.analysis.analyst import AnalysisInput, SpeakerRole
from services.analyzer.analysis.fallback.lexicon import Lexicon, load_lexicon
from services.analyzer.analysis.fallback.signals import ConversationSignals, find_signals
from services.analyzer.analysis.fallback.texts import next_action, summarise
from shared.contract.contacts import AnalysisSource, LeadStatus, Verdict

RULES_VERSION = "fallback-rules-3"
MIN_SCORE, MAX_OPEN_SCORE = 1, 80
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
"""(points, score), interpolated: few points are small talk, some an interest, many a hot lead."""
POSTPONED_SCORE = 47
"""The highest score of a customer who postpones the purchase or finds it expensive."""
WON_SCORE = 92
"""WON is 85 to 100."""
LOST_SCORE, COMPLAINT_SCORE, OTHER_SCORE, SILENT_SCORE = 8, 14, 8, 20
INTEREST = ("price", "availability", "need", "viewing", "negotiate", "order", "commit", "paid")
"""Signals of an interest in buying. One of these after a refusal means that the customer refused something else, or
changed their mind."""
CORE = frozenset(INTEREST) | {"delivery", "terms", "budget", "soon", "visit", "quoted"}
"""Without any of these there is no interest in buying."""
QUIET_AFTER = timedelta(days=3)
MIN_INTEREST_SCORE = 45
COLD_AFTER = timedelta(days=30)
MAX_INLINE_LINES = 2_000
"""These are scored in 0.05 s; more are scored in a thread."""


class FallbackScorer:
    def __init__(self, lexicon: Lexicon | None = None) -> None:
        self._lexicon = lexicon or load_lexicon()

    async def analyse(self, analysis_input: AnalysisInput) -> Verdict:
        """Score in a thread if it may take seconds, so that leases and the consumer group are kept alive."""
        if len(analysis_input.transcript.lines) > MAX_INLINE_LINES:
            return await asyncio.to_thread(self.score, analysis_input)
        return self.score(analysis_input)

    def score(self, analysis_input: AnalysisInput) -> Verdict:
        """Return the verdict, always the same for the same input, in microseconds per message."""
        seen = find_signals(analysis_input.transcript.lines, self._lexicon)
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
    """Return the points of each signal by name."""
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
        return max(MIN_SCORE, CURVE[0][1] + points)
    if points >= CURVE[-1][0]:
        return MAX_OPEN_SCORE
    place = bisect_right(CURVE, (points, 100))
    (left, low), (right, high) = CURVE[place - 1], CURVE[place]
    return round(low + (high - low) * (points - left) / (right - left))


def _judge(seen: ConversationSignals, score: int, analysis_input: AnalysisInput) -> tuple[LeadStatus, int, str]:
    """Return status, score and reason. The first closing signal that applies decides, and limits the points' score.

    Without one the points decide. WON has its own score.
    """
    closing = (
        (_refuses(seen), LeadStatus.LOST, LOST_SCORE, "The customer refuses"),
        (_is_not_about_buying(seen, score), LeadStatus.NEW, OTHER_SCORE, "It is not about buying"),
        (_complains(seen), LeadStatus.CONTACTED, COMPLAINT_SCORE, "The customer complains"),
        (_has_agreed(seen), LeadStatus.WON, WON_SCORE, "The customer has agreed"),
        (_is_silent(analysis_input), LeadStatus.UNRESPONSIVE, SILENT_SCORE, "The customer does not answer"),
        (CORE.isdisjoint(seen.last), LeadStatus.NEW, SILENT_SCORE, "No interest in buying shows"),
    )
    for applies, status, most, why in closing:
        if applies:
            return status, most if status is LeadStatus.WON else min(score, most), why
    if _postpones(seen):
        score = min(score, POSTPONED_SCORE)
        return _open_status(seen, score, analysis_input), score, "The customer puts it off"
    return _open_status(seen, score, analysis_input), score, "Open"


def _refuses(seen: ConversationSignals) -> bool:
    """Return whether the customer refuses and has not asked to buy something since."""
    refused = seen.last_of("refuse", "parted")
    return refused >= 0 and refused >= seen.last_of(*INTEREST) and refused > seen.last_of("inquiry")


def _has_agreed(seen: ConversationSignals) -> bool:
    """Return whether the deal is WON: paid, or promised and not postponed since, or an address given for an order, or
    a confirmation acknowledged. If there is something to view first, an address or an acknowledgement only agrees to a
    visit.
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
    """Return whether the customer complains of a purchase and has not bought again since.

    A customer who wants to buy may use one word of complaint, too.
    """
    bought = seen.last_of("commit", "paid")
    deals = seen.last_of("negotiate", "soon", "order") if seen.phrases.get("complaint") == 1 else -1
    if seen.last_of("complaint") >= max(bought, deals, 0):
        return True
    several = seen.phrases.get("gripe", 0) >= 2
    wants = seen.last_of("price", "availability", "order") if several else seen.last_of(*INTEREST, "quoted")
    return seen.last_of("gripe") > max(bought, wants)


def _is_not_about_buying(seen: ConversationSignals, score: int) -> bool:
    if seen.has("paid"):
        return False
    if seen.has("injection") and score <= 60:
        return True
    pitch = seen.phrases.get("pitch", 0)
    return seen.has("other") or pitch >= 2 or (pitch == 1 and score < MIN_INTEREST_SCORE)


def _postpones(seen: ConversationSignals) -> bool:
    postponed = seen.last_of("later", "expensive")
    if postponed < 0 or postponed <= seen.last_of("soon", "viewing", "negotiate", "agreed"):
        return False
    return postponed >= seen.last_of("visit", "order", "commit")


def _is_silent(analysis_input: AnalysisInput) -> bool:
    """Return whether the last two or more lines are the business's and days have passed since."""
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
