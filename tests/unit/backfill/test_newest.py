"""What of a conversation need be read, and what of it published."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.backfill.crawl.read_ranges import MOST_IDS, Second, Span, Spans, newest_of, oldest_of, unknown, unread

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def item(mid: str, seconds: int | None) -> dict[str, Any]:
    at = None if seconds is None else (NOON + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S+0000")
    return {"id": mid, "created_time": at}


def test_the_newest_is_a_second_and_all_that_was_said_in_it() -> None:
    first = newest_of([item("d", None), item("c", 5), item("b", 5)], None)
    assert first == Second(NOON + timedelta(seconds=5), frozenset("cb"))
    assert newest_of([item("a", 5), item("z", 4), {}], first) == Second(first.at, frozenset("cba"))
    assert newest_of([], None) is None


def test_of_a_second_in_which_too_much_was_said_nothing_is_kept() -> None:
    """So that a checkpoint stays small; the second is read again then."""
    newest = newest_of([item(str(number), 5) for number in range(MOST_IDS + 1)], None)
    assert newest == Second(NOON + timedelta(seconds=5), frozenset())
    assert unknown([item("7", 5)], newest) == ([item("7", 5)], False)


def test_what_has_no_time_is_new_and_no_end() -> None:
    odd: list[dict[str, Any]] = [{}, item("x", None)]
    assert unknown([*odd, item("a", 4)], Second(NOON + timedelta(seconds=5), frozenset())) == (odd, True)


MESSAGES = st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=20)


@given(MESSAGES, st.integers(1, 5))
def test_what_comes_after_is_read_once_however_the_seconds_and_the_pages_fall(
    told: list[tuple[int, bool]], size: int
) -> None:
    """Of messages in the order of their times, those that are there at first and those that come between them or
    behind, though none before the second of the newest that was known."""
    messages = [item(str(number), at) for number, (at, _) in enumerate(sorted(told, key=lambda each: each[0]))]
    at_first = [
        message for message, (_, is_old) in zip(messages, sorted(told, key=lambda each: each[0]), strict=True) if is_old
    ]
    known = None
    for page in pages(at_first, size):
        known = newest_of(page, known)
    later = [
        each for each in messages if each not in at_first and (known is None or each["created_time"] >= iso(known))
    ]
    read: list[dict[str, Any]] = []
    for page in pages([each for each in messages if each in at_first or each in later], size):
        new, is_known = unknown(page, known)
        read += new
        if is_known:
            break
    assert read == later[::-1]


@given(MESSAGES, st.integers(1, 5), st.lists(st.integers(0, 5), max_size=4))
def test_a_list_that_is_begun_anew_is_read_once_however_often_that_happens(
    told: list[tuple[int, bool]], size: int, breaks: list[int]
) -> None:
    """It breaks behind so many pages each time, and somebody has written meanwhile."""
    messages = [item(f"a{number}", at) for number, at in enumerate(sorted(at for at, _ in told))]
    read, ahead = list[dict[str, Any]](), Spans()
    for number, reach in enumerate([*breaks, 100]):
        messages.append(item(f"b{number}", 6 + number // 2))
        new, ahead = list_down(pages(messages, size)[:reach], ahead)
        read += new
    assert sorted(each["id"] for each in read) == sorted(each["id"] for each in messages)


def list_down(found: list[list[dict[str, Any]]], ahead: Spans) -> tuple[list[dict[str, Any]], Spans]:
    read, newest, oldest, left = list[dict[str, Any]](), None, None, ahead
    for page in found:
        new, left = unread(page, left)
        read += new
        newest, oldest = newest_of(page, newest), oldest_of(page, oldest)
    return read, (*((Span(newest, oldest),) if newest and oldest else ()), *left)


def test_what_a_page_tells_out_of_order_is_read() -> None:
    span = Span(
        Second(NOON + timedelta(seconds=9), frozenset("j")), Second(NOON + timedelta(seconds=5), frozenset("f"))
    )
    late = [item("j", 9), item("f", 5), item("x", 5), item("e", 4), item("y", 7)]
    assert unread(late, (span,)) == ([item("x", 5), item("e", 4), item("y", 7)], ())


def pages(messages: list[dict[str, Any]], size: int) -> list[list[dict[str, Any]]]:
    newest_first = messages[::-1]
    return [newest_first[start : start + size] for start in range(0, len(newest_first), size)]


def iso(newest: Second) -> str:
    return newest.at.strftime("%Y-%m-%dT%H:%M:%S+0000")
