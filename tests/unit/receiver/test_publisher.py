"""What becomes of a batch while the broker comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.receiver.normalise import Batch, normalise
from services.receiver.publisher import SpoolingPublisher
from services.receiver.spool import Spool, SpoolError, open_spool
from shared.kafka import KafkaError, MessageSizeTooLargeError, Topics
from shared.metrics import ReceiverMetrics
from tests.support.waiting import eventually

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class FakeProducer:
    """Takes records, or is away (a send never ends), or refuses what is too large."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.headers: list[dict[str, bytes]] = []
        self.is_away = False
        self.largest = 1 << 20

    async def send(self, _topic: str, value: bytes, key: bytes, headers: Any) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if len(value) > self.largest:
            raise MessageSizeTooLargeError
        if not self.is_away:
            self.taken.append(value)
            self.headers.append(dict(headers))
            done.set_result(None)
        return done


def batch(number: int, text: str = "hi") -> Batch:
    item = {"sender": {"id": "8"}, "recipient": {"id": "1"}, "message": {"mid": f"m_{number}", "text": text}}
    return normalise(orjson.dumps({"object": "page", "entry": [{"id": "1", "messaging": [item]}]}), NOW)


class Rig:
    def __init__(self, producer: FakeProducer, publisher: SpoolingPublisher, spool: Spool) -> None:
        self.producer, self.publisher, self.spool = producer, publisher, spool

    def mids(self) -> list[str]:
        return [orjson.loads(value)["mid"] for value in self.producer.taken]

    async def is_empty(self) -> bool:
        return self.spool.is_empty


@pytest.fixture
async def rig(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    producer = FakeProducer()
    async with open_spool(tmp_path, getattr(request, "param", 1 << 20)) as spool:
        publisher = SpoolingPublisher(producer, Topics(), 0.05, spool, ReceiverMetrics())  # type: ignore[arg-type]
        draining = asyncio.create_task(publisher.drain())
        yield Rig(producer, publisher, spool)
        draining.cancel()
        with suppress(asyncio.CancelledError, KafkaError):
            await draining


async def test_what_comes_behind_the_spool_never_overtakes_it(rig: Rig) -> None:
    await rig.publisher.publish(batch(1), None)
    rig.producer.is_away = True
    for number in range(2, 6):
        await rig.publisher.publish(batch(number), None)
    assert rig.spool.depth == 4
    rig.producer.is_away = False
    for number in range(6, 9):
        await rig.publisher.publish(batch(number), None)
    assert rig.mids() == ["m_1"], "the rest stands behind a send that has not ended"


@pytest.mark.parametrize("rig", [200], indirect=True)
async def test_a_spool_that_took_nothing_does_not_keep_the_broker_from_being_tried_again(rig: Rig) -> None:
    rig.producer.is_away = True
    with pytest.raises(SpoolError):
        await rig.publisher.publish(batch(1, "x" * 500), None)
    rig.producer.is_away = False

    async def published() -> bool:
        try:
            await rig.publisher.publish(batch(2), None)
        except SpoolError:
            return False
        return True

    await eventually(published, bool)
    assert "m_2" in rig.mids()


async def test_what_the_topic_never_takes_is_set_aside_and_holds_up_nothing(rig: Rig) -> None:
    rig.producer.largest = 2_000
    await rig.publisher.publish(batch(1, "x" * 5_000), None)
    await rig.publisher.publish(batch(2), None)
    await eventually(rig.is_empty, bool)
    assert rig.mids() == ["m_2"]


@pytest.mark.parametrize("header", ["\udcff", "", "00-xyz", "x" * 100_000])
async def test_a_trace_that_is_none_is_made_anew(rig: Rig, header: str) -> None:
    await rig.publisher.publish(batch(1), header)
    assert len(rig.producer.headers[0]["traceparent"]) == 55


async def test_a_trace_goes_on(rig: Rig) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await rig.publisher.publish(batch(1), trace)
    assert rig.producer.headers[0]["traceparent"] == trace.encode()
