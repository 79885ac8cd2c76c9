"""Conversations in which one fact decides, whatever the model says. Pure.

Each is nearly always right; docs/model-card.md has the measured precision of each.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.analyzer.analysis.analyst import TranscriptLine
from services.analyzer.analysis.fallback.signals import ConversationSignals
from shared.contract.contacts import Band, LeadStatus

QUIET_AFTER = timedelta(days=3)
MIN_UNANSWERED = 2
MAX_GREETING_CHARS = 20
INTEREST = frozenset({"price", "availability", "need", "viewing", "negotiate", "order", "commit", "paid", "asks"})
"""A customer who refuses something and signals one of these in the same line does not end the conversation."""


@dataclass(frozen=True, slots=True)
class Override:
    """`band` None leaves the band to the model."""

    name: str
    why: str
    status: LeadStatus
    band: Band | None = None


EMPTY = Override("empty", "The customer has written no more than a greeting", LeadStatus.NEW, Band.COLD)
REFUSAL = Override("refusal", "The customer refuses and takes leave", LeadStatus.LOST, Band.COLD)
SILENCE = Override("silence", "The customer does not answer", LeadStatus.UNRESPONSIVE)
OVERRIDES = (EMPTY, REFUSAL, SILENCE)


def find_override(lines: tuple[TranscriptLine, ...], seen: ConversationSignals, now: datetime) -> Override | None:
    """Return the first that applies."""
    if not seen.last and all(map(_is_greeting, (lines[index] for index in seen.by_line))):
        return EMPTY
    last = max(seen.by_line)
    if _takes_leave(seen.by_line[last]):
        return REFUSAL
    unanswered = len(lines) - 1 - last
    return SILENCE if unanswered >= MIN_UNANSWERED and now - lines[-1].at > QUIET_AFTER else None


def _is_greeting(line: TranscriptLine) -> bool:
    """Return whether a line without a signal is as short as a greeting."""
    return len(line.text) <= MAX_GREETING_CHARS and not line.marks


def _takes_leave(last: Set[str]) -> bool:
    return ("parted" in last or {"refuse", "thanks"} <= last) and INTEREST.isdisjoint(last)
