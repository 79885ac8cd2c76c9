"""What a customer's line signals as a reply to what the business said before it. Pure.

A picture after "send me the receipt" is a payment, "Ann, 14 Park Row" after "your name and address?" gives an order's
data, "yes" after "shall I book it?" agrees. The business's words signal nothing by themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Set
from dataclasses import dataclass

VIEWING_REPLIES = frozenset({"yes", "accept", "date", "urgency", "visit", "time"})
"""A customer who is offered a viewing and says one of these will come."""
RESERVATIONS = frozenset({"later", "expensive", "refuse", "complaint", "soon"})
"""A line with one of these is not a plain agreement."""


@dataclass(frozen=True, slots=True)
class CustomerReply:
    """A customer's line: its signals, its number of words, whether it only asks and whether it begins with yes."""

    signals: Set[str]
    words: int
    is_question: bool
    agrees: bool

    @property
    def is_reserved(self) -> bool:
        return self.is_question or not RESERVATIONS.isdisjoint(self.signals)


def reply_signals(reply: CustomerReply, asked: Collection[str], before: Collection[str]) -> set[str]:
    """Return the signals that follow from what the business `asked` and the customer's signals `before`."""
    signals = reply.signals
    found = set()
    if "quote" in asked:
        found.add("quoted")
        if reply.agrees and not reply.is_reserved:
            found.add("accept")
    if "proof" in asked and "picture" in signals and signals.isdisjoint(("complaint", "refuse")):
        found.add("paid")
    if "viewing" in asked and RESERVATIONS.isdisjoint(signals) and not VIEWING_REPLIES.isdisjoint(signals | found):
        found.add("viewing")
    return found if reply.is_reserved else found | _agreements(reply, asked, before, signals | found)


def _agreements(reply: CustomerReply, asked: Collection[str], before: Collection[str], signals: Set[str]) -> set[str]:
    found = set()
    quoted, dated = "quoted" in signals or "quoted" in before, not signals.isdisjoint(("date", "visit", "urgency"))
    if ("accept" in signals and quoted and dated) or (reply.agrees and ("ordered" in before or "book" in asked)):
        found.add("settled")
    if "address" in asked and (reply.words > 2 or (reply.words and signals <= {"figure", "time", "quoted"})):
        found.add("answered")
    if "order" in asked and reply.agrees:
        found.add("agreed")
    if "confirmed" in asked and (reply.agrees or "visit" in signals):
        found.add("acknowledged")
    return found
