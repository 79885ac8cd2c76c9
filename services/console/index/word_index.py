"""The words of contacts' texts, to find contacts by a part of a word. Pure.

A search term has no spaces, so it lies within one word. All texts together have few different words: a search goes
through those, and each knows the contacts whose text has it.
"""

from __future__ import annotations

from collections.abc import Sized


class WordIndex:
    def __init__(self, rows: Sized) -> None:
        """`rows` are the indexed contacts; only their number is used."""
        self._rows = rows
        self._ids: dict[str, list[str]] = {}

    def update(self, contact_id: str, before: str, after: str) -> None:
        """Replace a contact's text; either may be empty."""
        old, new = set(before.split()), set(after.split())
        for word in new - old:
            self._ids.setdefault(word, []).append(contact_id)
        for word in old - new:
            self._ids[word].remove(contact_id)
            if not self._ids[word]:
                del self._ids[word]

    def ids_containing(self, part: str) -> set[str] | None:
        """Return the ids of the contacts whose text contains `part`.

        None when nearly all do, as for a single letter: then searching each text is faster.
        """
        found = [ids for word, ids in self._ids.items() if part in word]
        return set().union(*found) if sum(map(len, found)) <= 5 * len(self._rows) else None
