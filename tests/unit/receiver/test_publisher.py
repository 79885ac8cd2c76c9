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
from services.receiver.publisher import TRACEPARENT, SpoolingPublisher, trace_of
from services.receiver.spool import Spool, SpoolError, open_spool
from shared.kafka import KafkaError, MessageSizeTooLargeError, Topics
from shared.metrics import ReceiverMetrics
from tests.support.waiting import eventually

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


class FakeBatch:
    """Of at most three records."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def append(self, **record: Any) -> object:
        if len(self.records) == 3:
            return None
        self.records.append(record)
        return record

    def close(self) -> None:
        pass


class FakeProducer:
    """Takes records, or is away (a send never ends), or refuses what is too large."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.headers: list[dict[str, bytes]] = []
        self.is_away = False
        self.largest = 1 << 20

    async def partitions_for(self, _topic: str) -> set[int]:
        return {0}

    def create_batch(self) -> FakeBatch:
        return FakeBatch()

    async def send_batch(self, batch: FakeBatch, _topic: str, *, partition: int) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if any(len(record["value"]) > self.largest for record in batch.records):
            done.set_exception(MessageSizeTooLargeError())
        elif not self.is_away:
            self.taken += [record["value"] for record in batch.records]
            self.headers += [dict(record["headers"]) for record in batch.records]
            done.set_result(None)
        return done


def batch(number: int, text: str = "hi") -> Batch:
    item = {"sender": {"id": "8"}, "recipient": {"id": "1"}, "message": {"mid": f"m_{number}", "text": text}}
    return normalise(orjson.dumps({"object": "page", "entry": [{"id": "1", "messaging": [item]}]}), NOW)


class Rig:
    def __init__(
        self, producer: FakeProducer, publisher: SpoolingPublisher, spool: Spool, metrics: ReceiverMetrics
    ) -> None:
        self.producer, self.publisher, self.spool, self.metrics = producer, publisher, spool, metrics

    def mids(self) -> list[str]:
        return [orjson.loads(value)["mid"] for value in self.producer.taken]

    async def is_empty(self) -> bool:
        return self.spool.is_empty


@pytest.fixture
async def rig(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    producer = FakeProducer()
    async with open_spool(tmp_path, getattr(request, "param", 1 << 20)) as spool:
        metrics = ReceiverMetrics()
        publisher = SpoolingPublisher(producer, Topics(), 0.05, spool, metrics)  # type: ignore[arg-type]
        draining = asyncio.create_task(publisher.drain())
        yield Rig(producer, publisher, spool, metrics)
        draining.cancel()
        with suppress(asyncio.CancelledError, KafkaError):
            await draining


async def test_what_comes_behind_the_spool_never_overtakes_it(rig: Rig) -> None:
    await rig.publisher.publish(batch(1), TRACE)
    rig.producer.is_away = True
    for number in range(2, 6):
        await rig.publisher.publish(batch(number), TRACE)
    assert rig.spool.depth == 4
    rig.producer.is_away = False
    for number in range(6, 9):
        await rig.publisher.publish(batch(number), TRACE)
    assert rig.mids() == ["m_1"], "the rest stands behind a send that has not ended"


@pytest.mark.parametrize("rig", [200], indirect=True)
async def test_a_spool_that_took_nothing_does_not_keep_the_broker_from_being_tried_again(rig: Rig) -> None:
    rig.producer.is_away = True
    with pytest.raises(SpoolError):
        await rig.publisher.publish(batch(1, "x" * 500), TRACE)
    rig.producer.is_away = False

    async def published() -> bool:
        try:
            await rig.publisher.publish(batch(2), TRACE)
        except SpoolError:
            return False
        return True

    await eventually(published, bool)
    assert "m_2" in rig.mids()


async def test_what_the_topic_never_takes_is_set_aside_and_holds_up_nothing(rig: Rig) -> None:
    rig.producer.largest = 2_000
    await rig.publisher.publish(batch(1, "x" * 5_000), TRACE)
    await rig.publisher.publish(batch(2), TRACE)
    await eventually(rig.is_empty, bool)
    assert rig.mids() == ["m_2"]


async def test_what_arrives_together_is_published_in_its_order(rig: Rig) -> None:
    await asyncio.gather(*(rig.publisher.publish(batch(number), TRACE) for number in range(20)))
    assert rig.mids() == [f"m_{number}" for number in range(20)]


async def test_one_who_no_longer_waits_costs_the_others_nothing(rig: Rig) -> None:
    waiting = [asyncio.create_task(rig.publisher.publish(batch(number), TRACE)) for number in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.gather(waiting[0], waiting[2])
    assert rig.mids() == ["m_0", "m_1", "m_2"]


async def test_what_cannot_be_explained_is_told_to_everyone_who_waits_and_stops_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(rig.producer, "create_batch", lambda: None)  # as a change of the library's would
        told = await asyncio.gather(
            *(rig.publisher.publish(batch(number), TRACE) for number in range(3)), return_exceptions=True
        )
    assert [type(error) for error in told] == [AttributeError] * 3
    await rig.publisher.publish(batch(3), TRACE)
    assert rig.mids() == ["m_3"]


@pytest.mark.parametrize("header", [None, "\udcff", "", "00-xyz", "x" * 100_000])
def test_a_trace_that_is_none_is_made_anew(header: str | None) -> None:
    assert TRACEPARENT.fullmatch(trace_of(header))
    assert trace_of(header) != trace_of(header)


async def test_a_trace_goes_on(rig: Rig) -> None:
    await rig.publisher.publish(batch(1), trace_of(TRACE))
    assert rig.producer.headers[0]["traceparent"] == TRACE.encode()


async def test_how_much_waits_is_measured(rig: Rig) -> None:
    rig.producer.is_away = True
    await rig.publisher.publish(batch(1), TRACE)
    depth = rig.metrics.spool_depth.labels(rig.spool.name)._value
    oldest = rig.metrics.spool_oldest.labels(rig.spool.name)._value
    assert (depth.get(), oldest.get()) == (1, rig.spool.oldest_at)
    rig.producer.is_away = False
    await eventually(rig.is_empty, bool)
    assert (depth.get(), oldest.get()) == (0, 0)
