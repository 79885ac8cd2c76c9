"""What the customer's own words show, as the fallback scorer reads a conversation. Pure; one pass.

A business's line gives no signal: it only tells what the customer's next lines answer, or takes back what they said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from services.analyzer.analysis.analyst import SpeakerRole, TranscriptLine
from services.analyzer.analysis.fallback.lexicon import Lexicon, main_language
from services.analyzer.analysis.fallback.reply_signals import CustomerReply, answers
from services.analyzer.analysis.fallback.tokenizer import BREAK, Words, split
from services.analyzer.contact.contact_details import has_phone

PROOF_MARKS = frozenset({"[image]", "[file]"})
NOD_MARKS = frozenset({"[sticker]", "[heart]"})
LINES_THAT_TELL_A_LANGUAGE = 500
ANSWER_REACH = 3
"""How many lines of the customer may answer what the business asked."""
LASTING = frozenset({"proof", "address"})
"""What is still asked when the business has said something else meanwhile."""
NODS = frozenset({"yes", "thanks", "accept"})
NOD_PLACES = 3
"""A line agrees whose first words do."""
SUBSTANTIAL_WORDS = 4
TIME_WORDS = 8
"""A line with a number and no more words than this may name a time."""
_STREET = re.compile(r"\b\d{1,5}[A-Za-z]?,? (?:[NSEW] )?[A-Z][a-z]+ [A-Z][a-z]+")
"""A number before a name of two words: "18 Beech Grove"."""


@dataclass(frozen=True, slots=True)
class ConversationSignals:
    """What was seen. `last` has the place of the last line with a signal, `phrases` how many different ones gave it.

    `number`, `figures` and `questions` count the customer's lines: all, those with a number, those that ask.
    """

    number: int
    last: Mapping[str, int]
    phrases: Mapping[str, int]
    figures: int
    questions: int
    language: str | None

    def has(self, *signals: str) -> bool:
        return any(signal in self.last for signal in signals)

    def last_of(self, *signals: str) -> int:
        """-1 where none of them was seen."""
        return max((self.last.get(signal, -1) for signal in signals), default=-1)


def read(lines: tuple[TranscriptLine, ...], lexicon: Lexicon) -> ConversationSignals:
    """A signal that is negated is none."""
    counts = lexicon.languages(_first_words(lines))
    reader = _SignalCollector(lexicon, lexicon.spoken(counts))
    for place, line in enumerate(lines):
        if line.role is SpeakerRole.CUSTOMER:
            reader.read(place, line)
        else:
            reader.hear(line)
    return ConversationSignals(
        number=reader.number,
        last=reader.last,
        phrases={signal: len(phrases) for signal, phrases in reader.phrases.items()},
        figures=reader.figures,
        questions=reader.questions,
        language=main_language(counts),
    )


def _first_words(lines: tuple[TranscriptLine, ...]) -> Iterator[str]:
    said = (line for line in lines if line.role is SpeakerRole.CUSTOMER and line.text)
    return (word for line in islice(said, LINES_THAT_TELL_A_LANGUAGE) for word in split(line.text).words)


@dataclass(slots=True)
class _SignalCollector:
    """`asked` is what the business asked for or said, by how many of the customer's next lines may still answer it.

    `substantial`: the customer has said more than a greeting, before which nothing is an answer; `heard`: the business
    has spoken; `answered`: the customer has spoken since; `place` is that of the customer's last line.
    """

    lexicon: Lexicon
    languages: int
    last: dict[str, int] = field(default_factory=dict)
    phrases: dict[str, set[str]] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    substantial: bool = False
    heard: bool = False
    answered: bool = False
    place: int = -1
    number: int = 0
    figures: int = 0
    questions: int = 0

    def hear(self, line: TranscriptLine) -> None:
        """A line of the business."""
        self.heard = True
        if self.answered:
            self.asked = {name: left for name, left in self.asked.items() if name in LASTING}
            self.answered = False
        words = self.lexicon.split(line.text)
        said = self.lexicon.context(words, self.languages)
        if any(map(_is_amount, words.words)):
            said.add("quote")
        self._take_back(said)
        if self.substantial:
            self.asked |= dict.fromkeys(said, ANSWER_REACH)

    def _take_back(self, said: set[str]) -> None:
        """Lower the customer's last line to what the business's apology or goodbye shows it was.

        A question is left alone, and so is a customer who has only greeted: there is nothing to take back.
        """
        if not self.substantial or self.last.get("asks", -1) == self.place:
            return
        if "apology" in said:
            if self.last.get("paid", -1) == self.place:
                self.last["complaint"] = self.place
            self.last["gripe"] = self.place
            self.phrases.setdefault("gripe", set()).add("(the business says sorry)")
        if "parting" in said and self.last.get("commit", -1) < self.place:
            self.last["parted"] = self.place

    def read(self, place: int, line: TranscriptLine) -> None:
        """A line of the customer."""
        words = self.lexicon.split(line.text)
        spoken = sum(word != BREAK for word in words.words)
        asks = "?" in line.text or "؟" in line.text or "？" in line.text
        signals, nods = self._signals(words, asks)
        signals |= self._facts(line, words, spoken, signals)
        if asks:
            signals |= _asked_for(signals)
        elif "order" in signals and signals.isdisjoint(("price", "availability", "details")):
            signals.add("ordered")
        if "later" in signals and _is_soon(signals):
            signals -= {"later", "commit", "paid"}
            signals.add("soon")
        asked, self.asked = self.asked, {name: left - 1 for name, left in self.asked.items() if left > 1}
        nods = nods or not NOD_MARKS.isdisjoint(line.marks)
        signals |= answers(CustomerReply(signals, spoken, asks, nods), asked, self.last)
        self._remember(place, signals, spoken)

    def _signals(self, words: Words, asks: bool) -> tuple[set[str], bool]:
        """What the words signal, and whether the line begins with an agreement."""
        found: set[str] = set()
        nods = False
        for hit in self.lexicon.hits(words, self.languages):
            if hit.negated:
                continue
            signal = "order" if asks and hit.signal == "commit" else hit.signal
            found.add(signal)
            nods = nods or (hit.place < NOD_PLACES and signal in NODS)
            self.phrases.setdefault(signal, set()).add(hit.phrase)
        if not self.heard:
            found.discard("paid")  # who begins with what was paid has bought before
        return found, nods

    def _facts(self, line: TranscriptLine, words: Words, spoken: int, signals: set[str]) -> set[str]:
        """What is seen without knowing a word: numbers, addresses, phone numbers, pictures."""
        found = set()
        if any(word[0].isdigit() for word in words.words if word):
            found.add("figure")
            if spoken <= TIME_WORDS:
                found.add("time")
        where = "figure" in found and ("address" in signals or _STREET.search(line.text) is not None)
        if self.heard and "?" not in line.text and (where or has_phone(line.text)):
            found.add("given")
        if not PROOF_MARKS.isdisjoint(line.marks):
            found.add("picture")
        return found

    def _remember(self, place: int, signals: set[str], spoken: int) -> None:
        self.place = place
        self.answered = True
        self.number += 1
        self.figures += "figure" in signals
        self.questions += "asks" in signals
        self.substantial = (
            self.substantial or spoken >= SUBSTANTIAL_WORDS or not signals.isdisjoint(("asks", "picture"))
        )
        self.last |= dict.fromkeys(signals, place)


def _asked_for(signals: set[str]) -> set[str]:
    return {"asks"} if signals.isdisjoint(("price", "availability", "delivery", "terms")) else {"asks", "inquiry"}


def _is_soon(signals: set[str]) -> bool:
    """A day and a payment or an order beside it: that is no putting off."""
    return not signals.isdisjoint(("urgency", "date")) and not signals.isdisjoint(("order", "commit", "terms", "paid"))


def _is_amount(word: str) -> bool:
    """A number of three digits or more, or one with a unit or a fraction: what a price looks like."""
    if not word[:1].isdigit() or ":" in word or "/" in word:
        return False
    digits = sum(map(str.isdigit, word))
    return digits >= 3 or (digits == 2 and len(word) > 2)
