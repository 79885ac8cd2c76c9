"""Claiming of spools, and adoption of free ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.receiver.publish.spool import Spool, SpoolError, open_spool
from services.receiver.publish.spools import adopt, claim_spool, lock_root
from shared.bus.producer import Record
from shared.contract.failures import UnreachableError
from tests.support.waiting import eventually

MAX_BYTES = 1_000_000


async def fill(folder: Path, value: bytes) -> None:
    async with open_spool(folder, MAX_BYTES) as spool:
        await spool.put([Record("topic", b"key", value, [])])


async def depth(folder: Path) -> int:
    async with open_spool(folder, MAX_BYTES) as spool:
        return spool.depth


class Topic:
    """Accepts drained records, and shows those that have left their spool."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    async def drain(self, spool: Spool) -> None:
        while not spool.is_empty:
            taken = await spool.peek(spool.topics[0], 10)
            await spool.remove(taken)
            self.values += [each.record.value for each in taken]

    async def has(self, *values: bytes) -> None:
        await eventually(lambda: asyncio.sleep(0, sorted(self.values)), lambda found: found == sorted(values))


@asynccontextmanager
async def adopting(root: Path, topic: Topic) -> AsyncIterator[None]:
    """Adopt free spools, as the process whose own spool is in the folder 0."""
    task = asyncio.create_task(adopt(root, root / "0", MAX_BYTES, topic.drain, 0.01))
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()


async def test_a_process_claims_the_lowest_free_spool(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        taken = [await first.enter_async_context(claim_spool(tmp_path, MAX_BYTES))]
        taken += [await stack.enter_async_context(claim_spool(tmp_path, MAX_BYTES)) for _ in range(2)]
        assert [folder.name for folder, _ in taken] == ["0", "1", "2"]
        await first.aclose()
        folder, _ = await stack.enter_async_context(claim_spool(tmp_path, MAX_BYTES))
        assert folder.name == "0"


async def test_a_broken_spool_is_not_skipped(tmp_path: Path) -> None:
    (tmp_path / "0").write_text("not a folder")
    with pytest.raises(UnreachableError, match="cannot be written"):
        async with claim_spool(tmp_path, MAX_BYTES):
            pass


async def test_a_root_has_one_receiver(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with (
        lock_root(root),
        pytest.raises(UnreachableError, match="another process uses the spool"),
        lock_root(root),
    ):
        pass
    with lock_root(root):
        pass


async def test_a_root_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnreachableError, match="cannot be written"), lock_root(tmp_path / "file" / "root"):
        pass


async def test_free_spools_are_drained_and_used_ones_are_not(tmp_path: Path) -> None:
    topic = Topic()
    for folder in ("0", "1", "2", "3"):
        await fill(tmp_path / folder, folder.encode())
    async with open_spool(tmp_path / "2", MAX_BYTES) as held:
        async with adopting(tmp_path, topic):
            await topic.has(b"1", b"3")
        assert held.depth == 1
    assert [await depth(tmp_path / folder) for folder in ("0", "1", "2", "3")] == [1, 0, 1, 0]


async def test_a_spool_that_fills_later_is_drained_as_well(tmp_path: Path) -> None:
    topic = Topic()
    await fill(tmp_path / "1", b"first")
    async with adopting(tmp_path, topic):
        await topic.has(b"first")
        await fill_when_free(tmp_path / "1", b"second")
        await topic.has(b"first", b"second")


async def fill_when_free(folder: Path, value: bytes) -> None:
    async with AsyncExitStack() as stack:
        while True:
            try:
                spool = await stack.enter_async_context(open_spool(folder, MAX_BYTES))
                break
            except SpoolError:  # it is being looked at
                await asyncio.sleep(0)
        await spool.put([Record("topic", b"key", value, [])])


async def test_a_broken_spool_blocks_no_others(tmp_path: Path) -> None:
    topic = Topic()
    (tmp_path / "1" / "spool.sqlite").mkdir(parents=True)
    await fill(tmp_path / "2", b"good")
    with capture_logs() as logs:
        async with adopting(tmp_path, topic):
            await topic.has(b"good")
    assert ("spool_not_adopted", "1") in {(line["event"], line["folder"]) for line in logs}
