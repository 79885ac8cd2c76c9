"""Signals in what people write, by whole words, in every language at once: people switch between them.

A phrase is a run of words; the longest one that fits wins. A word of negation up to three words before a phrase, in the
same clause, turns it round: "no, a refund please" is not a refusal of the refund.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[.,!?;:…\n،؟؛]")
_PAUSES = frozenset(".,!?;:…\n،؟؛")
_NEGATION_REACH = 3
_MAX_CHARACTERS_OF_A_TEXT = 20_000
"""Ten times what a message of either platform can hold."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A signal in a text, with the words that gave it. `negated` when a negation stands before it."""

    signal: str
    phrase: str
    negated: bool


@dataclass(frozen=True, slots=True)
class Lexicon:
    """`phrases` by their first word, longest first; `words` tell a language."""

    phrases: Mapping[str, tuple[tuple[tuple[str, ...], str], ...]]
    negators: frozenset[str]
    words: Mapping[str, frozenset[str]]

    def hits(self, text: str) -> Iterator[Hit]:
        words, pauses = _split(text)
        place, negated_until = 0, -1
        while place < len(words):
            if place in pauses:
                negated_until = -1
            found = self._phrase_at(words, place)
            if found:
                phrase, signal = found
                yield Hit(signal, " ".join(phrase), negated=place <= negated_until)
                place += len(phrase)
                continue
            if words[place] in self.negators:
                negated_until = place + _NEGATION_REACH
            place += 1

    def language(self, texts: list[str]) -> str | None:
        """The language whose small words occur most, `taglish` where English and Tagalog do; None without any."""
        words = Counter(word for text in texts for word in tokenise(text))
        counts = {code: sum(words[word] for word in small) for code, small in self.words.items()}
        best = max(counts, key=lambda code: (counts[code], code))
        if counts[best] == 0:
            return None
        english, tagalog = counts.get("en", 0), counts.get("tl", 0)
        return "taglish" if best in ("en", "tl") and min(english, tagalog) * 5 >= max(english, tagalog) else best

    def _phrase_at(self, words: list[str], place: int) -> tuple[tuple[str, ...], str] | None:
        for phrase, signal in self.phrases.get(words[place], ()):
            if tuple(words[place : place + len(phrase)]) == phrase:
                return phrase, signal
        return None


def tokenise(text: str) -> list[str]:
    """Words in lower case without accents and marks; of a text of any length the first twenty thousand characters."""
    return _split(text)[0]


def _split(text: str) -> tuple[list[str], set[int]]:
    """Words, and the places of those that begin a clause."""
    plain = unicodedata.normalize("NFKD", text[:_MAX_CHARACTERS_OF_A_TEXT].casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter)).replace("’", "'")
    words: list[str] = []
    pauses: set[int] = set()
    for token in _TOKEN.findall(plain):
        if token in _PAUSES:
            pauses.add(len(words))
        else:
            words.append(token)
    return words, pauses


def load_lexicon() -> Lexicon:
    """From the language files beside this module."""
    by_first: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    negators: set[str] = set()
    words: dict[str, frozenset[str]] = {}
    folder = files("services.analyzer").joinpath("languages")
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        language = tomllib.loads(entry.read_text(encoding="utf-8"))
        words[entry.name.removesuffix(".toml")] = frozenset(tokenise(language["words"]))
        negators.update(word for negator in language["negators"] for word in tokenise(negator))
        for signal, phrases in language["signals"].items():
            for phrase in map(tuple, map(tokenise, phrases)):
                by_first.setdefault(phrase[0], []).append((phrase, signal))
    ordered = {first: tuple(sorted(group, key=lambda pair: (-len(pair[0]), pair))) for first, group in by_first.items()}
    return Lexicon(ordered, frozenset(negators), words)
