"""Find signals in texts by whole words, in all languages of the conversation, as customers switch between them.

A phrase is a sequence of words; the longest one that matches wins. `~` stands for up to two words, a full stop at the
end of a phrase for the end of a clause. A negation up to three words before a phrase in the same clause negates it:
"no, a refund please" does not refuse the refund.
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
"""A language counts as spoken if it has this share of the words of the most spoken one."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A signal in a text, with its phrase and the index of its first word. `negated`: a negation stands before it."""

    signal: str
    phrase: str
    index: int
    negated: bool


@dataclass(frozen=True, slots=True)
class Phrase:
    """`rest` follows the first word, `text` is the phrase in its file, `language` the bit of its language."""

    rest: tuple[str, ...]
    signal: str
    text: str
    language: int


@dataclass(frozen=True, slots=True)
class Opening:
    """The phrases that begin with one word, longest first: by their second word, and those without a fixed one."""

    by_next: Mapping[str, tuple[Phrase, ...]]
    otherwise: tuple[Phrase, ...]


Phrases = Mapping[str, Opening]
"""By first word."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """`customer` has the phrases of customers, `business` those of the business that a customer may reply to.

    `language_words` maps words that are typical of a language to their languages, `bits` each language to a bit.
    """

    customer: Phrases
    business: Phrases
    negators: frozenset[str]
    fillers: frozenset[str]
    language_words: Mapping[str, tuple[str, ...]]
    bits: Mapping[str, int]

    def split(self, text: str) -> Words:
        return split(text).without(self.fillers)

    def hits(self, words: Words, languages: int = EVERY_LANGUAGE) -> list[Hit]:
        """Return what a customer signals, in the order of the words."""
        found: list[Hit] = []
        each, pauses, phrases, negators = words.words, words.pauses, self.customer, self.negators
        index, end, negated_until = 0, len(each), -1
        while index < end:
            word = each[index]
            if word == BREAK or index in pauses:
                negated_until = -1
            fitting = phrases.get(word)
            if fitting:
                phrase, after = _longest(fitting, words, index + 1, languages)
                if phrase:
                    found.append(Hit(phrase.signal, phrase.text, index, negated=index <= negated_until))
                    index = after
                    continue
            if word in negators:
                negated_until = index + NEGATION_REACH
            index += 1
        return found

    def find_business_signals(self, words: Words, languages: int = EVERY_LANGUAGE) -> set[str]:
        """Return what a business asks for or confirms."""
        phrases = self.business
        found = set()
        for index, word in enumerate(words.words):
            fitting = phrases.get(word)
            phrase = _longest(fitting, words, index + 1, languages)[0] if fitting else None
            if phrase:
                found.add(phrase.signal)
        return found

    def count_language_words(self, words: Iterable[str]) -> Counter[str]:
        """Return how many words are typical of each language."""
        counts: Counter[str] = Counter()
        language_words = self.language_words
        for word in words:
            for code in language_words.get(word, ()):
                counts[code] += 1
        return counts

    def spoken_languages(self, counts: Counter[str]) -> int:
        """Return the bits of the spoken languages and of signs; all bits if no word is typical of a language."""
        least = max(counts.values(), default=0) * SPOKEN_SHARE
        bits = sum(self.bits[code] for code, count in counts.items() if count >= least)
        return bits | self.bits["signs"] if bits else EVERY_LANGUAGE


def main_language(counts: Counter[str]) -> str | None:
    """Return the language with the most typical words, `taglish` for English mixed with Tagalog, None without any."""
    if not counts:
        return None
    best = max(counts, key=lambda code: (counts[code], code))
    english, tagalog = counts["en"], counts["tl"]
    return "taglish" if best in ("en", "tl") and min(english, tagalog) * 5 >= max(english, tagalog) else best


def _longest(opening: Opening, words: Words, index: int, languages: int) -> tuple[Phrase | None, int]:
    """Return the first phrase of these languages that matches the words from `index`, and the index after it."""
    following = words.words[index] if index < len(words.words) else BREAK
    for phrase in opening.by_next.get(following, opening.otherwise):
        if phrase.language & languages:
            end = _end(phrase.rest, words, index) if phrase.rest else index
            if end >= 0:
                return phrase, end
    return None, index


def _end(rest: tuple[str, ...], words: Words, index: int) -> int:
    """Return the index after `rest`, -1 if it does not match. A gap takes as few words as possible."""
    each = words.words
    for number, word in enumerate(rest):
        if word == GAP:
            return _end_after_gap(rest[number + 1 :], words, index)
        if word == BREAK:
            return index if index >= len(each) or each[index] == BREAK or index in words.pauses else -1
        if index >= len(each) or each[index] != word:
            return -1
        index += 1
    return index


def _end_after_gap(rest: tuple[str, ...], words: Words, index: int) -> int:
    each = words.words
    for skipped in range(GAP_REACH + 1):
        end = _end(rest, words, index + skipped)
        if end >= 0:
            return end
        if index + skipped >= len(each) or each[index + skipped] == BREAK:
            return -1
    return -1


@cache
def load_lexicon() -> Lexicon:
    """Read the language files once per process, which takes a tenth of a second."""
    languages = read_languages()
    bits = {code: 1 << number for number, code in enumerate(languages)}
    fillers = frozenset(word for language in languages.values() for word in _words(language, "fillers"))
    language_words: dict[str, tuple[str, ...]] = {}
    for code, language in languages.items():
        for word in dict.fromkeys(_words(language, "words")):
            language_words[word] = (*language_words.get(word, ()), code)
    return Lexicon(
        customer=_phrases(languages, bits, "signals", fillers),
        business=_phrases(languages, bits, "business", fillers),
        negators=frozenset(word for language in languages.values() for word in _words(language, "negators")),
        fillers=fillers,
        language_words=language_words,
        bits=bits,
    )


def read_languages() -> dict[str, dict[str, Any]]:
    folder = files("services.analyzer.analysis.fallback").joinpath("languages")
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return {entry.name.removesuffix(".toml"): tomllib.loads(entry.read_text(encoding="utf-8")) for entry in entries}


def phrases_of(block: str) -> list[str]:
    """Return the phrases of a block, which commas separate."""
    return [phrase for phrase in map(str.strip, block.replace("\n", " ").split(",")) if phrase]


def phrase_words(text: str, fillers: frozenset[str]) -> list[str]:
    parts = [split(part).without(fillers).words for part in text.split(GAP)]
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
