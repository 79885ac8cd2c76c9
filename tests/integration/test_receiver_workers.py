"""Several worker processes on one port, each of which may die."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession, TCPConnector

from services.receiver.publish.spool import open_spool
from shared.bus.producer import Record
from shared.bus.reader import read_all
from tests.conftest import Stack, Start
from tests.support.processes import Leadstream
from tests.support.sending import Sender, is_ready, operations_of, port_of, published
from tests.support.servers import free_port
from tests.support.waiting import eventually

Begin = Callable[..., Awaitable["Workers"]]


class Workers:
    """A parent, its workers, and a sender that opens a connection for each webhook so that all workers get some."""

    def __init__(self, process: Leadstream, session: ClientSession) -> None:
        self.process = process
        self.pids: list[int] = []
        self.port = port_of(process)
        self._session = session
        self.sender = Sender(session, self.port)

    async def have_listened(self, number: int) -> None:
        """Return when this many workers have listened; `pids` then has every worker that ever did."""

        async def pids() -> list[int]:
            return [int(json.loads(line)["pid"]) for line in self.process.lines() if "worker_listening" in line]

        self.pids = await eventually(pids, lambda found: len(found) >= number)

    async def metric(self, name: str) -> float:
        """Return a metric's sum over all labels and workers."""
        async with self._session.get(f"{operations_of(self.process)}/metrics") as answer:
            text = await answer.text()
        return sum(float(found) for found in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


@pytest.fixture
async def start(leadstream: Start) -> AsyncIterator[Begin]:
    async with ClientSession(connector=TCPConnector(force_close=True)) as session:
        begun: list[Leadstream] = []

        async def begin(number: int = 2) -> Workers:
            ports = {"LEADSTREAM_RECEIVER_PORT": "0", "LEADSTREAM_METRICS_PORT": str(free_port())}
            process = leadstream("receiver", "--workers", str(number), env=ports)
            begun.append(process)
            workers = Workers(process, session)
            await workers.have_listened(number)
            return workers

        yield begin
        for process in begun:
            process.terminate()  # a killed parent leaves its workers' metrics


def is_running(pid: int) -> bool:
    """Return False for a zombie as well."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def all_ended(pids: list[int]) -> None:
    await eventually(lambda: asyncio.sleep(0, [pid for pid in pids if is_running(pid)]), lambda left: not left)


async def test_a_killed_worker_loses_no_webhook_and_is_replaced(stack: Stack, start: Begin) -> None:
    workers = await start()
    sending = asyncio.create_task(workers.sender.send_all(range(600)))
    await eventually(lambda: asyncio.sleep(0, len(workers.sender.answered)), lambda number: number >= 100)
    os.kill(workers.pids[0], signal.SIGKILL)
    await sending
    await workers.have_listened(3)
    assert [is_running(pid) for pid in workers.pids] == [False, True, True]
    before = len(workers.sender.answered)
    await workers.sender.send_all(range(600, 700))
    assert len(workers.sender.answered) == before + 100
    await eventually(lambda: published(stack), lambda found: workers.sender.answered <= found)


async def test_one_page_has_the_metrics_of_all_workers(start: Begin) -> None:
    workers = await start()
    await workers.sender.send_all(range(100))
    assert len(workers.sender.answered) == 100
    name = "leadstream_receiver_events_total"
    assert await workers.metric(name) == 100
    os.kill(workers.pids[0], signal.SIGKILL)
    await workers.have_listened(3)
    assert await workers.metric(name) == 100, "what a worker counted outlives it"


async def test_workers_are_ready_while_each_of_them_answers(start: Begin) -> None:
    workers = await start()

    async def ready() -> bool:
        async with ClientSession() as session:
            return await is_ready(session, workers.process)

    assert await ready()
    os.kill(workers.pids[0], signal.SIGSTOP)
    await eventually(ready, lambda answer: not answer)
    os.kill(workers.pids[0], signal.SIGKILL)
    await eventually(ready, bool)


async def test_sigterm_ends_all_workers(start: Begin) -> None:
    workers = await start(3)
    await workers.sender.send_all(range(50))
    assert workers.process.terminate() == 0
    assert [pid for pid in workers.pids if is_running(pid)] == []


async def test_workers_end_with_their_parent_and_free_their_spools(start: Begin) -> None:
    workers = await start()
    workers.process.kill()
    await all_ended(workers.pids)
    assert "Traceback" not in workers.process.output
    assert len((await start()).pids) == 2


@pytest.mark.parametrize("folder", ["1", "7"])
async def test_records_in_another_processs_spool_are_published(
    stack: Stack, leadstream: Start, tmp_path: Path, folder: str
) -> None:
    async with open_spool(tmp_path / "spool" / stack.topics.message_events / folder, 1_000_000) as spool:
        await spool.put([Record(stack.topics.message_events, b"key", b'{"left": true}', [("a", b"b")])])
    leadstream("receiver", LEADSTREAM_RECEIVER_PORT="0").wait_for("spool_adopted")

    async def found() -> list[Record]:
        return await read_all(stack.kafka, stack.topics.message_events)

    (record,) = await eventually(found, bool)
    assert (record.key, record.value, record.headers) == (b"key", b'{"left": true}', [("a", b"b")])


async def test_records_spooled_by_a_killed_worker_are_published(stack: Stack, start: Begin) -> None:
    workers = await start()
    stack.servers.stop_kafka()
    try:
        await workers.sender.send_all(range(100))
        assert len(workers.sender.answered) == 100
        os.kill(workers.pids[0], signal.SIGKILL)
    finally:
        stack.servers.start_kafka()
    await eventually(lambda: published(stack), lambda found: workers.sender.answered <= found)


async def test_a_worker_that_dies_in_an_outage_is_replaced(stack: Stack, start: Begin) -> None:
    stack.servers.stop_kafka()
    try:
        workers = await start()
        os.kill(workers.pids[0], signal.SIGKILL)
        await workers.have_listened(3)
        await workers.sender.send_all(range(50))
        assert workers.sender.statuses == [200] * 50
    finally:
        stack.servers.start_kafka()
    await eventually(lambda: published(stack), lambda found: workers.sender.answered <= found)


def test_workers_that_cannot_start_end_the_parent_with_their_status(leadstream: Start) -> None:
    process = leadstream("receiver", "--workers", "2", LEADSTREAM_TOPIC_PREFIX="nowhere.", LEADSTREAM_RECEIVER_PORT="0")
    assert process.wait() == 3
    assert "run `leadstream setup`" in process.output


async def test_a_port_with_another_receivers_workers_is_in_use(start: Begin, leadstream: Start, tmp_path: Path) -> None:
    port = str((await start()).port)
    other = str(tmp_path / "other")
    second = leadstream(
        "receiver", "--workers", "2", LEADSTREAM_RECEIVER_PORT=port, LEADSTREAM_SPOOL_DIR=other
    )  # fmt: skip
    assert second.wait() == 3
    assert f"cannot listen on 127.0.0.1:{port}" in second.output


def folders(process: Leadstream) -> list[Path]:
    """Return the metrics folders of the running workers."""
    children = Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children").read_text().split()
    found = (
        re.search(r"PROMETHEUS_MULTIPROC_DIR=([^\0]+)", Path(f"/proc/{each}/environ").read_text()) for each in children
    )
    return [Path(each[1]) for each in found if each]


async def test_workers_metrics_are_removed_at_the_end_or_by_the_next_parent(start: Begin) -> None:
    killed = await start()
    first, same = folders(killed.process)
    assert first == same
    assert any(first.iterdir())
    killed.process.kill()
    await all_ended(killed.pids)
    following = await start()
    second, _ = folders(following.process)
    assert not first.exists()
    assert following.process.terminate() == 0
    assert not second.exists()


async def test_two_receivers_with_workers_never_share_a_spool(start: Begin, leadstream: Start) -> None:
    await start()
    second = leadstream("receiver", "--workers", "2", LEADSTREAM_RECEIVER_PORT="0")
    assert second.wait() == 3
    assert "another process uses the spool" in second.output
