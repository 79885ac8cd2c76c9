"""The words of the fallback's verdict: facts about a conversation, never the customer's own text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

from services.analyzer.analysis.analyst import SpeakerRole, Transcript
from services.analyzer.analysis.fallback.decision import Decision
from services.analyzer.analysis.fallback.features import WORDING
from services.analyzer.analysis.fallback.overrides import Override
from services.analyzer.analysis.fallback.reasons import Reason, Reasons
from shared.contract.contacts import Band, LeadStatus

TOPICS = {
    "price": "the price",
    "availability": "what is available",
    "delivery": "delivery or installation",
    "terms": "payment terms or paperwork",
    "details": "details of the product",
    "budget": "the budget",
    "urgency": "how soon it is needed",
    "visit": "a visit or an appointment",
    "viewing": "a viewing or a trial",
    "negotiate": "a better price",
    "complaint": "a complaint",
    "other": "something that is not a purchase",
}
INTENTS = {
    LeadStatus.WON: "The customer has agreed to buy.",
    LeadStatus.LOST: "The customer has refused or has bought elsewhere.",
    LeadStatus.UNRESPONSIVE: "The customer has not answered the last messages of the business.",
    LeadStatus.NEGOTIATING: "The customer is close to a decision and is settling the conditions.",
    LeadStatus.PROPOSAL_SENT: "An offer has been sent and the answer is open.",
    LeadStatus.QUALIFIED: "The customer shows a concrete interest.",
    LeadStatus.CONTACTED: "There is some interest, and no decision yet.",
    LeadStatus.NEW: "An interest in buying is not clear yet.",
}
ABOUT_TO_CLOSE = "The deal looks about to close."
COMPLAINT_INTENT = "The customer is not content with what was bought."
ACTIONS = {
    LeadStatus.WON: "Confirm the order and arrange the delivery.",
    LeadStatus.LOST: "Do not press; ask what would have made the difference.",
    LeadStatus.UNRESPONSIVE: "Send one last friendly reminder, then let it rest.",
    LeadStatus.NEGOTIATING: "Settle the open conditions and ask for the order.",
    LeadStatus.PROPOSAL_SENT: "Ask whether the offer fits.",
    LeadStatus.QUALIFIED: "Make a concrete offer with price and date.",
    LeadStatus.CONTACTED: "Ask what is needed and by when.",
    LeadStatus.NEW: "Ask what the customer is looking for.",
}
REASONS = {
    "accept": "finds the offer good",
    "ask": "asks",
    "business address": "the business asks for an address",
    "business apology": "the business says sorry",
    "business confirmed": "the business confirms",
    "business order": "the business asks for the order",
    "business parting": "the business takes leave",
    "business proof": "the business asks for a proof of payment",
    "business quote": "the business names a price",
    "business viewing": "the business offers a viewing",
    "buying": "agrees and does not draw back",
    "chat": "makes small talk",
    "commit": "promises to buy",
    "complain": "complains",
    "detail": "gives details",
    "file": "sends a file",
    "haggle": "haggles",
    "image": "sends an image",
    "leaving": "draws back and does not return",
    "location": "sends a location",
    "need": "names a need",
    "other": "writes about something that is not a purchase",
    "pay": "says that it is paid",
    "pitch": "offers something for sale",
    "postpone": "puts it off",
    "product": "sends a product",
    "refuse": "refuses",
    "shape a day without the customer": "more than a day without the customer",
    "shape answered": "who wrote last",
    "shape attachments": "the customer's attachments",
    "shape business asks": "the business asks",
    "shape business asks, unanswered": "a question of the business is open",
    "shape business attachments": "an attachment of the business",
    "shape business last number": "the business's last message has a number",
    "shape business lines": "how much the business wrote",
    "shape business numbers": "numbers of the business",
    "shape customer lines": "how much the customer wrote",
    "shape days": "how long the conversation lasted",
    "shape last answer after": "how fast the customer answered",
    "shape last attachment": "the customer's last message has an attachment",
    "shape last is a question": "the customer's last message is a question",
    "shape last length": "the length of the customer's last message",
    "shape last number": "the customer's last message has a number",
    "shape lines": "the number of messages",
    "shape mean length": "the length of the customer's messages",
    "shape no business": "the business has not written",
    "shape numbers": "the customer's numbers",
    "shape one unanswered": "one message is unanswered",
    "shape questions": "how often the customer asks",
    "shape several unanswered": "several messages are unanswered",
    "shape share": "the customer's share of the messages",
    "shape silence": "the time since the last message",
    "shape silence after several": "the silence after several messages",
    "shape silence of the customer": "the time since the customer's last message",
    "shape silence while waiting": "the silence after the business's message",
    "shape ten days": "a silence of ten days",
    "shape three days": "a silence of three days",
    "shape three days while waiting": "three days without an answer",
    "shape waiting": "how many messages are unanswered",
    "sticker": "sends a sticker",
    "story": "refers to a story",
    "support": "needs help with a purchase",
    "trouble": "has a problem and does not buy after it",
    "video": "sends a video",
    "voice": "sends a voice message",
}
"""What speaks for or against, by the subject of a feature; other subjects are their own words."""


def explain(decision: Decision, reasons: Reasons, acts: Mapping[int, str], override: Override | None) -> str:
    """Return why, with the numbers of the lines, counted from 1: these are never quoted. `acts` are by index."""
    parts = [f"{override.why}."] if override else []
    if reasons.for_it:
        parts.append(f"For {decision.band.value}: {_described(reasons.for_it, acts)}.")
    if reasons.against:
        parts.append(f"Against: {_described(reasons.against, acts)}.")
    if decision.band is Band.READY and decision.status is not LeadStatus.WON:
        parts.append(f"{ABOUT_TO_CLOSE[:-1]}, but it is not sure enough to be called won.")
    parts.append(f"{decision.status.value}, score {decision.score}; right in {decision.confidence} of 100 such cases.")
    return " ".join(parts)


def summarise(transcript: Transcript, signals: Set[str], decision: Decision) -> str:
    """Return five sentences: the number of messages, topics, intent, who writes next, next action."""
    inbound = sum(line.role is SpeakerRole.CUSTOMER for line in transcript.lines)
    outbound = len(transcript.lines) - inbound
    topics = [words for signal, words in TOPICS.items() if signal in signals]
    waiting = "customer" if transcript.lines[-1].role is SpeakerRole.BUSINESS else "business"
    sentences = [
        f"The customer wrote {_count(inbound)} and the business {_count(outbound)}.",
        f"It was about {_joined(topics)}." if topics else "No topic of a sale came up.",
        _intent(signals, decision),
        f"The next word is the {waiting}'s, and the lead is {decision.band.value}.",
        next_action(decision.status, signals),
    ]
    return " ".join(sentences)


def next_action(status: LeadStatus, signals: Set[str]) -> str:
    if _complains(status, signals):
        return "Solve the complaint before anything else."
    return ACTIONS[status]


def _intent(signals: Set[str], decision: Decision) -> str:
    if _complains(decision.status, signals):
        return COMPLAINT_INTENT
    if decision.band is Band.READY and decision.status is not LeadStatus.WON:
        return ABOUT_TO_CLOSE
    return INTENTS[decision.status]


def _complains(status: LeadStatus, signals: Set[str]) -> bool:
    return "complaint" in signals and status in (LeadStatus.CONTACTED, LeadStatus.NEW)


def _described(reasons: Iterable[Reason], acts: Mapping[int, str]) -> str:
    return ", ".join(f"{REASONS.get(each.subject, each.subject)}{_made_by(each, acts)}" for each in reasons)


def _made_by(reason: Reason, acts: Mapping[int, str]) -> str:
    """Return the lines of a reason; where that is the wording, with what the customer does in each."""
    if reason.subject != WORDING or not reason.lines:
        return _lines(reason.lines)
    return f" ({', '.join(f'line {index + 1}: {REASONS[acts[index]]}' for index in sorted(reason.lines))})"


def _lines(indexes: Sequence[int]) -> str:
    if not indexes:
        return ""
    numbers = ", ".join(str(index + 1) for index in sorted(indexes))
    return f" (line {numbers})" if len(indexes) == 1 else f" (lines {numbers})"


def _count(number: int) -> str:
    return "one message" if number == 1 else f"{number} messages"


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
