"""Changes to every open page."""

from __future__ import annotations

import asyncio
import re

from services.console.index.broadcast import MAX_KEPT_EVENTS, RECENT_SECONDS, Broadcast


def kinds(events: bytes) -> list[str]:
    return re.findall(r"event: (\w+)", events.decode())


def last_id(events: bytes) -> str:
    return str(re.findall(r"id: (.+)", events.decode())[-1])


def missed(broadcast: Broadcast, shown_id: str = "") -> list[str]:
    """What a page hears at once when it comes with that id."""
    with broadcast.subscribe(shown_id) as position:
        return kinds(broadcast.events_after(position)[0])


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_every_open_page_hears_of_a_change_in_one_line() -> None:
    broadcast = Broadcast()
    with broadcast.subscribe() as one, broadcast.subscribe() as two:
        broadcast.send("contact", {"id": "a\nb"})
        events, after = broadcast.events_after(one)
        assert broadcast.events_after(two) == (events, after)
        assert events.endswith(b'data: {"id":"a\\nb"}\n\n')
        assert broadcast.events_after(after) == (b"", after)


def test_a_page_that_was_away_hears_what_it_missed_and_nothing_twice() -> None:
    broadcast = Broadcast()
    broadcast.send("contact", {})
    shown = last_id(broadcast.events_after(0)[0])
    broadcast.send("run", {})
    broadcast.send("contact", {})
    assert missed(broadcast, shown) == ["run", "contact"]


def test_a_page_that_missed_more_than_is_kept_is_told_to_read_anew_and_goes_on_from_there() -> None:
    broadcast = Broadcast()
    broadcast.send("contact", {})
    shown = last_id(broadcast.events_after(0)[0])
    for _ in range(MAX_KEPT_EVENTS + 1):
        broadcast.send("contact", {})
    with broadcast.subscribe(shown) as position:
        events, after = broadcast.events_after(position)
    assert kinds(events) == ["reset"]
    broadcast.send("run", {})
    assert kinds(broadcast.events_after(after)[0]) == ["run"]
    assert missed(broadcast, last_id(events)) == ["run"]


def test_an_id_of_before_a_restart_is_not_taken_for_ones_own() -> None:
    before, broadcast = Broadcast(), Broadcast()
    for each in (before, broadcast):
        each.send("contact", {})
    own = last_id(broadcast.events_after(0)[0]).partition("-")[0]
    for strange in (
        last_id(before.events_after(0)[0]),
        "x",
        f"{own}-99",
        f"{own}-x",
        f"{own}-²",
        f"{own}--1",
        own,
        "-",
    ):
        assert missed(broadcast, strange) == ["reset"]


def test_a_page_that_may_have_been_made_before_a_change_is_told_to_read_anew() -> None:
    clock = Clock()
    broadcast = Broadcast(clock)
    assert missed(broadcast) == []
    broadcast.send("contact", {})
    clock.now = RECENT_SECONDS - 0.1
    assert missed(broadcast) == ["reset"]
    clock.now = RECENT_SECONDS
    assert missed(broadcast) == []


async def test_who_waits_is_woken_by_each_change_and_by_the_end() -> None:
    broadcast = Broadcast()
    with broadcast.subscribe() as position:
        waiting = asyncio.create_task(broadcast.wait_beyond(position))
        await asyncio.sleep(0)
        assert not waiting.done()
        broadcast.send("contact", {})
        await waiting
        waiting = asyncio.create_task(broadcast.wait_beyond(broadcast.events_after(position)[1]))
        await asyncio.sleep(0)
        broadcast.close()
        await waiting


def test_a_page_that_has_gone_is_counted_no_more() -> None:
    broadcast = Broadcast()
    with broadcast.subscribe(), broadcast.subscribe():
        assert broadcast.listeners == 2
    assert broadcast.listeners == 0
