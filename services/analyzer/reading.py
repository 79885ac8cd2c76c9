"""What the customer's own words show, as the fallback scorer reads a conversation. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.analyzer.analyst import Line, Role
from services.analyzer.details import find_details
from services.analyzer.lexicon import Lexicon

PROOF_MARKS = frozenset({"[image]", "[file]"})


@dataclass(frozen=True, slots=True)
class Reading:
    """`last` has, by signal, the place of the customer's line in which it came last; -1 is none.

    `contact_given` is an e-mail address or a phone number, `proof_at` the place of the last picture or file.
    """

    lines: tuple[Line, ...]
    last: Mapping[str, int]
    need_negated: bool
    contact_given: bool
    proof_at: int

    def has(self, *signals: str) -> bool:
        return any(signal in self.last for signal in signals)

    def last_of(self, *signals: str) -> int:
        return max((self.last.get(signal, -1) for signal in signals), default=-1)


def read(lines: tuple[Line, ...], lexicon: Lexicon) -> Reading:
    """A signal that is negated is none; that something is *not* needed is remembered."""
    customer = tuple(line for line in lines if line.role is Role.CUSTOMER)
    last: dict[str, int] = {}
    need_negated = False
    for place, line in enumerate(customer):
        for hit in lexicon.hits(line.text):
            if not hit.negated:
                last[hit.signal] = place
            elif hit.signal == "need":
                need_negated = True
    details = find_details(line.text for line in customer)
    proofs = [place for place, line in enumerate(customer) if not PROOF_MARKS.isdisjoint(line.marks)]
    return Reading(customer, last, need_negated, bool(details.emails or details.phones), max(proofs, default=-1))
