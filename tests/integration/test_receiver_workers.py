"""Several receivers on one port, each of which may die."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, TCPConnector

from services.receiver.spool import open_spool
from shared.crypto import webhook_signature
from shared.events import load_event
from shared.kafka import Record, read_all
from tests.conftest import Stack, Start
from tests.support.processes import Leadstream
from tests.support.waiting import eventually


class Workers:
    """A parent and its workers, and Facebook, which keeps what was answered 200."""

    def __init__(self, process: Leadstream) -> None:
        self.process = process
        self.answered: set[str] = set()
        self.pids: list[int] = []
        self.port = int(json.loads(process.wait_for("receiver_listening"))["port"])

    async def have_listened(self, number: int) -> None:
        """Returns when so many workers have; `pids` are then those of all that ever did."""

        async def pids() -> list[int]:
            return [int(json.loads(line)["pid"]) for line in self.process.lines() if "worker_listening" in line]

        self.pids = await eventually(pids, lambda found: len(found) >= number)

    async def send(self, numbers: range) -> None:
        """A connection for each request, so that all workers get some."""
        async with ClientSession(connector=TCPConnector(force_close=True)) as session:
            for start in range(numbers.start, numbers.stop, 16):
                await asyncio.gather(
                    *(self._send(session, number) for number in range(start, min(start + 16, numbers.stop)))
                )

    async def _send(self, session: ClientSession, number: int) -> None:
        body = body_of(number)
        headers = {"X-Hub-Signature-256": webhook_signature("app-secret", body)}
        try:
            async with session.post(f"http://127.0.0.1:{self.port}/webhook", data=body, headers=headers) as answer:
                if answer.status == 200:
                    self.answered.add(event_of(number))
        except ClientError:
            return

    async def metric(self, name: str) -> float:
        """Its sum over all labels, from whichever worker answers."""
        async with (
            ClientSession(connector=TCPConnector(force_close=True)) as session,
            session.get(f"http://127.0.0.1:{self.port}/metrics") as answer,
        ):
            text = await answer.text()
        return sum(float(found) for found in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))


def body_of(number: int) -> bytes:
    item = {"sender": {"id": f"80{number % 7}"}, "recipient": {"id": "1"}, "message": {"mid": f"m_{number}"}}
    return json.dumps({"object": "page", "entry": [{"id": "1", "messaging": [item]}]}).encode()


def event_of(number: int) -> str:
    return f"message:messenger:1:{number}"


async def published(stack: Stack) -> set[str]:
    return {load_event(each.value).event_id for each in await read_all(stack.kafka, stack.topics.message_events)}


def is_running(pid: int) -> bool:
    """One that nobody has waited for yet has ended as well."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def all_ended(pids: list[int]) -> None:
    await eventually(lambda: asyncio.sleep(0, [pid for pid in pids if is_running(pid)]), lambda left: not left)


async def start(leadstream: Start, number: int = 2) -> Workers:
    workers = Workers(leadstream("receiver", "--workers", str(number), LEADSTREAM_RECEIVER_PORT="0"))
    await workers.have_listened(number)
    return workers


async def test_a_worker_that_is_killed_costs_no_webhook_and_is_replaced(stack: Stack, leadstream: Start) -> None:
    workers = await start(leadstream)
    sending = asyncio.create_task(workers.send(range(600)))
    await eventually(lambda: asyncio.sleep(0, len(workers.answered)), lambda number: number >= 100)
    os.kill(workers.pids[0], signal.SIGKILL)
    await sending
    await workers.have_listened(3)
    assert [is_running(pid) for pid in workers.pids] == [False, True, True]
    before = len(workers.answered)
    await workers.send(range(600, 700))
    assert len(workers.answered) == before + 100
    await eventually(lambda: published(stack), lambda found: workers.answered <= found)


async def test_the_metrics_are_those_of_all_workers_whichever_answers(leadstream: Start) -> None:
    workers = await start(leadstream)
    await workers.send(range(100))
    assert len(workers.answered) == 100
    name = "leadstream_receiver_events_total"
    assert {await workers.metric(name) for _ in range(12)} == {100.0}
    os.kill(workers.pids[0], signal.SIGKILL)
    await workers.have_listened(3)
    assert {await workers.metric(name) for _ in range(12)} == {100.0}, "what a worker counted outlives it"


async def test_sigterm_ends_all_workers(leadstream: Start) -> None:
    workers = await start(leadstream, 3)
    await workers.send(range(50))
    assert workers.process.terminate() == 0
    assert [pid for pid in workers.pids if is_running(pid)] == []


async def test_workers_end_with_their_parent_and_their_spools_are_free(leadstream: Start) -> None:
    workers = await start(leadstream)
    workers.process.kill()
    await all_ended(workers.pids)
    assert "Traceback" not in workers.process.output
    assert len((await start(leadstream)).pids) == 2


@pytest.mark.parametrize("folder", ["1", "7", "earlier-than-workers"])
async def test_what_another_process_left_is_published(
    stack: Stack, leadstream: Start, tmp_path: Path, folder: str
) -> None:
    """In the folder of a worker that is no more, or where the spool was when there were none."""
    root = tmp_path / "spool" / stack.topics.message_events
    place = root if folder == "earlier-than-workers" else root / folder
    async with open_spool(place, 1_000_000) as spool:
        await spool.put([Record(stack.topics.message_events, b"key", b'{"left": true}', [("a", b"b")])])
    leadstream("receiver", LEADSTREAM_RECEIVER_PORT="0").wait_for("spool_adopted")

    async def found() -> list[Record]:
        return await read_all(stack.kafka, stack.topics.message_events)

    (record,) = await eventually(found, bool)
    assert (record.key, record.value, record.headers) == (b"key", b'{"left": true}', [("a", b"b")])


async def test_what_a_killed_worker_had_spooled_is_published(stack: Stack, leadstream: Start) -> None:
    workers = await start(leadstream)
    stack.servers.stop_kafka()
    try:
        await workers.send(range(100))
        assert len(workers.answered) == 100
        os.kill(workers.pids[0], signal.SIGKILL)
    finally:
        stack.servers.start_kafka()
    await eventually(lambda: published(stack), lambda found: workers.answered <= found)


def test_workers_that_cannot_start_end_it_with_their_status(leadstream: Start) -> None:
    process = leadstream("receiver", "--workers", "2", LEADSTREAM_TOPIC_PREFIX="nowhere.", LEADSTREAM_RECEIVER_PORT="0")
    assert process.wait() == 3
    assert "run `leadstream setup`" in process.output


async def test_two_receivers_with_workers_never_share_a_spool(leadstream: Start) -> None:
    await start(leadstream)
    second = leadstream("receiver", "--workers", "2", LEADSTREAM_RECEIVER_PORT="0")
    assert second.wait() == 3
    assert "another process uses the spool" in second.output
