"""Split a text into normalised words: without case, accents, apostrophes and repeated letters. Pure.

In scripts without spaces (Thai, Chinese, Japanese) each letter is a word, and a phrase is a sequence of letters.
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
_LIKE = str.maketrans({"’": "", "‘": "", "đ": "d", "ı": "i", "ø": "o", "ł": "l", "ة": "ه", "ى": "ي", "ی": "ي"})
_TOKEN = re.compile(
    r"\d+(?:[.,:/]\d+)*(?:[^\W\d_]+)?"
    r"|[\u0e00-\u0e7f\u3040-\u30ff\u4e00-\u9fff]"
    r"|(?:[^\W_\u0e00-\u0e7f\u3040-\u30ff\u4e00-\u9fff]|[\u0900-\u097f])+"
    r"|[👍👌🤝✅💯🙏👎🙅]"
    r"|[.!?;:…\n؟؛।。？！]|[,،、，]"
)
_ENDS = frozenset(".!?;:…\n؟؛।。？！")
_PAUSES = frozenset(",،、，")


@dataclass(frozen=True, slots=True)
class Words:
    """`pauses`: the indexes of words after a comma."""

    words: list[str]
    pauses: frozenset[int] | set[int]


def split(text: str, fillers: frozenset[str] = frozenset()) -> Words:
    """Return the words of the first MAX_CHARS characters, without `fillers`."""
    words: list[str] = []
    pauses: set[int] = set()
    for token in _TOKEN.findall(_plain(text[:MAX_CHARS])):
        if token in fillers:
            continue
        if token in _ENDS:
            words.append(BREAK)
        elif token in _PAUSES:
            pauses.add(len(words))
        else:
            words.append(token)
    return Words(words, pauses)


def _plain(text: str) -> str:
    plain = text.casefold().replace("'", "")
    if not plain.isascii():
        plain = _MARKS.sub("", unicodedata.normalize("NFKD", plain)).translate(_LIKE)
        plain = _ARABIC_ARTICLE.sub("", plain)
    return _REPEATED_LETTERS.sub(r"\1", plain)
