"""Sends signed webhooks like Facebook, which never repeats one that was answered 200."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from aiohttp import ClientError, ClientSession

from shared.bus.reader import read_all
from shared.contract.events import load_event
from shared.runtime.crypto import webhook_signature
from tests.conftest import Stack, Start
from tests.support.processes import Leadstream
from tests.support.servers import free_port
from tests.support.waiting import eventually

MAX_WEBHOOKS_IN_FLIGHT = 16
"""Webhooks in flight at once."""


def event_of(number: int) -> str:
    """Return the id of the event in webhook `number`."""
    return f"message:messenger:1:{number}"


class Sender:
    """Sends numbered webhooks of one message each, and records their results.

    `began` has the events of all webhooks sent, `answered` of those answered 200, which Facebook never sends again.
    `statuses` has None for a webhook whose connection broke. `text` makes the messages longer.
    """

    def __init__(self, session: ClientSession, port: int, text: str | None = None) -> None:
        self._session = session
        self._text = text
        self.turn_to(port)
        self.began: set[str] = set()
        self.answered: set[str] = set()
        self.statuses: list[int | None] = []

    def turn_to(self, port: int) -> None:
        """Send to this port from now on."""
        self._base = f"http://127.0.0.1:{port}"

    async def send(self, number: int) -> int | None:
        body = self._body(number)
        headers = {"X-Hub-Signature-256": webhook_signature("app-secret", body)}
        self.began.add(event_of(number))
        status = None
        try:
            async with self._session.post(f"{self._base}/webhook", data=body, headers=headers) as answer:
                status = answer.status
        except ClientError:
            pass
        self.statuses.append(status)
        if status == 200:
            self.answered.add(event_of(number))
        return status

    async def send_all(self, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), MAX_WEBHOOKS_IN_FLIGHT):
            await asyncio.gather(*map(self.send, numbers[start : start + MAX_WEBHOOKS_IN_FLIGHT]))

    def _body(self, number: int) -> bytes:
        message = {"mid": f"m_{number}"} | ({"text": self._text} if self._text else {})
        item = {"sender": {"id": f"80{number % 7}"}, "recipient": {"id": "1"}, "message": message}
        entry = {"id": "1", "time": 1_700_000_000_000, "messaging": [item]}
        return json.dumps({"object": "page", "entry": [entry]}).encode()


async def published(stack: Stack) -> set[str]:
    """Return the ids of the events on the topic. Every record must be a valid event."""
    return {load_event(each.value).event_id for each in await read_all(stack.kafka, stack.topics.message_events)}


async def published_in_the_end(stack: Stack, owed: set[str]) -> set[str]:
    """Wait for all `owed` events on the topic and return its events. AssertionError with the missing ones."""

    async def missing() -> set[str]:
        return owed - await published(stack)

    await eventually(missing, lambda events: not events)
    return await published(stack)


def start(leadstream: Start, folder: Path, **settings: str) -> Leadstream:
    """Start a receiver with a spool in `folder` and operations on a free port."""
    ports = {"LEADSTREAM_RECEIVER_PORT": "0", "LEADSTREAM_METRICS_PORT": str(free_port())}
    return leadstream("receiver", env={**ports, "LEADSTREAM_SPOOL_DIR": str(folder), **settings})


def port_of(receiver: Leadstream) -> int:
    """Return the port once the receiver listens."""
    port: int = json.loads(receiver.wait_for("receiver_listening"))["port"]
    return port


async def is_ready(session: ClientSession, receiver: Leadstream) -> bool:
    """Return whether `/ready` is 200, which may be what it was a second ago."""
    async with session.get(f"{operations_of(receiver)}/ready") as answer:
        assert answer.status in (200, 503)
        return answer.status == 200


def operations_of(service: Leadstream) -> str:
    """Return the URL of the service's operations server once it listens."""
    return f"http://127.0.0.1:{json.loads(service.wait_for('operations_listening'))['port']}"
