"""Changes to every open page."""

from __future__ import annotations

import asyncio
import re

from services.console.broadcast import END, KEPT, WAITING, Broadcast


def taken(page: asyncio.Queue[bytes]) -> list[bytes]:
    return [page.get_nowait() for _ in range(page.qsize())]


def kinds(events: list[bytes]) -> list[str]:
    return [match[1].decode() for event in events if (match := re.search(rb"event: (\w+)", event))]


def id_of(event: bytes) -> str:
    match = re.search(rb"id: (.+)", event)
    assert match is not None
    return match[1].decode()


def test_every_open_page_hears_of_a_change() -> None:
    broadcast = Broadcast()
    with broadcast.listening() as one, broadcast.listening() as two:
        broadcast.send("contact", {"id": "a\nb"})
        (first,) = taken(one)
        assert taken(two) == [first]
        assert first.endswith(b'data: {"id":"a\\nb"}\n\n')


def test_a_page_that_was_away_hears_what_it_missed_and_nothing_twice() -> None:
    broadcast = Broadcast()
    with broadcast.listening() as page:
        broadcast.send("contact", {"id": 1})
        last = id_of(taken(page)[-1])
    broadcast.send("run", {"id": 2})
    with broadcast.listening(last) as page:
        assert kinds(taken(page)) == ["run"]


def test_a_page_that_was_away_for_too_long_is_told_to_read_anew() -> None:
    broadcast = Broadcast()
    with broadcast.listening() as page:
        broadcast.send("contact", {})
        last = id_of(taken(page)[-1])
    for _ in range(KEPT + 1):
        broadcast.send("contact", {})
    with broadcast.listening(last) as page:
        assert kinds(taken(page)) == ["reset"]


def test_an_id_of_another_process_is_not_taken_for_ones_own() -> None:
    broadcast = Broadcast()
    broadcast.send("contact", {})
    for strange in ("feed-1", "x", f"{broadcast._process}-99", f"{broadcast._process}-x", "-"):
        with broadcast.listening(strange) as page:
            assert kinds(taken(page)) == ["reset"]


def test_a_page_that_does_not_read_is_closed_and_costs_the_others_nothing() -> None:
    broadcast = Broadcast()
    with broadcast.listening() as slow, broadcast.listening() as quick:
        for _ in range(WAITING + 1):
            broadcast.send("contact", {})
            taken(quick)
        assert taken(slow)[-1] == END
        assert broadcast.listeners == 1


def test_the_end_closes_every_page_and_those_that_come_after() -> None:
    broadcast = Broadcast()
    with broadcast.listening() as page:
        broadcast.close()
        assert taken(page) == [END]
    with broadcast.listening() as late:
        assert taken(late) == [END]
