"""The passages of a conversation that the local model has encoded: each line with what it answers, and the last lines.

Pure. A line never changes the passage of an earlier one, so a new message costs one passage with its answer and the
three that end with the conversation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.analyzer.analysis.analyst import SpeakerRole, TranscriptLine

NAMES = {SpeakerRole.CUSTOMER: "buyer", SpeakerRole.BUSINESS: "seller"}
"""Plain words that the encoder knows."""
MAX_ANSWERED_LINES = 2
MAX_ANSWERED_CHARS = 160
MAX_CUSTOMER_CHARS = 1_500
FEW_LINES, MORE_LINES = 4, 9
MAX_ANSWERS = 16


@dataclass(frozen=True, slots=True)
class Passage:
    """`lines` are the indexes of the customer's lines in it."""

    text: str
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Passages:
    """`answers` has the customer's newest lines, oldest first, each after the business's lines that it answers."""

    few: Passage
    more: Passage
    customer: Passage
    answers: tuple[Passage, ...]

    @property
    def each(self) -> tuple[Passage, ...]:
        return self.few, self.more, self.customer, *self.answers


def find_passages(lines: Sequence[TranscriptLine]) -> Passages:
    customer = [index for index, line in enumerate(lines) if line.role is SpeakerRole.CUSTOMER]
    words = " / ".join(_said(lines[index]) for index in customer[-MAX_CUSTOMER_CHARS:])[-MAX_CUSTOMER_CHARS:]
    return Passages(
        _last(lines, FEW_LINES),
        _last(lines, MORE_LINES),
        Passage(words, tuple(customer)),
        tuple(Passage(_answer(lines, index), (index,)) for index in customer[-MAX_ANSWERS:]),
    )


def _last(lines: Sequence[TranscriptLine], number: int) -> Passage:
    first = max(0, len(lines) - number)
    chosen = tuple(index for index in range(first, len(lines)) if lines[index].role is SpeakerRole.CUSTOMER)
    return Passage(" ".join(_named(line.role, _said(line)) for line in lines[first:]), chosen)


def _answer(lines: Sequence[TranscriptLine], index: int) -> str:
    """Return the line after the last lines of the other side before it, of which the end is kept."""
    end = index
    while end > 0 and lines[end - 1].role is lines[index].role:
        end -= 1
    start = end
    while start > 0 and end - start < MAX_ANSWERED_LINES and lines[start - 1].role is not lines[index].role:
        start -= 1
    line = _named(lines[index].role, _said(lines[index]))
    if start == end:
        return line
    answered = " / ".join(_said(each) for each in lines[start:end])[-MAX_ANSWERED_CHARS:]
    return f"{_named(lines[start].role, answered)} {line}"


def _named(role: SpeakerRole, text: str) -> str:
    return f"{NAMES[role]}: {text}"


def _said(line: TranscriptLine) -> str:
    return " ".join(part for part in (line.text, *line.marks) if part)
