"""What the customer's own words show, as the fallback scorer reads a conversation. Pure; one pass.

A business's line gives no signal. It tells what the customer's next lines answer: a picture after "send me the
receipt" is a payment, "Ann, 14 Park Row" after "your name and address?" an order's data, "yes" after "shall I book it?"
agrees.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from services.analyzer.analyst import Line, Role
from services.analyzer.details import has_phone
from services.analyzer.lexicon import Lexicon, main_language
from services.analyzer.wordsplit import BREAK, Words, split

PROOF_MARKS = frozenset({"[image]", "[file]"})
NOD_MARKS = frozenset({"[sticker]", "[heart]"})
LINES_THAT_TELL_A_LANGUAGE = 500
ANSWER_REACH = 3
"""How many lines of the customer may answer what the business asked."""
_STREET = re.compile(r"\b\d{1,5}[A-Za-z]?,? (?:[NSEW] )?[A-Z][a-z]+ [A-Z][a-z]+")
"""A number before a name of two words: "18 Beech Grove"."""
NODS = frozenset({"yes", "thanks", "accept"})
NOD_PLACES = 3
"""A line agrees whose first words do."""
SUBSTANTIAL_WORDS = 4
TIME_WORDS = 8
"""A line with a number and no more words than this may name a time."""
LOOKS = frozenset({"yes", "accept", "date", "urgency", "visit", "time"})
"""Who is offered a look at something and says one of these will come to look."""
LASTING = frozenset({"proof", "address"})
"""What is still asked when the business has said something else meanwhile."""
HOLDS_BACK = frozenset({"later", "expensive", "refuse", "complaint", "soon"})
"""Who says one of these has not simply agreed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was seen. Places are those of lines in the conversation; `last` has the last one by signal.

    Of `lines` only the customer's. `times` counts the lines with a signal, `phrases` its different phrases. `negated`
    are the signals that only came with a negation before them.
    """

    number: int
    last: Mapping[str, int]
    times: Mapping[str, int]
    phrases: Mapping[str, int]
    negated: frozenset[str]
    figures: int
    questions: int
    language: str | None

    def has(self, *signals: str) -> bool:
        return any(signal in self.last for signal in signals)

    def last_of(self, *signals: str) -> int:
        return max((self.last.get(signal, -1) for signal in signals), default=-1)


@dataclass(slots=True)
class _Reader:
    lexicon: Lexicon
    languages: int
    last: dict[str, int] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    phrases: dict[str, set[str]] = field(default_factory=dict)
    negated: set[str] = field(default_factory=set)
    asked: dict[str, int] = field(default_factory=dict)
    """What the business asked for or said, by how many of the customer's next lines may still answer it."""
    substantial: bool = False
    """Whether the customer had said more than a greeting when the business spoke last."""
    heard: bool = False
    answered: bool = False
    place: int = -1
    """Of the customer's last line."""
    number: int = 0
    figures: int = 0
    questions: int = 0

    def hear(self, line: Line) -> None:
        """A line of the business."""
        self.heard = True
        if self.answered:
            self.asked = {name: left for name, left in self.asked.items() if name in LASTING}
            self.answered = False
        words = self.lexicon.split(line.text)
        said = self.lexicon.context(words, self.languages)
        if self.substantial and any(map(_is_amount, words.words)):
            said.add("quote")
        self._take_back(said)
        self.asked |= dict.fromkeys(said, ANSWER_REACH)

    def _take_back(self, said: set[str]) -> None:
        """What a business says sorry for, or goodbye to, was no wish to buy. It can only lower the score."""
        if self.place < 0 or self.last.get("asks", -1) == self.place:
            return
        if "apology" in said:
            if self.last.get("paid", -1) == self.place:
                self.last["complaint"] = self.place
            self.last["gripe"] = self.place
            self.phrases.setdefault("gripe", set()).add("(the business says sorry)")
        if "parting" in said and self.last.get("commit", -1) < self.place:
            self.last["parted"] = self.place

    def read(self, place: int, line: Line) -> None:
        """A line of the customer."""
        self.number += 1
        self.place = place
        self.answered = True
        words = self.lexicon.split(line.text)
        spoken = sum(word != BREAK for word in words.words)
        question = "?" in line.text or "؟" in line.text or "？" in line.text
        signals, nods = self._signals(words, question)
        if any(word[0].isdigit() for word in words.words if word):
            signals.add("figure")
        if "figure" in signals and _STREET.search(line.text):
            signals.add("address")
        if self.heard and not question and ({"figure", "address"} <= signals or has_phone(line.text)):
            signals.add("given")
        if question:
            signals.add("asks")
        if question and not signals.isdisjoint(("price", "availability", "delivery", "terms")):
            signals.add("inquiry")
        if not PROOF_MARKS.isdisjoint(line.marks):
            signals.add("picture")
        if "figure" in signals and spoken <= TIME_WORDS:
            signals.add("time")
        self._answer(signals, question, spoken, nods or not NOD_MARKS.isdisjoint(line.marks))
        self.substantial = self.substantial or question or spoken >= SUBSTANTIAL_WORDS or "picture" in signals
        self.figures += "figure" in signals
        self.questions += question
        for signal in signals:
            self.last[signal] = place
        self.times.update(signals)

    def _signals(self, words: Words, question: bool) -> tuple[set[str], bool]:
        """And whether the line begins with an agreement."""
        found: set[str] = set()
        nods = False
        for hit in self.lexicon.hits(words, self.languages):
            if hit.negated:
                self.negated.add(hit.signal)
                continue
            signal = "order" if question and hit.signal == "commit" else hit.signal
            found.add(signal)
            nods = nods or (hit.place < NOD_PLACES and signal in NODS)
            self.phrases.setdefault(signal, set()).add(hit.phrase)
        return found, nods

    def _answer(self, signals: set[str], question: bool, spoken: int, nods: bool) -> None:
        """Adds to the signals what the line is as an answer to what the business said before it."""
        asked, self.asked = self.asked, {name: left - 1 for name, left in self.asked.items() if left > 1}
        if "later" in signals and signals & {"urgency", "date"} and signals & {"order", "commit", "terms", "paid"}:
            signals -= {"later", "commit", "paid"}
            signals.add("soon")
        held_back = question or not HOLDS_BACK.isdisjoint(signals)
        if "quote" in asked:
            signals.add("quoted")
            if nods and not held_back:
                signals.add("accept")
        if "proof" in asked and "picture" in signals and signals.isdisjoint({"complaint", "refuse"}):
            signals.add("paid")
        if "viewing" in asked and signals.isdisjoint(HOLDS_BACK) and signals & LOOKS:
            signals.add("viewing")
        if held_back:
            return
        if (
            "accept" in signals
            and "quoted" in self.last | dict.fromkeys(signals)
            and signals & {"date", "visit", "urgency"}
        ):
            signals.add("settled")
        if "address" in asked and (spoken > 2 or (spoken and signals <= {"figure", "time", "quoted"})):
            signals.add("answered")
        if "order" in asked and nods:
            signals.add("agreed")
        if "confirmed" in asked and (nods or "visit" in signals):
            signals.add("acknowledged")


def _is_amount(word: str) -> bool:
    """A number of three digits or more, or one with a unit or a fraction: what a price looks like."""
    digits = sum(map(str.isdigit, word))
    return (
        word[:1].isdigit() and ":" not in word and "/" not in word and (digits >= 3 or (digits == 2 and len(word) > 2))
    )


def read(lines: tuple[Line, ...], lexicon: Lexicon) -> Reading:
    """A signal that is negated is none; which ones only came negated is remembered."""
    counts = lexicon.languages(_first_words(lines))
    reader = _Reader(lexicon, lexicon.spoken(counts))
    for place, line in enumerate(lines):
        if line.role is Role.CUSTOMER:
            reader.read(place, line)
        else:
            reader.hear(line)
    return Reading(
        number=reader.number,
        last=reader.last,
        times=reader.times,
        phrases={signal: len(phrases) for signal, phrases in reader.phrases.items()},
        negated=frozenset(reader.negated - reader.last.keys()),
        figures=reader.figures,
        questions=reader.questions,
        language=main_language(counts),
    )


def _first_words(lines: tuple[Line, ...]) -> Iterator[str]:
    said = (line for line in lines if line.role is Role.CUSTOMER and line.text)
    return (word for line in islice(said, LINES_THAT_TELL_A_LANGUAGE) for word in split(line.text).words)
