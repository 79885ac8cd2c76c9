"""Find the signals in a conversation for the fallback scorer, in one pass. Pure.

Only customers' lines signal anything. A line of the business decides what the customer's next lines reply to, and may
lower what the customer's last line seemed to be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import islice

from services.analyzer.analysis.analyst import SpeakerRole, TranscriptLine
from services.analyzer.analysis.fallback.lexicon import Lexicon, main_language
from services.analyzer.analysis.fallback.reply_signals import CustomerReply, reply_signals
from services.analyzer.analysis.fallback.tokenizer import BREAK, Words, split
from services.analyzer.contact.contact_details import has_phone

PROOF_MARKS = frozenset({"[image]", "[file]"})
AGREEMENT_MARKS = frozenset({"[sticker]", "[heart]"})
MAX_LANGUAGE_LINES = 500
"""How many of the customer's lines are read to find the language."""
REPLY_LINES = 3
"""How many of the customer's lines may reply to what the business asked."""
LASTING_QUESTIONS = frozenset({"proof", "address"})
"""Questions that stay open when the business writes something else."""
AGREEMENT_SIGNALS = frozenset({"yes", "thanks", "accept"})
AGREEMENT_WORDS = 3
"""A line agrees if an agreement begins in its first words."""
SUBSTANTIAL_WORDS = 4
MAX_TIME_WORDS = 8
"""A line with a number and no more words than this may name a time."""
_SENTENCE = re.compile(r"[^.!?;…\n؟।。？！]*(?:[.!?;…\n؟।。？！]|$)")
_STREET = re.compile(r"\b\d{1,5}[A-Za-z]?,? (?:[NSEW] )?[A-Z][a-z]+ [A-Z][a-z]+")
"""A number before a name of two words: "18 Beech Grove"."""


@dataclass(frozen=True, slots=True)
class ConversationSignals:
    """`last` maps a signal to the index of the last line with it, `phrases` to the number of its different phrases.

    `words` has those of each line. `by_line` maps the index of each of the customer's lines to its signals,
    `business_by_line` those of the business to what they ask or say. `number`, `figures` and `questions` count the
    customer's lines: all, those with a number, those with a question.
    """

    words: Sequence[Words]
    by_line: Mapping[int, Set[str]]
    business_by_line: Mapping[int, Set[str]]
    number: int
    last: Mapping[str, int]
    phrases: Mapping[str, int]
    figures: int
    questions: int
    language: str | None

    def has(self, *signals: str) -> bool:
        return any(signal in self.last for signal in signals)

    def last_of(self, *signals: str) -> int:
        """Return the index of the last line with any of `signals`; -1 if there is none."""
        return max((self.last.get(signal, -1) for signal in signals), default=-1)


def find_signals(lines: tuple[TranscriptLine, ...], lexicon: Lexicon) -> ConversationSignals:
    """Return the signals of the customer's lines; negated ones do not count."""
    words = [split(line.text) for line in lines]
    counts = lexicon.count_language_words(_first_words(lines, words))
    collector = _SignalCollector(lexicon, lexicon.spoken_languages(counts))
    for index, (line, each) in enumerate(zip(lines, words, strict=True)):
        if line.role is SpeakerRole.CUSTOMER:
            collector.add_customer_line(index, line, each.without(lexicon.fillers))
        else:
            collector.add_business_line(index, each.without(lexicon.fillers))
    return ConversationSignals(
        words=words,
        by_line=collector.by_line,
        business_by_line=collector.business_by_line,
        number=collector.number,
        last=collector.last,
        phrases={signal: len(phrases) for signal, phrases in collector.phrases.items()},
        figures=collector.figures,
        questions=collector.questions,
        language=main_language(counts),
    )


def _first_words(lines: tuple[TranscriptLine, ...], words: Sequence[Words]) -> Iterator[str]:
    with_text = (
        each for line, each in zip(lines, words, strict=True) if line.role is SpeakerRole.CUSTOMER and line.text
    )
    return (word for each in islice(with_text, MAX_LANGUAGE_LINES) for word in each.words)


@dataclass(slots=True)
class _SignalCollector:
    """`asked` maps what the business asked or said to the number of customer's lines that may still reply to it.

    `substantial`: the customer has said more than a greeting; nothing before that is a reply. `business_spoke`: the
    business has written. `customer_replied`: the customer has written since. `index` is that of the customer's last
    line.
    """

    lexicon: Lexicon
    languages: int
    by_line: dict[int, set[str]] = field(default_factory=dict)
    business_by_line: dict[int, set[str]] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    phrases: dict[str, set[str]] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    substantial: bool = False
    business_spoke: bool = False
    customer_replied: bool = False
    index: int = -1
    number: int = 0
    figures: int = 0
    questions: int = 0

    def add_business_line(self, index: int, words: Words) -> None:
        self.business_spoke = True
        if self.customer_replied:
            self.asked = {name: left for name, left in self.asked.items() if name in LASTING_QUESTIONS}
            self.customer_replied = False
        asked = self.lexicon.find_business_signals(words, self.languages)
        if any(map(_is_amount, words.words)):
            asked.add("quote")
        self.business_by_line[index] = asked
        self._lower_last_line(asked)
        if self.substantial:
            self.asked |= dict.fromkeys(asked, REPLY_LINES)

    def _lower_last_line(self, said: set[str]) -> None:
        """Lower the customer's last line to what the business's apology or goodbye shows it was.

        A question stays as it is, and so does a customer who has only greeted: there is nothing to lower.
        """
        if not self.substantial or self.last.get("asks", -1) == self.index:
            return
        if "apology" in said:
            if self.last.get("paid", -1) == self.index:
                self._add_to_last_line("complaint")
            self._add_to_last_line("gripe")
            self.phrases.setdefault("gripe", set()).add("(the business says sorry)")
        if "parting" in said and self.last.get("commit", -1) < self.index:
            self._add_to_last_line("parted")

    def _add_to_last_line(self, signal: str) -> None:
        self.last[signal] = self.index
        self.by_line[self.index].add(signal)

    def add_customer_line(self, index: int, line: TranscriptLine, words: Words) -> None:
        word_count = sum(word != BREAK for word in words.words)
        stated, wondered, agrees = self._word_signals(words)
        signals = stated | wondered
        signals |= self._other_signals(line, words, word_count, signals)
        if words.asked:
            signals |= _question_signals(wondered)
        if "order" in stated and stated.isdisjoint(("price", "availability", "details")):
            signals.add("ordered")
        if "later" in signals and _is_soon(signals):
            signals -= {"later", "commit", "paid"}
            signals.add("soon")
        asked, self.asked = self.asked, {name: left - 1 for name, left in self.asked.items() if left > 1}
        agrees = agrees or not AGREEMENT_MARKS.isdisjoint(line.marks)
        is_question = word_count > 0 and len(words.asked) >= word_count
        signals |= reply_signals(CustomerReply(signals, word_count, is_question, agrees), asked, self.last)
        self._add_signals(index, signals, word_count)

    def _word_signals(self, words: Words) -> tuple[set[str], set[str], bool]:
        """Return what the clauses without and with a question mark signal, and whether the line begins by agreeing."""
        stated: set[str] = set()
        wondered: set[str] = set()
        agrees = False
        for hit in self.lexicon.hits(words, self.languages):
            if hit.negated:
                continue
            is_asked = hit.index in words.asked
            signal = "order" if is_asked and hit.signal == "commit" else hit.signal
            (wondered if is_asked else stated).add(signal)
            agrees = agrees or (not is_asked and hit.index < AGREEMENT_WORDS and signal in AGREEMENT_SIGNALS)
            self.phrases.setdefault(signal, set()).add(hit.phrase)
        if not self.business_spoke:
            stated.discard("paid")  # a customer who begins with a payment means an earlier purchase
            wondered.discard("paid")
        return stated, wondered, agrees

    def _other_signals(self, line: TranscriptLine, words: Words, word_count: int, signals: set[str]) -> set[str]:
        """Return what needs no lexicon: numbers, addresses, phone numbers, pictures."""
        found = set()
        if any(word[0].isdigit() for word in words.words if word):
            found.add("figure")
            if word_count <= MAX_TIME_WORDS:
                found.add("time")
        text = _without_questions(line.text) if words.asked else line.text
        has_address = "figure" in found and ("address" in signals or _STREET.search(text) is not None)
        if self.business_spoke and text and (has_address or has_phone(text)):
            found.add("given")
        if not PROOF_MARKS.isdisjoint(line.marks):
            found.add("picture")
        return found

    def _add_signals(self, index: int, signals: set[str], word_count: int) -> None:
        self.index = index
        self.customer_replied = True
        self.number += 1
        self.figures += "figure" in signals
        self.questions += "asks" in signals
        self.substantial = (
            self.substantial or word_count >= SUBSTANTIAL_WORDS or not signals.isdisjoint(("asks", "picture"))
        )
        self.by_line[index] = signals
        self.last |= dict.fromkeys(signals, index)


def _without_questions(text: str) -> str:
    return "".join(each for each in _SENTENCE.findall(text) if not each.endswith(("?", "؟", "？")))


def _question_signals(signals: set[str]) -> set[str]:
    return {"asks"} if signals.isdisjoint(("price", "availability", "delivery", "terms")) else {"asks", "inquiry"}


def _is_soon(signals: set[str]) -> bool:
    """Return whether a date stands beside a payment or an order: then "later" does not postpone the purchase."""
    return not signals.isdisjoint(("urgency", "date")) and not signals.isdisjoint(("order", "commit", "terms", "paid"))


def _is_amount(word: str) -> bool:
    """Return whether a word looks like a price: three digits or more, or two with a unit or a fraction."""
    if not word[:1].isdigit() or ":" in word or "/" in word:
        return False
    digits = sum(map(str.isdigit, word))
    return digits >= 3 or (digits == 2 and len(word) > 2)
