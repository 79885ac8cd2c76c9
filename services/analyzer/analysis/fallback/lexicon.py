"""Signals in what people write, by whole words, in the languages that a conversation is in: people switch between them.

A phrase is a run of words; the longest one that fits wins. `~` in it stands for up to two words, a full stop behind it
for the end of a clause. A word of negation up to three words before a phrase, in the same clause, turns it round: "no,
a refund please" is not a refusal of the refund.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from services.analyzer.analysis.fallback.tokenizer import BREAK, Words, split

NEGATION_REACH = 3
GAP = "~"
GAP_REACH = 2
EVERY_LANGUAGE = -1
SPOKEN_SHARE = 0.2
"""A language is spoken when this many of its small words occur for each one of the language most spoken."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A signal in a text, with the words that gave it and where they begin. `negated`: a negation stands before it."""

    signal: str
    phrase: str
    place: int
    negated: bool


@dataclass(frozen=True, slots=True)
class Phrase:
    """`rest` follows the first word. `text` is how it stands in the file of its language, of which this is the bit."""

    rest: tuple[str, ...]
    signal: str
    text: str
    language: int


@dataclass(frozen=True, slots=True)
class Opening:
    """The phrases that begin with one word, longest first: those that may fit before a word, or before any other."""

    by_next: Mapping[str, tuple[Phrase, ...]]
    otherwise: tuple[Phrase, ...]


Phrases = Mapping[str, Opening]
"""By their first word."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """`customer` tells what a customer signals, `business` what a customer's answer refers to.

    `small` has the words that tell a language, with their languages; `bits` a bit for each language.
    """

    customer: Phrases
    business: Phrases
    negators: frozenset[str]
    fillers: frozenset[str]
    small: Mapping[str, tuple[str, ...]]
    bits: Mapping[str, int]

    def split(self, text: str) -> Words:
        return split(text, self.fillers)

    def hits(self, words: Words, languages: int = EVERY_LANGUAGE) -> list[Hit]:
        """What a customer signals, in the order of the words."""
        found: list[Hit] = []
        each, pauses, phrases, negators = words.words, words.pauses, self.customer, self.negators
        place, end, negated_until = 0, len(each), -1
        while place < end:
            word = each[place]
            if word == BREAK or place in pauses:
                negated_until = -1
            fitting = phrases.get(word)
            if fitting:
                phrase, after = _longest(fitting, words, place + 1, languages)
                if phrase:
                    found.append(Hit(phrase.signal, phrase.text, place, negated=place <= negated_until))
                    place = after
                    continue
            if word in negators:
                negated_until = place + NEGATION_REACH
            place += 1
        return found

    def context(self, words: Words, languages: int = EVERY_LANGUAGE) -> set[str]:
        """What a business asks for or confirms."""
        phrases = self.business
        found = set()
        for place, word in enumerate(words.words):
            fitting = phrases.get(word)
            phrase = _longest(fitting, words, place + 1, languages)[0] if fitting else None
            if phrase:
                found.add(phrase.signal)
        return found

    def languages(self, words: Iterable[str]) -> Counter[str]:
        """How many words tell each language."""
        counts: Counter[str] = Counter()
        small = self.small
        for word in words:
            for code in small.get(word, ()):
                counts[code] += 1
        return counts

    def spoken(self, counts: Counter[str]) -> int:
        """The bits of the languages that are spoken; all of them where no word tells one. Signs are always."""
        least = max(counts.values(), default=0) * SPOKEN_SHARE
        bits = sum(self.bits[code] for code, count in counts.items() if count >= least)
        return bits | self.bits["signs"] if bits else EVERY_LANGUAGE


def main_language(counts: Counter[str]) -> str | None:
    """The one that most words tell, `taglish` where English and Tagalog are mixed; None where no word tells one."""
    if not counts:
        return None
    best = max(counts, key=lambda code: (counts[code], code))
    english, tagalog = counts["en"], counts["tl"]
    return "taglish" if best in ("en", "tl") and min(english, tagalog) * 5 >= max(english, tagalog) else best


def _longest(opening: Opening, words: Words, place: int, languages: int) -> tuple[Phrase | None, int]:
    """The first of these languages that goes on with the words from `place`, and where it ends."""
    following = words.words[place] if place < len(words.words) else BREAK
    for phrase in opening.by_next.get(following, opening.otherwise):
        if phrase.language & languages:
            end = _end(phrase.rest, words, place) if phrase.rest else place
            if end >= 0:
                return phrase, end
    return None, place


def _end(rest: tuple[str, ...], words: Words, place: int) -> int:
    """-1 where it does not fit. Each gap is tried with the fewest words first."""
    each = words.words
    for number, word in enumerate(rest):
        if word == GAP:
            return _end_after_gap(rest[number + 1 :], words, place)
        if word == BREAK:
            return place if place >= len(each) or each[place] == BREAK or place in words.pauses else -1
        if place >= len(each) or each[place] != word:
            return -1
        place += 1
    return place


def _end_after_gap(rest: tuple[str, ...], words: Words, place: int) -> int:
    each = words.words
    for skipped in range(GAP_REACH + 1):
        end = _end(rest, words, place + skipped)
        if end >= 0:
            return end
        if place + skipped >= len(each) or each[place + skipped] == BREAK:
            return -1
    return -1


@cache
def load_lexicon() -> Lexicon:
    """From the language files beside this module, once a process: it takes a tenth of a second and never changes."""
    languages = read_languages()
    bits = {code: 1 << number for number, code in enumerate(languages)}
    fillers = frozenset(word for language in languages.values() for word in _words(language, "fillers"))
    small: dict[str, tuple[str, ...]] = {}
    for code, language in languages.items():
        for word in dict.fromkeys(_words(language, "words")):
            small[word] = (*small.get(word, ()), code)
    return Lexicon(
        customer=_phrases(languages, bits, "signals", fillers),
        business=_phrases(languages, bits, "business", fillers),
        negators=frozenset(word for language in languages.values() for word in _words(language, "negators")),
        fillers=fillers,
        small=small,
        bits=bits,
    )


def read_languages() -> dict[str, dict[str, Any]]:
    folder = files("services.analyzer.analysis.fallback").joinpath("languages")
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return {entry.name.removesuffix(".toml"): tomllib.loads(entry.read_text(encoding="utf-8")) for entry in entries}


def phrases_of(block: str) -> list[str]:
    """Commas stand between the phrases of a block."""
    return [phrase for phrase in map(str.strip, block.replace("\n", " ").split(",")) if phrase]


def phrase_words(text: str, fillers: frozenset[str]) -> list[str]:
    parts = [split(part, fillers).words for part in text.split(GAP)]
    return [word for number, part in enumerate(parts) for word in ([GAP] if number else []) + part]


def _words(language: Mapping[str, Any], key: str) -> list[str]:
    return split(language.get(key, "").replace("\n", " ")).words


def _phrases(
    languages: Mapping[str, Mapping[str, Any]], bits: Mapping[str, int], table: str, fillers: frozenset[str]
) -> Phrases:
    by_first: dict[str, list[Phrase]] = {}
    for code, language in languages.items():
        for signal, block in language.get(table, {}).items():
            for text in phrases_of(block):
                first, *rest = phrase_words(text, fillers)
                by_first.setdefault(first, []).append(Phrase(tuple(rest), signal, text, bits[code]))
    return {first: _opening(group) for first, group in by_first.items()}


def _opening(group: list[Phrase]) -> Opening:
    fixed = {phrase.rest[0] for phrase in group if phrase.rest} - {GAP, BREAK}
    open_ended = [phrase for phrase in group if not phrase.rest or phrase.rest[0] in (GAP, BREAK)]
    by_next = {word: [phrase for phrase in group if phrase.rest and phrase.rest[0] == word] for word in fixed}
    return Opening(
        {word: tuple(sorted(phrases + open_ended, key=_longest_first)) for word, phrases in by_next.items()},
        tuple(sorted(open_ended, key=_longest_first)),
    )


def _longest_first(phrase: Phrase) -> tuple[int, str, int]:
    return -sum(word != GAP for word in phrase.rest), phrase.text, phrase.language
