"""The contacts in memory: whatever was told, in whatever order, lists are as if they were made anew."""

from __future__ import annotations

import random

import pytest

from services.console.index.contact_index import FEW, MENDED, SORTS, ContactIndex, Row, row_of
from services.console.index.listing import Asked, find
from shared.contract.contacts import AnalysisSource
from tests.unit.console.rows import contact, directory

NAMES = ("Ana Cruz", "Ben Lim", "José Peñaflor", "Maria Santos", "Ana Maria Sy")


def someone(chance: random.Random, version: int) -> Row:
    named, tags = chance.choice(NAMES), chance.choice(((), ("vip",), ("vip", "fair")))
    more = {"days": chance.randrange(3), "version": version, "tags": tags, "stage": chance.choice((None, "New Lead"))}
    return row_of(contact(str(chance.randrange(40)), named, chance.choice((0, 20, 90)), **more))


def anew(made: ContactIndex) -> ContactIndex:
    fresh = ContactIndex()
    for row in made.rows():
        fresh.put(row)
    return fresh


@pytest.mark.parametrize("seed", range(20))
def test_after_any_changes_lists_searches_and_counts_are_those_of_a_directory_made_anew(seed: int) -> None:
    chance, made = random.Random(seed), ContactIndex()
    for version in range(1, 200):
        if chance.random() < 0.8:
            made.put(someone(chance, version))
        else:
            made.remove(f"messenger:371:{chance.randrange(40)}", version)
        if chance.random() < 0.2:
            fresh = anew(made)
            for asked in (
                Asked(sort=chance.choice(("", "-")) + chance.choice(list(SORTS))),
                Asked(q="ana"),
                Asked(q="a m"),
            ):
                assert as_told(made, asked) == as_told(fresh, asked)
            assert made.tags() == fresh.tags()
            for counted in ("by_account", "by_score", "by_source", "by_stage"):
                assert +getattr(made, counted)() == getattr(fresh, counted)()


def as_told(made: ContactIndex, asked: Asked) -> tuple[object, object]:
    """Those that are equal by all that orders them may stand in any order."""
    found = find(made, asked)
    places = [(SORTS[asked.column](row), row.last_message_at) for row in found]
    return places, sorted(row.contact_id for row in found)


def test_an_order_follows_more_changes_than_are_worth_mending() -> None:
    count = MENDED + 10
    made = directory(*(contact(str(number), score=50) for number in range(count)))
    find(made, Asked())
    for number in range(count):
        made.put(row_of(contact(str(number), score=1 + number % 100, version=2)))
    scores = [row.score for row in find(made, Asked())]
    assert scores == sorted(scores, reverse=True)


def test_many_that_match_stand_in_the_same_order_as_few() -> None:
    made = directory(*(contact(str(number), f"Ana N{number}", 1 + number % 100) for number in range(FEW + 200)))
    for q in ("ana", "n", "ana n"):
        assert find(made, Asked(q=q)) == find(made, Asked())


def test_who_is_not_known_and_forgotten_does_not_come_back_with_what_was_published_before() -> None:
    made = ContactIndex()
    assert not made.remove("messenger:371:1", 4)
    assert not made.put(row_of(contact("1", version=3)))
    assert made.put(row_of(contact("1", version=5)))


def test_each_change_is_told_once_and_what_is_no_news_is_not() -> None:
    told = list[tuple[str, int, Row | None]]()
    made = ContactIndex()
    made.tell = lambda *change: told.append(change)
    row = row_of(contact("1", version=2))
    for each in (row, row, row_of(contact("1", version=1))):
        made.put(each)
    made.remove(row.contact_id, 3)
    made.remove(row.contact_id, 3)
    assert told == [(row.contact_id, 2, row), (row.contact_id, 3, None)]


def test_who_is_not_analysed_has_no_source_to_count() -> None:
    made = directory(contact("1"), contact("2", score=50, source=AnalysisSource.FALLBACK))
    assert made.by_source() == {"fallback": 1}
