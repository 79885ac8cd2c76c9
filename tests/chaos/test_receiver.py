"""The receiver while the broker is away: every answer is 200, and every 200 is on the topic in the end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from aiohttp import ClientError, ClientSession

from shared.crypto import webhook_signature
from shared.events import load_event
from shared.kafka import read_all
from tests.conftest import Stack, Start
from tests.support.processes import Leadstream
from tests.support.waiting import eventually


class Sender:
    """Facebook, which keeps what was answered 200."""

    def __init__(self, session: ClientSession, port: int) -> None:
        self._session = session
        self._url = f"http://127.0.0.1:{port}/webhook"
        self.answered: set[str] = set()
        self.statuses: list[int | None] = []

    async def send(self, number: int) -> None:
        item = {"sender": {"id": f"80{number % 7}"}, "recipient": {"id": "1"}, "message": {"mid": f"m_{number}"}}
        body = json.dumps(
            {"object": "page", "entry": [{"id": "1", "time": 1_700_000_000_000, "messaging": [item]}]}
        ).encode()
        headers = {"X-Hub-Signature-256": webhook_signature("app-secret", body)}
        try:
            async with self._session.post(self._url, data=body, headers=headers) as answer:
                self.statuses.append(answer.status)
        except ClientError:
            self.statuses.append(None)
        if self.statuses[-1] == 200:
            self.answered.add(f"message:messenger:1:{number}")

    async def send_all(self, numbers: range) -> None:
        for start in range(numbers.start, numbers.stop, 16):
            await asyncio.gather(*(self.send(number) for number in range(start, min(start + 16, numbers.stop))))


async def published(stack: Stack) -> set[str]:
    return {load_event(each.value).event_id for each in await read_all(stack.kafka, stack.topics.message_events)}


def start(leadstream: Start, folder: Path) -> tuple[Leadstream, int]:
    process = leadstream("receiver", LEADSTREAM_RECEIVER_PORT="0", LEADSTREAM_SPOOL_DIR=str(folder))
    return process, json.loads(process.wait_for("receiver_listening"))["port"]


async def test_a_broker_that_goes_away_costs_no_webhook(stack: Stack, leadstream: Start, tmp_path: Path) -> None:
    process, port = start(leadstream, tmp_path / "spool")
    async with ClientSession() as session:
        sender = Sender(session, port)
        await sender.send_all(range(100))
        stack.servers.stop_kafka()
        try:
            await sender.send_all(range(100, 400))
            async with session.get(f"http://127.0.0.1:{port}/ready") as answer:
                assert answer.status == 200, "the spool takes what the broker does not"
        finally:
            stack.servers.start_kafka()
        await sender.send_all(range(400, 500))
    assert sender.statuses == [200] * 500
    await eventually(lambda: published(stack), lambda found: sender.answered <= found)
    process.wait_for("spool_drained")


async def test_what_was_spooled_when_the_process_was_killed_is_published_by_the_next(
    stack: Stack, leadstream: Start, tmp_path: Path
) -> None:
    process, port = start(leadstream, tmp_path / "spool")
    async with ClientSession() as session:
        sender = Sender(session, port)
        await sender.send_all(range(50))
        stack.servers.stop_kafka()
        try:
            sending = asyncio.create_task(sender.send_all(range(50, 250)))
            await eventually(lambda: asyncio.sleep(0, len(sender.answered)), lambda number: number >= 150)
            process.kill()
            await sending
        finally:
            stack.servers.start_kafka()
    assert len(sender.answered) >= 150
    start(leadstream, tmp_path / "spool")
    await eventually(lambda: published(stack), lambda found: sender.answered <= found)


async def test_when_neither_broker_nor_spool_takes_it_the_answer_is_503(
    stack: Stack, leadstream: Start, tmp_path: Path
) -> None:
    process = leadstream(
        "receiver", LEADSTREAM_RECEIVER_PORT="0", LEADSTREAM_SPOOL_DIR=str(tmp_path / "spool"),
        LEADSTREAM_SPOOL_MAX_BYTES="6000",
    )  # fmt: skip
    port = json.loads(process.wait_for("receiver_listening"))["port"]
    async with ClientSession() as session:
        sender = Sender(session, port)
        stack.servers.stop_kafka()
        try:
            await sender.send_all(range(40))
            async with session.get(f"http://127.0.0.1:{port}/ready") as answer:
                assert answer.status == 503
        finally:
            stack.servers.start_kafka()
    assert set(sender.statuses) == {200, 503}
    await eventually(lambda: published(stack), lambda found: sender.answered <= found)


async def test_two_receivers_never_share_a_spool(leadstream: Start, tmp_path: Path) -> None:
    start(leadstream, tmp_path / "spool")
    second = leadstream("receiver", LEADSTREAM_RECEIVER_PORT="0", LEADSTREAM_SPOOL_DIR=str(tmp_path / "spool"))
    assert second.wait() == 3
    assert "another process uses the spool" in second.output
