"""Who has a word in their text. Pure.

What is asked for has no space in it, so it lies within one of the text's words. Texts have few different words: all of
those are looked through, and each knows who has it.
"""

from __future__ import annotations

from collections.abc import Sized


class WordIndex:
    def __init__(self, rows: Sized) -> None:
        """`rows` says how many have a text."""
        self._rows = rows
        self._who: dict[str, list[str]] = {}

    def changed(self, contact_id: str, before: str, after: str) -> None:
        """From one text to another, either of which may be empty."""
        old, new = set(before.split()), set(after.split())
        for word in new - old:
            self._who.setdefault(word, []).append(contact_id)
        for word in old - new:
            self._who[word].remove(contact_id)
            if not self._who[word]:
                del self._who[word]

    def with_word(self, part: str) -> set[str] | None:
        """The ids of those that have `part`, which has no space, anywhere in their text. None for a letter or two that
        nearly all have: then it is quicker to look into each text."""
        found = [who for word, who in self._who.items() if part in word]
        return set().union(*found) if sum(map(len, found)) <= 5 * len(self._rows) else None
