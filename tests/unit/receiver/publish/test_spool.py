"""The spool keeps records in order and within its limit, and survives the end of its process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from structlog.testing import capture_logs

from services.receiver.publish.spool import SPOOL_FILE, SpoolError, open_spool
from shared.bus.producer import Record
from tests.support.servers import ROOT

PLENTY = 1 << 20


def record(number: int, size: int = 10) -> Record:
    return Record("topic", b"key", f"{number}:".encode() + b"x" * size, [("ce_id", str(number).encode())])


def numbers(records: list[Record]) -> list[int]:
    return [int(each.value.partition(b":")[0]) for each in records]


async def test_records_are_returned_whole_in_order(tmp_path: Path) -> None:
    async with open_spool(tmp_path, PLENTY) as spool:
        await spool.put([record(0)])
        await spool.put([Record("other", None, b"1:", [])])
        await spool.put([record(2)])
        taken = await spool.peek("topic", 1)
        assert [each.record for each in taken] == [record(0)]
        await spool.remove(taken)
        assert numbers([each.record for each in await spool.peek("topic", 10)]) == [2]
        others = await spool.peek("other", 10)
        assert [each.record for each in others] == [Record("other", None, b"1:", [])]
        await spool.remove(others)
        assert (spool.depth, spool.topics, spool.is_free_of("other")) == (1, ["topic"], True)
        assert spool.oldest_at > 0
        await spool.remove(await spool.peek("topic", 1))
        assert (spool.depth, spool.bytes, spool.oldest_at) == (0, 0, 0)


async def test_concurrent_puts_keep_their_order(tmp_path: Path) -> None:
    async with open_spool(tmp_path, PLENTY) as spool:
        await asyncio.gather(*(spool.put([record(number)]) for number in range(200)))
        assert numbers([each.record for each in await spool.peek("topic", 500)]) == list(range(200))


async def test_records_of_an_earlier_process_are_kept(tmp_path: Path) -> None:
    async with open_spool(tmp_path, PLENTY) as spool:
        await spool.put([record(1), record(2)])
        size = spool.bytes
    async with open_spool(tmp_path, PLENTY) as spool:
        assert (spool.depth, spool.bytes) == (2, size)
        assert not spool.is_empty
        assert numbers([each.record for each in await spool.peek("topic", 10)]) == [1, 2]


async def test_a_full_spool_refuses_until_there_is_room(tmp_path: Path) -> None:
    async with open_spool(tmp_path, 1000) as spool:
        await spool.put([record(1, 800)])
        with pytest.raises(SpoolError, match="full"):
            await spool.put([record(2, 800)])
        assert not await spool.probe()
        assert spool.depth == 1
        await spool.remove(await spool.peek("topic", 1))
        assert spool.bytes == 0
        await spool.put([record(3, 800)])


async def test_a_topic_with_a_share_leaves_the_rest_to_the_others(tmp_path: Path) -> None:
    async with open_spool(tmp_path, 4000) as spool:
        other = [Record("other", None, b"x" * 800, [])]
        await spool.put(other, share=0.25)
        with pytest.raises(SpoolError, match="share of other is full"):
            await spool.put(other, share=0.25)
        await spool.put([record(1, 1800)], share=1.0)
    async with open_spool(tmp_path, 4000) as spool:
        with pytest.raises(SpoolError, match="share of other is full"):
            await spool.put(other, share=0.25)
        await spool.remove(await spool.peek("other", 1))
        await spool.put(other, share=0.25)


async def test_a_refused_record_is_set_aside_until_the_next_start(tmp_path: Path) -> None:
    async with open_spool(tmp_path, PLENTY) as spool:
        await spool.put([record(1), record(2)])
        await spool.set_aside((await spool.peek("topic", 1))[0])
        assert numbers([each.record for each in await spool.peek("topic", 10)]) == [2]
        assert spool.set_aside_number == 1
    async with open_spool(tmp_path, PLENTY) as spool:
        assert sorted(numbers([each.record for each in await spool.peek("topic", 10)])) == [1, 2]
        assert spool.set_aside_number == 0


@pytest.mark.parametrize("kept", [0, 4096])
async def test_a_damaged_spool_is_kept_reported_and_replaced(tmp_path: Path, kept: int) -> None:
    async with open_spool(tmp_path, PLENTY) as spool:
        await spool.put([record(number, 3000) for number in range(50)])
    file = tmp_path / SPOOL_FILE
    damaged = file.read_bytes()[:kept] + Random(1).randbytes(file.stat().st_size - kept)
    file.write_bytes(damaged)
    with capture_logs() as logs:
        async with open_spool(tmp_path, PLENTY) as spool:
            assert spool.is_empty
            await spool.put([record(1)])
    [copy] = [path for path in tmp_path.iterdir() if ".damaged-" in path.name]
    assert copy.read_bytes() == damaged
    assert [(line["event"], line["kept_as"]) for line in logs] == [("spool_damaged", str(copy))]
    async with open_spool(tmp_path, PLENTY) as spool:
        assert spool.depth == 1


async def test_a_peek_is_limited_in_size(tmp_path: Path) -> None:
    async with open_spool(tmp_path, 1 << 30) as spool:
        for number in range(5):
            await spool.put([record(number, 3_000_000)])
        assert numbers([each.record for each in await spool.peek("topic", 500)]) == [0]


async def test_two_processes_never_share_a_spool(tmp_path: Path) -> None:
    async with open_spool(tmp_path, PLENTY):
        with pytest.raises(SpoolError, match="another process"):
            async with open_spool(tmp_path, PLENTY):
                pass


async def test_only_the_owner_can_read_the_spool(tmp_path: Path) -> None:
    async with open_spool(tmp_path / "spool", PLENTY) as spool:
        await spool.put([record(1)])
        assert (tmp_path / "spool").stat().st_mode & 0o077 == 0


async def test_an_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="cannot be written"):
        async with open_spool(tmp_path / "file" / "spool", PLENTY):
            pass


async def test_a_full_disk_loses_no_acknowledged_records(tmp_path: Path) -> None:
    """A page limit makes SQLite fail like a full disk."""
    async with open_spool(tmp_path, PLENTY) as spool:
        await spool.put([record(1)])
        spool._connection.execute("PRAGMA max_page_count = 8")
        refused: list[SpoolError] = []
        acknowledged = [1]
        for number in range(2, 100):
            try:
                await spool.put([record(number, 3000)])
                acknowledged.append(number)
            except SpoolError as error:
                refused.append(error)
        assert refused
        assert all("full" in str(error) for error in refused)
        assert numbers([each.record for each in await spool.peek("topic", 100)]) == acknowledged
        assert spool.depth == len(acknowledged)


async def test_a_torn_tail_loses_only_unacknowledged_records(tmp_path: Path) -> None:
    async with open_spool(tmp_path / "a", PLENTY) as spool:
        await spool.put([record(1), record(2)])
        torn = tmp_path / "b"
        torn.mkdir()
        for name in ("spool.sqlite", "spool.sqlite-wal"):
            (torn / name).write_bytes((tmp_path / "a" / name).read_bytes())
    with (torn / "spool.sqlite-wal").open("ab") as log:
        log.write(Random(1).randbytes(3000))
    async with open_spool(torn, PLENTY) as spool:
        assert numbers([each.record for each in await spool.peek("topic", 10)]) == [1, 2]


FILLER = """
import asyncio, sys
from pathlib import Path
from services.receiver.publish.spool import open_spool
from shared.bus.producer import Record

async def main():
    async with open_spool(Path(sys.argv[1]), 1 << 30) as spool:
        for number in range(1_000_000):
            await spool.put([Record("topic", b"key", f"{number}:".encode(), [])])
            print(number, flush=True)

asyncio.run(main())
"""


async def test_acknowledged_records_survive_kill_9(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", FILLER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE) as filler:
        assert filler.stdout is not None
        acknowledged = [int(filler.stdout.readline()) for _ in range(300)]
        os.kill(filler.pid, signal.SIGKILL)
        acknowledged += [int(line) for line in filler.stdout.read().split()]
    async with open_spool(tmp_path, PLENTY) as spool:
        kept = numbers([each.record for each in await spool.peek("topic", 1_000_000)])
        assert kept[: len(acknowledged)] == acknowledged
        assert len(kept) <= len(acknowledged) + 1
