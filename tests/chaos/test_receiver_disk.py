"""The spool's disk is full while the broker is away: the response is 503, no 200 is lost, no restart is needed."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, TCPConnector

from services.receiver.parse.items import IGNORED_KINDS
from shared.runtime.crypto import webhook_signature
from tests.conftest import Stack
from tests.support.brokers import frozen
from tests.support.programs import Program, ended
from tests.support.sending import Sender, is_ready, port_of, published_in_the_end
from tests.support.servers import free_port
from tests.support.small_disk import Limited, Mounted, SmallDisk, can_mount
from tests.support.waiting import eventually

TO_A_FULL_DISK = ("sh", "-c", 'exec "$@" 2>/dev/full', "sh")
ROUND = 8
TEXT = "long " * 1000
"""About a hundred webhooks fill the disk."""


def begin(stack: Stack, spool: Path, log: Path, before: Sequence[str], *arguments: str, **settings: str) -> Program:
    ports = {"LEADSTREAM_RECEIVER_PORT": "0", "LEADSTREAM_METRICS_PORT": str(free_port())}
    env = {**stack.env, **ports, "LEADSTREAM_SPOOL_DIR": str(spool), **settings}
    return Program(("services.cli.main", "receiver", *arguments), env, log, before)


async def send_until(sender: Sender, numbers: itertools.count[int], status: int) -> None:
    """Send whole rounds until every response of one is `status`."""

    async def round_of_statuses() -> set[int | None]:
        return {await sender.send(next(numbers)) for _ in range(ROUND)}

    await eventually(round_of_statuses, lambda statuses: statuses == {status})


@pytest.mark.parametrize("kind", [Mounted, Limited])
async def test_a_full_disk_is_a_503_and_loses_nothing_answered_200(
    kind: Callable[[Path], SmallDisk], stack: Stack, tmp_path: Path
) -> None:
    if kind is Mounted and not can_mount():
        pytest.skip("nothing can be mounted here")
    disk = kind(tmp_path / "disk")
    receiver = begin(stack, disk.folder / "spool", tmp_path / "log", disk.before)
    numbers = itertools.count()
    with ended([receiver]):
        async with ClientSession() as session:
            sender = Sender(session, port_of(receiver), TEXT)
            assert await is_ready(session, receiver)
            disk.fill(receiver)
            stack.servers.stop_kafka()
            try:
                await send_until(sender, numbers, 503)
                await eventually(lambda: is_ready(session, receiver), lambda ready: not ready)
                disk.make_room(receiver)
                await send_until(sender, numbers, 200)
                await eventually(lambda: is_ready(session, receiver), bool)
            finally:
                stack.servers.start_kafka()
            receiver.wait_for("spool_drained")
            await send_until(sender, numbers, 200)
        assert set(sender.statuses) == {200, 503}
        found = await published_in_the_end(stack, sender.answered)
        assert found <= sender.began


async def test_a_disk_that_stays_full_loses_no_webhook_once_the_broker_is_back(stack: Stack, tmp_path: Path) -> None:
    """Then nothing can be written to it, not even the removal of a record."""
    disk = Mounted(tmp_path / "disk") if can_mount() else Limited(tmp_path / "disk")
    receiver = begin(stack, disk.folder / "spool", tmp_path / "log", disk.before)
    numbers = itertools.count()
    with ended([receiver]):
        async with ClientSession() as session:
            sender = Sender(session, port_of(receiver), TEXT)
            disk.fill(receiver)
            stack.servers.stop_kafka()
            try:
                await send_until(sender, numbers, 503)
            finally:
                stack.servers.start_kafka()
            await send_until(sender, numbers, 200)
            await eventually(lambda: is_ready(session, receiver), bool)
        await published_in_the_end(stack, sender.answered)


async def test_a_full_disk_stops_no_worker_while_the_broker_is_up(stack: Stack, tmp_path: Path) -> None:
    if not can_mount():
        pytest.skip("nothing can be mounted here")
    disk = Mounted(tmp_path / "disk")
    receiver = begin(stack, disk.folder / "spool", tmp_path / "log", disk.before, "--workers", "2")
    with ended([receiver]):
        async with ClientSession(connector=TCPConnector(force_close=True)) as session:
            port = port_of(receiver)
            sender = Sender(session, port)
            for slot in range(2):
                receiver.wait_for(f'"slot": {slot}')
            fill_up(Path(f"/proc/{receiver.process.pid}/root{disk.folder}"))
            await sender.send_all(range(100))
            statuses = [await send_item(session, port, kind) for kind in sorted(IGNORED_KINDS) * 5]
        assert receiver.terminate() == 0
    assert "worker_died" not in receiver.output
    assert sender.statuses == [200] * 100
    assert set(statuses) == {200}
    await published_in_the_end(stack, sender.answered)


async def send_item(session: ClientSession, port: int, kind: str) -> int | None:
    """Each kind has a counter of its own: the more kinds, the larger the metrics files."""
    item = {"sender": {"id": "8"}, "recipient": {"id": "1"}, kind: {"watermark": 1}}
    body = json.dumps({"object": "page", "entry": [{"id": "1", "messaging": [item]}]}).encode()
    headers = {"X-Hub-Signature-256": webhook_signature("app-secret", body)}
    try:
        async with session.post(f"http://127.0.0.1:{port}/webhook", data=body, headers=headers) as answer:
            return answer.status
    except ClientError:
        return None


def fill_up(folder: Path) -> None:
    """Fill the disk to the last byte."""
    with contextlib.suppress(OSError), (folder / "more").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


async def test_an_unwritable_log_loses_no_webhook(stack: Stack, tmp_path: Path) -> None:
    port = free_port()
    receiver = begin(stack, tmp_path / "spool", tmp_path / "log", TO_A_FULL_DISK, LEADSTREAM_RECEIVER_PORT=str(port))
    with ended([receiver]):
        async with ClientSession() as session:
            sender = Sender(session, port)
            await eventually(lambda: is_live(session, port, receiver), bool)
            with frozen(stack.servers):
                await sender.send_all(range(50))
            found = await published_in_the_end(stack, sender.answered)
            assert receiver.terminate() == 0
    assert sender.statuses == [200] * 50
    assert found == sender.began


async def is_live(session: ClientSession, port: int, receiver: Program) -> bool:
    assert receiver.process.poll() is None, "it has ended"
    try:
        async with session.get(f"http://127.0.0.1:{port}/live") as answer:
            return answer.status == 200
    except ClientError:
        return False
