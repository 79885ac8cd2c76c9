"""List queries: which contacts are found, in which order, and their URLs."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from multidict import MultiDict

from services.console.index.contact_index import row_of
from services.console.index.list_query import PAGE_SIZE, ListQuery, find_rows, list_page, parse_list_query
from shared.contract.contacts import AnalysisSource, LeadStatus
from tests.unit.console.rows import NOON, contact, contact_index

MARIA = contact("1", "Maria Santos", 72, days=1, emails=("maria@shop.ph",), phones=("+639171234567",), tags=("vip",))
JOSE = contact("2", "José Peñaflor", 20, days=3, source=AnalysisSource.FALLBACK, stage="New Lead")
MARIO = contact("3", "Mario Cruz", 90, days=10, by_machine=LeadStatus.WON, summary="Bought two lamps.")
NEW = contact("4", "User 123456", days=0)
ALL = contact_index(MARIA, JOSE, MARIO, NEW)


def names(**list_query: str) -> list[str]:
    return [row.name for row in find_rows(ALL, parse_list_query(MultiDict(list_query)))]


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("Maria Santos", ["Maria Santos"]),
        ("santos maria", ["Maria Santos"]),
        ("mari", ["Mario Cruz", "Maria Santos"]),
        ("jose penaflor", ["José Peñaflor"]),
        ("JOSÉ", ["José Peñaflor"]),
        ("lamps", ["Mario Cruz"]),
        ("maria@shop", ["Maria Santos"]),
        ("639171234567", ["Maria Santos"]),
        ("vip", ["Maria Santos"]),
        ("maria cruz", []),
    ],
)
def test_a_search_finds_names_addresses_and_words_of_the_summary(q: str, found: list[str]) -> None:
    assert names(q=q) == found


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("band", "hot", ["Maria Santos"]),
        ("band", "cold", ["José Peñaflor"]),
        ("status", "WON", ["Mario Cruz"]),
        ("stage", "New Lead", ["José Peñaflor"]),
        ("stage", "none", ["Mario Cruz", "Maria Santos", "User 123456"]),
        ("source", "fallback", ["José Peñaflor"]),
        ("tag", "vip", ["Maria Santos"]),
        ("account", "messenger:371", ["Mario Cruz", "Maria Santos", "José Peñaflor", "User 123456"]),
        ("account", "instagram:371", []),
        ("platform", "instagram", []),
        ("since", "2026-11-23", ["Maria Santos", "User 123456"]),
        ("until", "2026-11-21", ["Mario Cruz", "José Peñaflor"]),
    ],
)
def test_each_filter_finds_its_contacts(name: str, value: str, found: list[str]) -> None:
    assert names(**{name: value}) == found


def test_the_last_possible_day_finds_all() -> None:
    assert len(names(until="9999-12-31")) == len(ALL)


def test_all_filters_must_match() -> None:
    assert names(q="mar", band="ready") == ["Mario Cruz"]


def test_a_persons_status_replaces_the_analysed_one() -> None:
    edited = contact("5", score=50, by_machine=LeadStatus.NEW, lead_status=LeadStatus.LOST)
    assert row_of(edited).status == LeadStatus.LOST


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("name", "José Peñaflor"), ("-name", "User 123456"), ("score", "User 123456"), ("-score", "Mario Cruz"),
        ("inbound", "Mario Cruz"), ("-inbound", "User 123456"), ("-status", "Mario Cruz"), ("-stage", "José Peñaflor"),
        ("-source", "José Peñaflor"),
    ],
)  # fmt: skip
def test_every_column_sorts_both_ways(sort: str, first: str) -> None:
    assert names(sort=sort)[0] == first


def test_equal_rows_are_sorted_newest_first() -> None:
    made = contact_index(*(contact(str(days), f"N{days}", 50, days=days) for days in (3, 1, 2)))
    assert [row.name for row in find_rows(made, ListQuery(sort="-score"))] == ["N1", "N2", "N3"]
    assert [row.name for row in find_rows(made, ListQuery(sort="score"))] == ["N1", "N2", "N3"]


def test_a_page_has_fifty_rows_and_a_page_beyond_the_last_is_the_last() -> None:
    made = contact_index(*(contact(str(number), score=50) for number in range(120)))
    assert [list_page(made, ListQuery(page=number)).last for number in (1, 2, 3, 9)] == [50, 100, 120, 120]
    assert list_page(made, ListQuery(page=9)).number == 3
    assert len(list_page(made, ListQuery()).rows) == PAGE_SIZE


def test_no_match_is_an_empty_page() -> None:
    page = list_page(ALL, ListQuery(q="nobody"))
    assert (page.rows, page.found, page.first, page.last, page.of, page.pages) == ([], 0, 0, 0, 4, 1)


def test_a_changed_filter_goes_back_to_the_first_page() -> None:
    list_query = ListQuery(q="maria", page=3)
    assert list_query.url(status="WON") == "/contacts?q=maria&status=WON"
    assert list_query.url(page=4) == "/contacts?q=maria&page=4"


def test_the_url_of_a_query_parses_to_the_same_query() -> None:
    list_query = ListQuery(q="a & b", account="messenger:371", band="hot", since="2026-01-01", sort="name", page=2)
    assert parse_list_query(MultiDict(parse_qsl(list_query.url(page=2).partition("?")[2]))) == list_query
    assert ListQuery().url() == "/contacts"


@pytest.mark.parametrize(
    "query",
    [
        {"page": "-1"}, {"page": "x"}, {"page": "9" * 99}, {"page": "²"}, {"sort": "token"}, {"band": "tepid"},
        {"since": "yesterday"}, {"since": "2026-13-45"}, {"status": "<script>"}, {"nothing": "known"},
    ],
)  # fmt: skip
def test_values_of_a_url_that_are_not_valid_are_ignored(query: dict[str, str]) -> None:
    assert parse_list_query(MultiDict(query)) == ListQuery()


def test_a_second_click_on_a_column_reverses_the_order() -> None:
    assert ListQuery(sort="name").sorted_by("name") == "-name"
    assert ListQuery(sort="-name").sorted_by("name") == "name"
    assert ListQuery(sort="name").sorted_by("score") == "-score"


def test_an_older_version_changes_nothing() -> None:
    made = contact_index(contact("1", "New", 50, version=3))
    assert not made.put(row_of(contact("1", "Old", 10, version=2)))
    assert [row.name for row in made.rows()] == ["New"]


def test_an_erased_contact_returns_only_with_a_later_version() -> None:
    made = contact_index(contact("1", version=3))
    assert made.remove("messenger:371:1", 4)
    assert not made.put(row_of(contact("1", version=3)))
    assert len(made) == 0
    assert made.put(row_of(contact("1", version=5)))


def test_a_late_tombstone_removes_nothing() -> None:
    made = contact_index(contact("1", version=5))
    assert not made.remove("messenger:371:1", 4)
    assert len(made) == 1


def test_an_order_follows_changes() -> None:
    made = contact_index(contact("1", "A", 10), contact("2", "B", 20))
    assert [row.name for row in find_rows(made, ListQuery())] == ["B", "A"]
    made.put(row_of(contact("1", "A", 30, version=2, updated_at=NOON)))
    assert [row.name for row in find_rows(made, ListQuery())] == ["A", "B"]


def test_a_search_follows_changes() -> None:
    made = contact_index(contact("1", "Ana Cruz", 10), contact("2", "Ana Lim", 20))
    assert [row.name for row in find_rows(made, ListQuery(q="ana"))] == ["Ana Lim", "Ana Cruz"]
    made.put(row_of(contact("1", "Ben Cruz", 10, version=2)))
    made.put(row_of(contact("3", "Ana Sy", 90)))
    made.remove("messenger:371:2", 9)
    assert [row.name for row in find_rows(made, ListQuery(q="ana"))] == ["Ana Sy"]
    assert [row.name for row in find_rows(made, ListQuery(q="ben"))] == ["Ben Cruz"]


def test_a_search_works_in_any_script_and_not_across_two_texts() -> None:
    made = contact_index(contact("1", "Ana", summary=""), contact("2", "マリア 🎉", summary=""))
    assert find_rows(made, ListQuery(q="1\0マ")) == []
    assert [row.contact_id for row in find_rows(made, ListQuery(q="マリ"))] == ["messenger:371:2"]
    assert [row.contact_id for row in find_rows(made, ListQuery(q="🎉"))] == ["messenger:371:2"]
