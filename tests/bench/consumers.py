"""The compared consumers: each program reads a topic, decodes a number of events and prints its rate.

`python -m tests.bench.consumers NAME BOOTSTRAP TOPIC GROUP RECORDS` with NAME `ours`, `faststream`, `faststream-batch`
or `faust`, in the environment that `make bench-analyzer` creates. All decode with `shared.bus.decode` and have what
makes them fast: uvloop, no models of their own, no second parsing. None waits for a commit: its cost is part of the
figure of the aggregate.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvloop

from services.analyzer.intake.event_intake import BATCH_RECORDS, POLL_MS
from shared.bus.connection import KafkaConnection
from shared.bus.consumer import open_consumer
from shared.bus.decode import RawRecord, decode
from shared.contract.dead_letters import DeadLetter
from shared.contract.events import Event
from shared.runtime.clock import utc_now


@dataclass(slots=True)
class Count:
    """Counts from the first record until at least `records` are handled, `seen` then. Records that are no events are
    counted separately; there should be none.
    """

    records: int
    seen: int = 0
    dead: int = 0
    began: tuple[float, float] = (0.0, 0.0)
    ended: tuple[float, float] = (0.0, 0.0)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def decode(self, records: Iterable[RawRecord]) -> list[Event | DeadLetter]:
        if self.done.is_set():
            return []
        if not self.seen:
            self.began = _clocks()
        now = utc_now()
        decoded = [decode(record, now) for record in records]
        self.seen += len(decoded)
        self.dead += sum(isinstance(each, DeadLetter) for each in decoded)
        if self.seen >= self.records:
            self.ended = _clocks()
            self.done.set()
        return decoded

    def told(self) -> dict[str, float]:
        seconds, cpu = (end - start for end, start in zip(self.ended, self.began, strict=True))
        return {"records": self.seen, "dead": self.dead, "seconds": seconds, "cpu": cpu}


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


@dataclass(frozen=True, slots=True)
class Source:
    bootstrap: str
    topic: str
    group: str


Run = Callable[[Source, Count], Awaitable[None]]


async def ours(source: Source, count: Count) -> None:
    """Poll as the intake does."""
    async with open_consumer(KafkaConnection(source.bootstrap), source.topic, source.group) as consumer:
        while not count.done.is_set():
            polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
            if polled:
                count.decode([record for batch in polled.values() for record in batch])


async def faststream(source: Source, count: Count, *, batch: bool = False) -> None:
    from faststream.kafka import KafkaBroker  # noqa: PLC0415

    async def decoder(message: Any) -> Any:
        """Replace the library's decoder, which would parse the JSON again. A batch is passed as a whole."""
        return count.decode(message.raw_message if batch else [message.raw_message])

    broker = KafkaBroker(source.bootstrap, apply_types=False, logger=None)
    records = {"batch": True, "max_records": BATCH_RECORDS} if batch else {}
    of_topic = {"group_id": source.group, "auto_offset_reset": "earliest", "decoder": decoder}

    @broker.subscriber(source.topic, **of_topic, **records)  # type: ignore[untyped-decorator, unused-ignore]
    async def handle(_events: Any) -> None:
        """Do nothing: the decoder has counted."""

    async with broker:
        await broker.start()
        await count.done.wait()


async def faststream_batch(source: Source, count: Count) -> None:
    await faststream(source, count, batch=True)


async def faust(source: Source, count: Count) -> None:
    import faust as library  # noqa: PLC0415

    app = library.App(
        source.group, broker=f"kafka://{source.bootstrap}", store="memory://", topic_disable_leader=True,
        topic_allow_declare=False, consumer_auto_offset_reset="earliest", web_enabled=False,
        datadir=tempfile.mkdtemp(prefix="leadstream-faust-"), stream_wait_empty=False,
    )  # fmt: skip
    topic = app.topic(source.topic, key_serializer="raw", value_serializer="raw")

    @app.agent(topic)  # type: ignore[untyped-decorator, unused-ignore]
    async def handle(stream: Any) -> None:
        async for event in stream.events():
            count.decode([event.message])

    await app.start()
    await count.done.wait()
    await app.stop()


RUNS: dict[str, Run] = {"ours": ours, "faststream": faststream, "faststream-batch": faststream_batch, "faust": faust}


async def measure(name: str, source: Source, records: int) -> dict[str, float]:
    count = Count(records)
    await RUNS[name](source, count)
    return count.told()


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    _, run_name, bootstrap, from_topic, of_group, wanted = sys.argv
    told = uvloop.run(measure(run_name, Source(bootstrap, from_topic, of_group), int(wanted)))
    print(orjson.dumps(told).decode())
