"""Broadcast: changes for every open page."""

from __future__ import annotations

import asyncio
import re

from services.console.index.broadcast import MAX_KEPT_EVENTS, RECENT_SECONDS, Broadcast


def kinds(events: bytes) -> list[str]:
    return re.findall(r"event: (\w+)", events.decode())


def last_id(events: bytes) -> str:
    return str(re.findall(r"id: (.+)", events.decode())[-1])


def missed(broadcast: Broadcast, shown_id: str = "") -> list[str]:
    """The kinds of events that a page receives at once when it reconnects with that id."""
    with broadcast.subscribe(shown_id) as position:
        return kinds(broadcast.events_after(position)[0])


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_every_open_page_receives_a_change_as_one_line_of_data() -> None:
    broadcast = Broadcast()
    with broadcast.subscribe() as one, broadcast.subscribe() as two:
        broadcast.send("contact", {"id": "a\nb"})
        events, after = broadcast.events_after(one)
        assert broadcast.events_after(two) == (events, after)
        assert events.endswith(b'data: {"id":"a\\nb"}\n\n')
        assert broadcast.events_after(after) == (b"", after)


def test_a_page_that_reconnects_receives_each_missed_event_once() -> None:
    broadcast = Broadcast()
    broadcast.send("contact", {})
    shown = last_id(broadcast.events_after(0)[0])
    broadcast.send("run", {})
    broadcast.send("contact", {})
    assert missed(broadcast, shown) == ["run", "contact"]


def test_a_page_that_missed_more_than_is_kept_is_reset_and_continues() -> None:
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


def test_an_id_of_another_process_resets_the_page() -> None:
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


def test_a_page_rendered_just_before_a_change_is_reset() -> None:
    clock = Clock()
    broadcast = Broadcast(clock)
    assert missed(broadcast) == []
    broadcast.send("contact", {})
    clock.now = RECENT_SECONDS - 0.1
    assert missed(broadcast) == ["reset"]
    clock.now = RECENT_SECONDS
    assert missed(broadcast) == []


async def test_a_waiting_page_wakes_on_each_change_and_on_close() -> None:
    broadcast = Broadcast()
    with broadcast.subscribe() as position:
        waiting = asyncio.create_task(broadcast.wait_after(position))
        await asyncio.sleep(0)
        assert not waiting.done()
        broadcast.send("contact", {})
        await waiting
        waiting = asyncio.create_task(broadcast.wait_after(broadcast.events_after(position)[1]))
        await asyncio.sleep(0)
        broadcast.close()
        await waiting


def test_a_closed_page_is_no_longer_counted() -> None:
    broadcast = Broadcast()
    with broadcast.subscribe(), broadcast.subscribe():
        assert broadcast.listeners == 2
    assert broadcast.listeners == 0
