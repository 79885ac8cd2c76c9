"""Which rows have a word in their text. Pure.

All texts lie in one piece of memory, one after another: to look through it takes a quarter of looking into each. What
changed since it was laid down is looked at one by one, until that is too much and it is laid down anew.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Protocol

BETWEEN = "\0"
RENEWED = 2000
"""With more changes than that, all is laid down anew."""


class HasText(Protocol):
    @property
    def text(self) -> str: ...


class Texts:
    def __init__(self, rows: Mapping[str, HasText]) -> None:
        """`rows` by id: the mapping itself is kept, and `changed` says what changed in it."""
        self.changed: set[str] = set()
        self._rows = rows
        self._ids: list[str] = []
        self._starts: list[int] = []
        self._laid = b""

    def with_word(self, word: str) -> set[str]:
        """The ids of those that have `word`, which is not empty, anywhere in their text."""
        if len(self.changed) > RENEWED or not self._ids:
            self._lay()
        found = set(self._find(word.encode(errors="replace"))) - self.changed
        later = ((each, self._rows[each]) for each in self.changed if each in self._rows)
        return found | {each for each, row in later if word in row.text}

    def _find(self, word: bytes) -> Iterator[str]:
        """After a hit, the search goes on with the next text."""
        at = self._laid.find(word)
        while at >= 0:
            place = bisect_right(self._starts, at)
            yield self._ids[place - 1]
            at = self._laid.find(word, self._starts[place]) if place < len(self._starts) else -1

    def _lay(self) -> None:
        parts = [f"{row.text}{BETWEEN}".encode(errors="replace") for row in self._rows.values()]
        self._ids, self._starts, start = list(self._rows), [], 0
        for part in parts:
            self._starts.append(start)
            start += len(part)
        self._laid = b"".join(parts)
        self.changed.clear()
