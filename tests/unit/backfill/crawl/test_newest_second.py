"""Which messages of a page are new, and when reading may stop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.backfill.crawl.newest_second import MAX_IDS, NewestSecond, newest_of, unknown

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def item(mid: str, seconds: int | None) -> dict[str, Any]:
    at = None if seconds is None else (NOON + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S+0000")
    return {"id": mid, "created_time": at}


def test_the_newest_second_has_the_ids_of_all_its_messages() -> None:
    first = newest_of([item("d", None), item("c", 5), item("b", 5)], None)
    assert first == NewestSecond(NOON + timedelta(seconds=5), frozenset("cb"))
    assert newest_of([item("a", 5), item("z", 4), {}], first) == NewestSecond(first.at, frozenset("cba"))
    assert newest_of([], None) is None


def test_a_second_with_too_many_messages_keeps_no_ids() -> None:
    """A checkpoint stays small; that second is read again."""
    newest = newest_of([item(str(number), 5) for number in range(MAX_IDS + 1)], None)
    assert newest == NewestSecond(NOON + timedelta(seconds=5), frozenset())
    assert unknown([item("7", 5)], newest) == ([item("7", 5)], False)


def test_a_message_without_a_time_is_new_and_does_not_end_the_reading() -> None:
    odd: list[dict[str, Any]] = [{}, item("x", None)]
    assert unknown([*odd, item("a", 4)], NewestSecond(NOON + timedelta(seconds=5), frozenset())) == (odd, True)


MESSAGES = st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=20)


@given(MESSAGES, st.integers(1, 5))
def test_later_messages_are_read_once_however_seconds_and_pages_fall(drawn: list[tuple[int, bool]], size: int) -> None:
    """Read messages, then again after later ones were added: none is older than the newest second that was known."""
    messages = [item(str(number), at) for number, (at, _) in enumerate(sorted(drawn, key=lambda each: each[0]))]
    at_first = [
        message
        for message, (_, is_old) in zip(messages, sorted(drawn, key=lambda each: each[0]), strict=True)
        if is_old
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


def pages(messages: list[dict[str, Any]], size: int) -> list[list[dict[str, Any]]]:
    newest_first = messages[::-1]
    return [newest_first[start : start + size] for start in range(0, len(newest_first), size)]


def iso(newest: NewestSecond) -> str:
    return newest.at.strftime("%Y-%m-%dT%H:%M:%S+0000")
