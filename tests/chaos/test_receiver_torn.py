"""The end of the spool's file is torn after a kill -9: the next start publishes the whole records and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random

from aiohttp import ClientSession

from tests.conftest import Stack, Start
from tests.support.brokers import frozen
from tests.support.processes import Leadstream
from tests.support.sending import (
    MAX_WEBHOOKS_IN_FLIGHT,
    Sender,
    event_of,
    port_of,
    published,
    published_in_the_end,
    start,
)
from tests.support.waiting import eventually
from tests.support.wal import FRAME_HEADER_BYTES, HEADER_BYTES, commits

ONE_BY_ONE = 12
"""Webhooks that are sent one after another, so that each is a transaction of its own."""
PAGE_BYTES = 4096
FRAME_BYTES = FRAME_HEADER_BYTES + PAGE_BYTES

Tear = Callable[[bytes], bytes]

BEHIND: dict[str, Tear] = {
    "nothing": lambda log: log[: commits(log)[-1]],
    "one_byte": lambda log: log[: commits(log)[-1]] + b"\x00",
    "half_a_frame_header": lambda log: log[: commits(log)[-1]] + log[HEADER_BYTES:][: FRAME_HEADER_BYTES // 2],
    "a_frame_header": lambda log: log[: commits(log)[-1]] + log[HEADER_BYTES:][:FRAME_HEADER_BYTES],
    "a_frame_short_of_a_byte": lambda log: log[: commits(log)[-1]] + log[HEADER_BYTES:][: FRAME_BYTES - 1],
    "a_frame_of_before": lambda log: log[: commits(log)[-1]] + log[HEADER_BYTES:][:FRAME_BYTES],
    "zeros": lambda log: log[: commits(log)[-1]] + bytes(2 * FRAME_BYTES),
    "noise": lambda log: log[: commits(log)[-1]] + Random(1).randbytes(3 * FRAME_BYTES),
}
"""What can follow the last commit after an incomplete write. Everything answered 200 is before it."""

INTO: dict[str, Tear] = {
    "a_byte_less": lambda log: log[: commits(log)[-1] - 1],
    "a_page_less": lambda log: log[: commits(log)[-1] - PAGE_BYTES],
    "a_frame_less": lambda log: log[: commits(log)[-1] - FRAME_BYTES],
    "half": lambda log: log[: len(log) // 2],
    "a_byte_of_the_middle": lambda log: flipped(log, len(log) // 2),
    "half_a_header": lambda log: log[: HEADER_BYTES // 2],
    "all": lambda log: b"",
}
"""A disk that lost synced data, which cannot be recovered."""


def flipped(log: bytes, at: int) -> bytes:
    return log[:at] + bytes([log[at] ^ 0xFF]) + log[at + 1 :]


class Torn:
    """A receiver that spooled and was killed during a write, and whose spool's log was then torn."""

    def __init__(self, name: str, number: int, folder: Path, leadstream: Start) -> None:
        self.folder = folder / name
        self.first = number * 1000
        self.process: Leadstream = start(leadstream, self.folder, LEADSTREAM_PUBLISH_TIMEOUT_SECONDS="0.3")
        self.in_order = [event_of(number) for number in range(self.first, self.first + ONE_BY_ONE)]

    async def spool_and_be_killed(self, session: ClientSession) -> None:
        self.sender = Sender(session, port_of(self.process))
        for number in range(self.first, self.first + ONE_BY_ONE):
            assert await self.sender.send(number) == 200
        self.commits = len(commits(self.log().read_bytes()))
        together = range(self.first + ONE_BY_ONE, self.first + ONE_BY_ONE + MAX_WEBHOOKS_IN_FLIGHT)
        writing = asyncio.create_task(self.sender.send_all(together))
        await eventually(lambda: asyncio.sleep(0, len(self.sender.began)), lambda began: began > ONE_BY_ONE)
        self.process.kill()
        await writing

    def tear(self, tear: Tear) -> None:
        """Tear the log. Then `certain` has the events that are still in it as committed."""
        torn = tear(self.log().read_bytes())
        self.log().write_bytes(torn)
        lost = max(0, self.commits - len(commits(torn)))
        self.certain = set(self.in_order[: max(0, ONE_BY_ONE - lost)])

    def log(self) -> Path:
        (found,) = self.folder.glob("**/spool.sqlite-wal")
        return found


async def spooled_and_torn(
    tears: dict[str, Tear], stack: Stack, leadstream: Start, session: ClientSession, folder: Path
) -> list[Torn]:
    """Return one receiver for each kind of tear, all killed while the broker did not respond."""
    all_torn = [Torn(name, number, folder, leadstream) for number, name in enumerate(tears, 1)]
    for torn in all_torn:
        port_of(torn.process)
    with frozen(stack.servers):
        await asyncio.gather(*(torn.spool_and_be_killed(session) for torn in all_torn))
    for torn, tear in zip(all_torn, tears.values(), strict=True):
        torn.tear(tear)
    return all_torn


async def started_again(all_torn: list[Torn], stack: Stack, leadstream: Start, session: ClientSession) -> set[str]:
    """Start ordinary receivers, send one more webhook to each, stop them, and return the events on the topic."""
    processes = [start(leadstream, torn.folder) for torn in all_torn]
    for torn, process in zip(all_torn, processes, strict=True):
        torn.sender.turn_to(port_of(process))
        assert await torn.sender.send(torn.first + 500) == 200
    owed = {event_of(torn.first + 500) for torn in all_torn}.union(*(torn.certain for torn in all_torn))
    await published_in_the_end(stack, owed)
    assert [process.terminate() for process in processes] == [0] * len(processes)
    return await published(stack)


async def test_a_torn_write_after_the_last_commit_loses_nothing_answered_200(
    stack: Stack, leadstream: Start, tmp_path: Path
) -> None:
    async with ClientSession() as session:
        all_torn = await spooled_and_torn(BEHIND, stack, leadstream, session, tmp_path)
        found = await started_again(all_torn, stack, leadstream, session)
    for torn in all_torn:
        assert set(torn.in_order) <= torn.sender.answered <= found, torn.folder.name
    assert found <= set().union(*(torn.sender.began for torn in all_torn))


async def test_a_log_that_lost_synced_data_returns_everything_before_the_loss(
    stack: Stack, leadstream: Start, tmp_path: Path
) -> None:
    async with ClientSession() as session:
        all_torn = await spooled_and_torn(INTO, stack, leadstream, session, tmp_path)
        found = await started_again(all_torn, stack, leadstream, session)
    for torn in all_torn:
        kept = [event in found for event in torn.in_order]
        assert kept == sorted(kept, reverse=True), f"{torn.folder.name}: a hole in {kept}"
        assert torn.certain <= found, torn.folder.name
    assert not all(event in found for torn in all_torn for event in torn.in_order), "a tear that takes nothing"
    assert found <= set().union(*(torn.sender.began for torn in all_torn))
