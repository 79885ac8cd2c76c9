"""Summary and next action of the fallback scorer: facts about a conversation, never the customer's own text. Pure."""

from __future__ import annotations

from collections.abc import Set

from services.analyzer.analysis.analyst import SpeakerRole, Transcript
from shared.contract.contacts import LeadStatus, band

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


def summarise(transcript: Transcript, signals: Set[str], status: LeadStatus, score: int) -> str:
    """Return five sentences: the number of messages, topics, intent, who writes next, next action."""
    inbound = sum(line.role is SpeakerRole.CUSTOMER for line in transcript.lines)
    outbound = len(transcript.lines) - inbound
    topics = [words for signal, words in TOPICS.items() if signal in signals]
    waiting = "customer" if transcript.lines[-1].role is SpeakerRole.BUSINESS else "business"
    sentences = [
        f"The customer wrote {_count(inbound)} and the business {_count(outbound)}.",
        f"It was about {_joined(topics)}." if topics else "No topic of a sale came up.",
        COMPLAINT_INTENT if "complaint" in signals else INTENTS[status],
        f"The next word is the {waiting}'s, and the lead is {band(score).value}.",
        next_action(status, signals),
    ]
    return " ".join(sentences)


def next_action(status: LeadStatus, signals: Set[str]) -> str:
    if "complaint" in signals:
        return "Solve the complaint before anything else."
    return ACTIONS[status]


def _count(number: int) -> str:
    return "one message" if number == 1 else f"{number} messages"


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
