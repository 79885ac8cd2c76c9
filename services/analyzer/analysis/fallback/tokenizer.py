"""Split a text into normalised words: without case, accents, apostrophes and repeated letters. Pure.

In scripts without spaces (Thai, Chinese, Japanese) each letter is a word, and a phrase is a sequence of letters.
Digits become those of ASCII. They keep a unit in Latin and similar letters only: "20kg" is one word.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

MAX_CHARS = 20_000
"""Ten times the longest message of either platform."""
BREAK = ""
"""Marks the end of a sentence in `words`: no phrase goes across it."""
_MARKS = re.compile(
    "[\u0300-\u036f\u0610-\u061a\u0640\u064b-\u065f\u0670\u200b-\u200f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\ufe0f]+"
)
_ARABIC_ARTICLE = re.compile(r"\b[وبفك]?(?:ال|لل)(?=\w{3})")
_REPEATED_LETTERS = re.compile(r"([^\W\d_])\1\1+")
_DIGITS = {ord(zero) + digit: str(digit) for zero in "٠۰०๐" for digit in range(10)}
_LIKE = _DIGITS | str.maketrans(
    {"’": "", "‘": "", "đ": "d", "ı": "i", "ø": "o", "ł": "l", "ة": "ه", "ى": "ي", "ی": "ي"}
)
_LETTERS = r"\u0e00-\u0e7f\u3040-\u30ff\u4e00-\u9fff"
"""Letters of scripts without spaces."""
_DEVANAGARI = r"\u0900-\u0963\u0971-\u097f"
"""Without the danda and digits, with the vowel signs that are no word characters for `re`."""
_TOKEN = re.compile(
    rf"\d+(?:[.,:/]\d+)*[^\W\d_{_LETTERS}{_DEVANAGARI}]*"
    rf"|[{_LETTERS}]"
    rf"|[{_DEVANAGARI}]+"
    rf"|[^\W_{_LETTERS}{_DEVANAGARI}]+"
    r"|[👍👌🤝✅💯🙏👎🙅]"
    r"|[.!?;:…\n؟؛।॥。？！]|[,،、，]"
)
_QUESTION_MARKS = frozenset("?؟？")
_ENDS = frozenset(".!;:…\n؛।॥。！") | _QUESTION_MARKS
_PAUSES = frozenset(",،、，")


@dataclass(frozen=True, slots=True)
class Words:
    """`pauses`: the indexes of words after a comma; `asked`: those of the words in a clause with a question mark."""

    words: list[str]
    pauses: frozenset[int] | set[int]
    asked: frozenset[int] | set[int] = frozenset()

    def without(self, fillers: frozenset[str]) -> Words:
        if fillers.isdisjoint(self.words):
            return self
        kept: list[str] = []
        places: list[int] = []
        for word in self.words:
            places.append(len(kept))
            if word not in fillers:
                kept.append(word)
        places.append(len(kept))
        asked = {places[index] for index in self.asked if self.words[index] not in fillers}
        return Words(kept, {places[index] for index in self.pauses}, asked)


def split(text: str) -> Words:
    """Return the words of the first MAX_CHARS characters."""
    words: list[str] = []
    pauses: set[int] = set()
    asked: set[int] = set()
    clause = 0
    for token in _TOKEN.findall(_plain(text[:MAX_CHARS])):
        if token in _ENDS:
            if token in _QUESTION_MARKS:
                asked.update(range(clause, len(words)))
            words.append(BREAK)
            clause = len(words)
        elif token in _PAUSES:
            pauses.add(len(words))
            clause = len(words)
        else:
            words.append(token)
    return Words(words, pauses, asked)


def _plain(text: str) -> str:
    plain = text.casefold().replace("'", "")
    if not plain.isascii():
        plain = _MARKS.sub("", unicodedata.normalize("NFKD", plain)).translate(_LIKE)
        plain = _ARABIC_ARTICLE.sub("", plain)
    return _REPEATED_LETTERS.sub(r"\1", plain)
