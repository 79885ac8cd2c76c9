"""100,000 fuzzed bodies over real connections and a real broker: each gets a response, and none is lost.

The fuzzer (`tests.fuzz.mutations`) makes them from one seed; the oracle is what `normalise` returns for each.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from random import Random

import pytest

from services.receiver.http.body import MAX_BODY_BYTES
from services.receiver.parse.normalise_webhook import normalise
from shared.bus.reader import read_all
from shared.contract.dead_letters import load_dead_letter
from shared.runtime.clock import utc_now
from shared.runtime.crypto import webhook_signature
from tests.conftest import Stack, Start
from tests.fuzz.mutations import Mutator, break_bytes
from tests.fuzz.seeds import seed_values
from tests.support.processes import Leadstream
from tests.support.waiting import eventually

SEED = 20_261_124
HALF = 50_000
CONNECTIONS = 64
STRANGERS = 0.05
"""The share of bodies that Facebook did not sign."""
GARBLED, AT_ONCE, MAX_PAUSE_SECONDS = 750, 250, 1.0
"""Requests that are not HTTP: their number after each half, their connections at once, and the timeout of each."""
MAX_GROWTH = 1.10
"""The maximum ratio of the memory after the second half to that after the first.

It is not 1: bounded caches still fill (the partitions of the latest 65,536 keys take about 6 % here), and the memory of
an allocator varies. 10 % are about 200 bytes a request.
"""
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
MID = re.compile(rb'"mid": ?"')
"""Where a number makes a message unique: otherwise 100,000 bodies would contain some thousand messages."""
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
HEALTHY = b'{"object":"page"}'
"""A body without events."""


@dataclass(slots=True)
class Sent:
    """What was sent, what is expected of it, and the counts of responses as `(is signed, status)`."""

    answers: Counter[tuple[bool, int]] = field(default_factory=Counter)
    events: set[str] = field(default_factory=set)
    dead_letters: set[str] = field(default_factory=set)

    def notify_written(self, body: bytes) -> None:
        batch = normalise(body, utc_now())
        self.events.update(draft.event_id for draft in batch.events)
        self.dead_letters.update(dead_letter.letter_id for dead_letter in batch.dead_letters)


class Line:
    """A connection that stays open as long as the receiver keeps it open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        status, length = STATUS.match(head), LENGTH.search(head)
        assert status is not None
        assert length is not None
        await reader.readexactly(int(length[1]))
        if b"connection: close" in head.lower():
            await self.close()
        return int(status[1])

    async def close(self) -> None:
        if self._streams is not None:
            await closed(self._streams[1])
            self._streams = None


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close the connection; the receiver may have closed it already."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def ask_once(port: int, raw: bytes) -> int:
    line = Line(port)
    try:
        return await line.ask(raw)
    finally:
        await line.close()


def request(body: bytes, signature: bytes, *more: bytes) -> bytes:
    lines = [
        b"POST /webhook HTTP/1.1",
        b"Host: receiver",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"X-Hub-Signature-256: " + signature,
    ]
    return b"\r\n".join([*lines, *more, b"", body])


def signed(body: bytes, *more: bytes) -> bytes:
    return request(body, webhook_signature("app-secret", body).encode(), *more)


def forged(body: bytes, random: Random) -> bytes:
    right = webhook_signature("app-secret", body).encode()
    wrong = [
        webhook_signature("guess", body).encode(),
        right[:-1],
        right.upper(),
        b"sha1=" + right[7:47],
        b"\xff" * 71,
        b"",
    ]
    return request(body, random.choice(wrong))


def fuzzed(sent: Sent, random: Random) -> Iterator[tuple[bool, bytes]]:
    """Yield requests without end and whether each is signed, and record in `sent` what is expected of them."""
    mutator = Mutator(seed_values())
    for number in count():
        body = mutator.body(random)
        body = MID.sub(rb"\g<0>%d." % number, body)
        if random.random() < STRANGERS:
            yield False, forged(body, random)
        else:
            sent.notify_written(body)
            yield True, signed(body)


async def send(port: int, requests: Iterator[tuple[bool, bytes]], number: int, sent: Sent) -> None:
    """Send the next `number` of `requests` over many connections at once."""
    numbers = iter(range(number))

    async def work() -> None:
        line = Line(port)
        for _ in numbers:
            is_signed, raw = next(requests)
            sent.answers[is_signed, await line.ask(raw)] += 1
        await line.close()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))


def garbled(random: Random) -> bytes:
    """Return bytes that are almost HTTP, or almost a webhook. Bodies in them have no events."""
    healthy = signed(HEALTHY)
    head, _, _ = healthy.partition(b"\r\n\r\n")
    odd = random.choice(
        [b"-1", b"1e3", b"9" * 30, b"\xd9\xa3", b"0x11", b"17, 17", b" ", b"5", b"18446744073709551617"]
    )
    chunks = b"\r\n".join(random.choice([b"11", HEALTHY, b"0", b"zz", b"", b"ffffffffffffffff"]) for _ in range(6))
    path = random.choice(
        [b"/webhook%00", b"//webhook", b"/\xff\xfe", b"http://[::1/webhook", b"*", b"/webhook?hub.mode=%ZZ"]
    )
    asked = b"hub.mode=subscribe&hub.verify_token=%FF%FE&hub.challenge=%00<script>"
    return random.choice(
        [
            healthy,
            break_bytes(healthy, random),
            break_bytes(healthy, random),
            random.randbytes(random.randrange(400)),
            healthy.replace(b"Content-Length: 17", b"Content-Length: " + odd),
            head.replace(b"Content-Length: 17", b"Transfer-Encoding: chunked") + b"\r\n\r\n" + chunks,
            signed(HEALTHY, b"Transfer-Encoding: " + random.choice([b"chunked", b"gzip", b"chunked, chunked"])),
            signed(HEALTHY, b"Content-Encoding: " + random.choice([b"gzip", b"deflate", b"br", b"\xff"])),
            signed(HEALTHY, b"X-Long: " + b"x" * random.choice([8_000, 9_000, 200_000])),
            signed(HEALTHY, *[b"X-%d: 1" % number for number in range(2_000)]),
            signed(HEALTHY, b"traceparent: " + random.choice([b"\xff", b"00-" + b"0" * 52, b"x" * 7_000])),
            signed(HEALTHY, b"Expect: " + random.choice([b"100-continue", b"200-ok"])),
            healthy.replace(b"/webhook", path),
            healthy.replace(b"POST", random.choice([b"PUT", b"HEAD", b"DELETE", b"BREW", b"P\x00ST", b"\xff"])),
            healthy.replace(b"HTTP/1.1", random.choice([b"HTTP/1.0", b"HTTP/9.9", b"HTTP/2.0", b"", b"ICY"])),
            b"GET /webhook?" + asked + b" HTTP/1.1\r\nHost: receiver\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.randbytes(64),
            healthy * random.randrange(2, 9),
        ]
    )


async def statuses_of(port: int, raw: bytes) -> list[int]:
    """Return the response statuses before this client's timeout; none when the receiver closes or waits for more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    with suppress(ConnectionError, TimeoutError):
        writer.write(raw)
        patience = MAX_PAUSE_SECONDS
        while not reader.at_eof():
            async with asyncio.timeout(patience):
                answer += await reader.read(65_536)
            patience /= 10
    await closed(writer)
    return [int(status) for status in STATUS.findall(answer)]


async def garble(port: int, random: Random) -> Counter[int]:
    told: Counter[int] = Counter()
    for _ in range(GARBLED // AT_ONCE):
        batch = [garbled(random) for _ in range(AT_ONCE)]
        for statuses in await asyncio.gather(*(statuses_of(port, raw) for raw in batch)):
            told.update(statuses)
    return told


def resident_kb(process: Leadstream) -> int:
    done = subprocess.run(["ps", "-o", "rss=", "-p", str(process.process.pid)], capture_output=True, check=True)
    return int(done.stdout)


async def differing(stack: Stack, sent: Sent) -> set[str]:
    """Return the ids of events and dead letters that are missing on their topic or were not expected."""
    events = await read_all(stack.kafka, stack.topics.message_events)
    dead_letters = await read_all(stack.kafka, stack.topics.dead_letters)
    found = {dict(record.headers)["ce_id"].decode() for record in events}
    parked = {load_dead_letter(record.value).letter_id for record in dead_letters}
    return (sent.events ^ found) | (sent.dead_letters ^ parked)


async def test_all_fuzzed_bodies_get_a_response_and_nothing_grows_or_is_lost(stack: Stack, leadstream: Start) -> None:
    if stack.servers.kind == "embedded":
        pytest.skip("the embedded mock broker forgets the first of so many events")
    process = leadstream("receiver", LEADSTREAM_RECEIVER_PORT="0")
    port = json.loads(process.wait_for("receiver_listening"))["port"]
    sent, random = Sent(), Random(SEED)
    requests = fuzzed(sent, random)

    await send(port, requests, HALF, sent)
    told = await garble(port, random)
    first_kb = resident_kb(process)
    await send(port, requests, HALF, sent)
    told += await garble(port, random)
    second_kb = resident_kb(process)

    assert set(sent.answers) == {(True, 200), (False, 403)}, sent.answers
    assert sent.answers.total() == 2 * HALF
    assert {200, 400, 403, 404, 405} <= set(told)
    assert max(told) < 500, told
    assert second_kb <= first_kb * MAX_GROWTH, f"{first_kb} KB after the first half, {second_kb} KB after the second"

    assert await ask_once(port, signed(b"[" * (MAX_BODY_BYTES + 1))) == 413
    item = {"sender": {"id": "8"}, "recipient": {"id": "1"}, "message": {"mid": "m_ordinary", "text": "hi"}}
    ordinary = json.dumps({"object": "page", "entry": [{"id": "1", "messaging": [item]}]}).encode()
    sent.notify_written(ordinary)
    assert await ask_once(port, signed(ordinary)) == 200
    assert "message:messenger:1:ordinary" in sent.events
    told_of = (len(sent.events), len(sent.dead_letters))
    assert min(told_of) > HALF / 2, told_of
    await eventually(lambda: differing(stack, sent), lambda difference: not difference)
    assert process.terminate() == 0
