"""Paging forward and back returns every item once at any limit. A cursor is valid as long as its item exists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.simulator.errors import RefusedError
from services.simulator.paging import Key, page_of, parse_limit


def keys_of(number: int) -> list[Key]:
    return [(1000 - place, f"t_{place}") for place in range(number)]


@given(number=st.integers(0, 60), limit=st.integers(1, 30))
def test_paging_forward_and_back_returns_every_item_once(number: int, limit: int) -> None:
    keys = keys_of(number)
    page, seen = page_of(keys, limit), list[Key]()
    last = page
    while page is not None:
        assert page.end - page.start <= limit
        seen += keys[page.start : page.end]
        last, page = page, page_of(keys, limit, after=page.after) if page.has_next else None
    assert seen == keys
    back = keys[last.start : last.end] if last else []
    while last is not None and last.has_previous:
        last = page_of(keys, limit, before=last.before)
        assert last is not None
        back = keys[last.start : last.end] + back
    assert back == keys


def test_a_cursor_stays_where_it_was_when_its_item_moves() -> None:
    keys = keys_of(12)
    page = page_of(keys, 5)
    assert page is not None
    moved = keys.pop(page.end - 1)
    following = page_of([(2000, moved[1]), *keys], 5, after=page.after.removeprefix("QVFH"))
    assert following is not None
    assert keys[following.start - 1] == (1000 - page.end, f"t_{page.end}")


def test_a_cursor_whose_item_was_removed_is_refused() -> None:
    keys = keys_of(12)
    page = page_of(keys, 5)
    assert page is not None
    del keys[page.end - 1]
    with pytest.raises(RefusedError, match="cursors"):
        page_of(keys, 5, after=page.after)


@given(text=st.text(max_size=30))
def test_an_invalid_cursor_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="cursors"):
        page_of(keys_of(3), 5, after=text)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_a_limit_is_a_positive_number(text: str) -> None:
    with pytest.raises(RefusedError, match="limit"):
        parse_limit(text)


def test_a_limit_is_25_by_default_and_at_most_500() -> None:
    assert (parse_limit(None), parse_limit("100"), parse_limit("5000")) == (25, 100, 500)
