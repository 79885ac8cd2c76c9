"""Signed webhook requests for the benches, written as bytes to a file that wrk reads.

Each request has unique message ids and one of many customers: records spread over the partitions like real ones, and
an arrived record is identified by its ids. All requests of a file have one length, so the nth is found by seeking.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.runtime.crypto import webhook_signature

BODY_BYTES = 405
CUSTOMERS, CUSTOMERS_OF_A_BATCH = 5_000, 50
PAGE = "371000000000001"
MID_TAIL = "JWElrgbN2SLTPy4T42alAqnDpEjWCDd1skrJo9YDNmtF736xWTbZZqmFhdSWe9vLmv03rnyAHFh5zQ"
"""Follows the number in a message id, to reach the length of a real one: `m_` and 86 characters."""
TEXT = "Hallo 👋 I saw the flat in Lindenstraße; is it still free from May, and may we see it on Saturday, all of us?"


@dataclass(frozen=True, slots=True)
class Requests:
    """`count` requests of `length` bytes and `events` events each."""

    path: Path
    length: int
    count: int
    events: int


def envelope(number: int) -> bytes:
    """Return one text message as Facebook formats it (escaped, no spaces): 405 bytes."""
    room = BODY_BYTES - len(_body([_entry(number, CUSTOMERS, "")]))
    return _body([_entry(number, CUSTOMERS, _shortened(room))])


def batch(number: int, size: int) -> bytes:
    """Return a body of `size` entries with one message each."""
    first = number * size
    return _body([_entry(each, CUSTOMERS_OF_A_BATCH, TEXT) for each in range(first, first + size)])


def post(body: bytes, secret: str) -> bytes:
    """Return the signed request.

    The signature stands before the middle: LuaJIT, by which wrk reads requests, hashes a long string by a few bytes at
    its quarter and half, and is slow if those never differ.
    """
    head = (
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nUser-Agent: facebookexternalua\r\nAccept: */*\r\n"
        f"X-Hub-Signature-256: {webhook_signature(secret, body)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def write_requests(path: Path, bodies: Iterable[bytes], secret: str, events: int) -> Requests:
    """Raise ValueError if the bodies differ in length."""
    count, lengths = 0, set()
    with path.open("wb") as file:
        for body in bodies:
            lengths.add(file.write(post(body, secret)))
            count += 1
    if len(lengths) != 1:
        raise ValueError(f"requests of {len(lengths)} lengths cannot be found by seeking")
    return Requests(path, lengths.pop(), count, events)


def _body(entries: list[dict[str, Any]]) -> bytes:
    return json.dumps({"object": "page", "entry": entries}, separators=(",", ":")).encode()


def _entry(number: int, customers: int, text: str) -> dict[str, Any]:
    item = {
        "sender": {"id": f"{8130000000000001 + number % customers}"},
        "recipient": {"id": PAGE},
        "timestamp": 1723486609684 + number,
        "message": {"mid": f"m_{number:08}{MID_TAIL}", "text": text},
    }
    return {"time": 1723486611083 + number, "id": PAGE, "messaging": [item]}


def _shortened(room: int) -> str:
    """Return the text, cut to `room` bytes including its escapes."""
    escaped = len(json.dumps(TEXT)) - 2
    return TEXT[: len(TEXT) - (escaped - room)]
