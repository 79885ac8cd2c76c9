"""The contact index: after any changes in any order, lists are those of an index built from scratch."""

from __future__ import annotations

import random
from typing import Any

import pytest

from services.console.index.contact_index import (
    MAX_PENDING_CHANGES,
    MAX_SORTED_MATCHES,
    SORTS,
    ContactIndex,
    Row,
    row_of,
)
from services.console.index.list_query import ListQuery, find_rows
from shared.contract.contacts import AnalysisSource, LeadStatus, StageRef, StageType
from tests.unit.console.rows import contact, contact_index

NAMES = ("Ana Cruz", "Ben Lim", "José Peñaflor", "Maria Santos", "Ana Maria Sy")


def random_row(chance: random.Random, version: int) -> Row:
    named, tags = chance.choice(NAMES), chance.choice(((), ("vip",), ("vip", "fair")))
    more = {"days": chance.randrange(3), "version": version, "tags": tags, "stage": chance.choice((None, "New Lead"))}
    return row_of(contact(str(chance.randrange(40)), named, chance.choice((0, 20, 90)), **more))


def rebuilt(made: ContactIndex) -> ContactIndex:
    fresh = ContactIndex()
    for row in made.rows():
        fresh.put(row)
    return fresh


@pytest.mark.parametrize("seed", range(20))
def test_after_any_changes_lists_and_counts_equal_those_of_a_rebuilt_index(seed: int) -> None:
    chance, made = random.Random(seed), ContactIndex()
    for version in range(1, 200):
        if chance.random() < 0.8:
            made.put(random_row(chance, version))
        else:
            made.remove(f"messenger:371:{chance.randrange(40)}", version)
        if chance.random() < 0.2:
            fresh = rebuilt(made)
            for list_query in (
                ListQuery(sort=chance.choice(("", "-")) + chance.choice(list(SORTS))),
                ListQuery(q="ana"),
                ListQuery(q="a m"),
            ):
                assert as_listed(made, list_query) == as_listed(fresh, list_query)
            assert made.tags() == fresh.tags()
            for counted in ("by_account", "by_score", "by_source", "by_stage"):
                assert +getattr(made, counted)() == getattr(fresh, counted)()


def as_listed(made: ContactIndex, list_query: ListQuery) -> tuple[object, object]:
    """Rows that are equal in all that sorts them may be in any order."""
    found = find_rows(made, list_query)
    places = [(SORTS[list_query.column](row), row.last_message_at) for row in found]
    return places, sorted(row.contact_id for row in found)


def test_an_order_is_right_after_more_changes_than_are_applied_one_by_one() -> None:
    count = MAX_PENDING_CHANGES + 10
    made = contact_index(*(contact(str(number), score=50) for number in range(count)))
    find_rows(made, ListQuery())
    for number in range(count):
        made.put(row_of(contact(str(number), score=1 + number % 100, version=2)))
    scores = [row.score for row in find_rows(made, ListQuery())]
    assert scores == sorted(scores, reverse=True)


def test_many_matches_are_sorted_as_few_are() -> None:
    made = contact_index(
        *(contact(str(number), f"Ana N{number}", 1 + number % 100) for number in range(MAX_SORTED_MATCHES + 200))
    )
    for q in ("ana", "n", "ana n"):
        assert find_rows(made, ListQuery(q=q)) == find_rows(made, ListQuery())


def test_an_erased_contact_that_was_unknown_does_not_return_with_an_earlier_version() -> None:
    made = ContactIndex()
    assert not made.remove("messenger:371:1", 4)
    assert not made.put(row_of(contact("1", version=3)))
    assert made.put(row_of(contact("1", version=5)))


def test_each_change_is_reported_once_and_a_repeated_version_is_not() -> None:
    changes = list[tuple[str, int, Row | None]]()
    made = ContactIndex()
    made.on_change = lambda *change: changes.append(change)
    row = row_of(contact("1", version=2))
    for each in (row, row, row_of(contact("1", version=1))):
        made.put(each)
    made.remove(row.contact_id, 3)
    made.remove(row.contact_id, 3)
    assert changes == [(row.contact_id, 2, row), (row.contact_id, 3, None)]


@pytest.mark.parametrize("set_by", [None, "person", *AnalysisSource])
@pytest.mark.parametrize("source", AnalysisSource)
@pytest.mark.parametrize("more", [{}, {"edited": ("stage",)}, {"lead_status": LeadStatus.WON}, {"stage": None}])
def test_a_row_is_provisional_where_its_contact_is(set_by: Any, source: AnalysisSource, more: dict[str, Any]) -> None:
    stage = StageRef(pipeline="Sales", name="Closed Won", type=StageType.WON, set_by=set_by)
    closed = contact("1", score=92, source=source, by_machine=LeadStatus.WON).model_copy(
        update={"stage": stage, **more}
    )
    assert row_of(closed).is_provisional is closed.is_provisional
    by_fallback = AnalysisSource.FALLBACK in (set_by, source if set_by is None else None)
    assert closed.is_provisional is (by_fallback and not more)


def test_a_contact_that_is_not_analysed_is_not_counted_by_source() -> None:
    made = contact_index(contact("1"), contact("2", score=50, source=AnalysisSource.FALLBACK))
    assert made.by_source() == {"fallback": 1}
