"""`leadstream contacts tail`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import orjson
import typer

from services.cli.contact_views import contact_line, printable
from services.cli.options import AsJson
from shared.bus.connection import kafka_connection
from shared.bus.consumer import open_consumer
from shared.bus.producer import Topics
from shared.contract.contacts import load_contact_updated
from shared.runtime.settings import KafkaSettings

POLL_MS = 500


def tail(
    from_start: Annotated[bool, typer.Option("--from-start", help="Print what is on the topic first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print every version of every contact as it is published on contact-updated, until interrupted."""
    asyncio.run(_follow(KafkaSettings(), from_start=from_start, as_json=as_json))


async def _follow(settings: KafkaSettings, *, from_start: bool, as_json: bool) -> None:
    topic, kafka = Topics(settings.topic_prefix).contact_updated, kafka_connection(settings)
    async with open_consumer(kafka, topic, None, from_start=from_start) as consumer:
        while True:
            polled = await consumer.getmany(timeout_ms=POLL_MS)
            for record in [each for records in polled.values() for each in records]:
                typer.echo(_shown(record.key or b"", record.value, as_json=as_json))


def _shown(key: bytes, value: bytes | None, *, as_json: bool) -> str:
    """Return the line of a record. A tombstone means that the customer was erased."""
    contact_id = key.decode(errors="replace")
    if not value:
        return _json(contact_id, "forgotten") if as_json else printable(f"{contact_id}  erased")
    try:
        update = load_contact_updated(value)
    except ValueError:
        return _json(contact_id, "unreadable") if as_json else printable(f"{contact_id}  unreadable")
    return value.decode() if as_json else f"{contact_line(update.contact)}  ({', '.join(update.changed)})"


def _json(contact_id: str, why: str) -> str:
    return orjson.dumps({"contact_id": contact_id, why: True}).decode()
