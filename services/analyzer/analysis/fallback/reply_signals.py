"""What a customer's line is as an answer to what the business said before it. Pure.

A picture after "send me the receipt" is a payment, "Ann, 14 Park Row" after "your name and address?" an order's data,
"yes" after "shall I book it?" agrees. The business's words give nothing by themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Set
from dataclasses import dataclass

LOOKS = frozenset({"yes", "accept", "date", "urgency", "visit", "time"})
"""Who is offered a look at something and says one of these will come to look."""
HOLDS_BACK = frozenset({"later", "expensive", "refuse", "complaint", "soon"})
"""Who says one of these has not simply agreed."""


@dataclass(frozen=True, slots=True)
class CustomerReply:
    """A line of the customer: its signals, how many words, whether it asks and whether it begins with an agreement."""

    signals: Set[str]
    words: int
    asks: bool
    nods: bool


def answers(line: CustomerReply, asked: Collection[str], before: Collection[str]) -> set[str]:
    """Signals that the line has in the light of what was `asked`, and of the customer's signals `before`."""
    signals, held_back = line.signals, line.asks or not HOLDS_BACK.isdisjoint(line.signals)
    found = set()
    if "quote" in asked:
        found.add("quoted")
        if line.nods and not held_back:
            found.add("accept")
    if "proof" in asked and "picture" in signals and signals.isdisjoint(("complaint", "refuse")):
        found.add("paid")
    if "viewing" in asked and HOLDS_BACK.isdisjoint(signals) and not LOOKS.isdisjoint(signals | found):
        found.add("viewing")
    return found if held_back else found | _agreements(line, asked, before, signals | found)


def _agreements(line: CustomerReply, asked: Collection[str], before: Collection[str], signals: Set[str]) -> set[str]:
    found = set()
    quoted, dated = "quoted" in signals or "quoted" in before, not signals.isdisjoint(("date", "visit", "urgency"))
    if ("accept" in signals and quoted and dated) or (line.nods and ("ordered" in before or "book" in asked)):
        found.add("settled")
    if "address" in asked and (line.words > 2 or (line.words and signals <= {"figure", "time", "quoted"})):
        found.add("answered")
    if "order" in asked and line.nods:
        found.add("agreed")
    if "confirmed" in asked and (line.nods or "visit" in signals):
        found.add("acknowledged")
    return found
