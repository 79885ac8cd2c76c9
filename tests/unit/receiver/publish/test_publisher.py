"""Storing of records while the broker is up, away, and up again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.receiver.publish.publisher import SpoolingPublisher
from services.receiver.publish.spool import Spool, SpoolError, open_spool
from shared.bus.producer import MessageSizeTooLargeError, Record, Topics
from shared.contract.dead_letters import load_dead_letter
from shared.runtime.metrics import ReceiverMetrics
from tests.support.waiting import eventually

EVENTS, LETTERS = Topics().message_events, Topics().dead_letters
NOW = datetime(2026, 12, 1, tzinfo=UTC)


class FakeBatch:
    """A batch of at most three records."""

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
    """Accepts records, is away (a send never ends), or refuses records that are too large."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.is_away = False
        self.dead: set[str] = set()
        self.largest = {EVENTS: 1 << 20, LETTERS: 1 << 20}

    async def partitions_for(self, _topic: str) -> set[int]:
        return {0}

    def create_batch(self) -> FakeBatch:
        return FakeBatch()

    async def send_batch(self, batch: FakeBatch, topic: str, *, partition: int) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if topic in self.dead:
            return done
        if any(len(record["value"]) > self.largest[topic] for record in batch.records):
            done.set_exception(MessageSizeTooLargeError())
        elif not self.is_away:
            self.taken += [record["value"] for record in batch.records]
            done.set_result(None)
        return done


LETTER = Record(LETTERS, b"key", b'{"mid": "letter"}', [])


def record(number: int, text: str = "hi") -> Record:
    return Record(EVENTS, b"key", orjson.dumps({"mid": f"m_{number}", "text": text}), [("ce_id", b"1")])


class Rig:
    def __init__(
        self, producer: FakeProducer, publisher: SpoolingPublisher, spool: Spool, metrics: ReceiverMetrics
    ) -> None:
        self.producer, self.publisher, self.spool, self.metrics = producer, publisher, spool, metrics

    def mids(self) -> list[str]:
        return [orjson.loads(value)["mid"] for value in self.producer.taken]

    async def is_empty(self) -> bool:
        return self.spool.is_empty


async def are_open(publisher: SpoolingPublisher) -> None:
    while any(each.is_spooling for each in publisher._topic_publishers.values()):
        await asyncio.sleep(0)


@pytest.fixture
async def rig(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    producer = FakeProducer()
    async with open_spool(tmp_path, getattr(request, "param", 1 << 20)) as spool:
        metrics = ReceiverMetrics()
        publisher = SpoolingPublisher(producer, Topics(), 0.05, spool, metrics, lambda: NOW)  # type: ignore[arg-type]
        draining = asyncio.create_task(publisher.drain())
        await asyncio.wait_for(are_open(publisher), 60)
        yield Rig(producer, publisher, spool, metrics)
        draining.cancel()
        with suppress(asyncio.CancelledError):
            await draining


async def test_new_records_never_overtake_spooled_ones(rig: Rig) -> None:
    await rig.publisher.store([record(1)])
    rig.producer.is_away = True
    for number in range(2, 6):
        await rig.publisher.store([record(number)])
    assert rig.spool.depth == 4
    rig.producer.is_away = False
    for number in range(6, 9):
        await rig.publisher.store([record(number)])
    assert rig.mids() == ["m_1"], "the rest stands behind a send that has not ended"


async def test_the_spool_is_drained_in_order_before_new_records(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.receiver.publish.publisher.DRAIN_RECORDS", 2)
    monkeypatch.setattr("services.receiver.publish.publisher.DRAIN_SECONDS", 0.02)
    rig.producer.is_away = True
    for number in range(7):
        await rig.publisher.store([record(number)])
    rig.producer.is_away = False
    for number in range(7, 40):
        await rig.publisher.store([record(number)])
    await eventually(rig.is_empty, bool)
    await rig.publisher.store([record(40)])
    assert rig.mids() == [f"m_{each}" for each in range(41)]


async def test_undeliverable_dead_letters_block_no_events(rig: Rig) -> None:
    rig.producer.dead = {LETTERS}
    for number in range(1, 4):
        await rig.publisher.store([LETTER])
        await rig.publisher.store([record(number)])
    assert rig.mids() == ["m_1", "m_2", "m_3"]
    assert rig.spool.topics == [LETTERS]
    rig.producer.dead = set()


@pytest.mark.parametrize("rig", [20_000], indirect=True)
async def test_dead_letters_leave_most_of_the_spool_to_events(rig: Rig) -> None:
    rig.producer.dead = {LETTERS, EVENTS}
    large = LETTER._replace(value=b"x" * 3_000)
    await rig.publisher.store([large])
    with pytest.raises(SpoolError, match="share"):
        await rig.publisher.store([large])
    for number in range(4):
        await rig.publisher.store([record(number, "x" * 3_000)])
    assert set(rig.spool.topics) == {LETTERS, EVENTS}
    rig.producer.dead = set()


async def test_readiness_is_that_of_events(rig: Rig) -> None:
    rig.producer.dead = {LETTERS}
    await rig.publisher.store([LETTER])
    rig.spool._max_bytes = 0
    assert await rig.publisher.is_writable()
    rig.producer.is_away = True
    with pytest.raises(SpoolError):
        await rig.publisher.store([record(1)])
    assert not await rig.publisher.is_writable()


@pytest.mark.parametrize("rig", [300], indirect=True)
async def test_records_that_the_spool_refuses_go_to_the_broker(rig: Rig) -> None:
    rig.producer.is_away = True
    await rig.publisher.store([record(1)])
    with pytest.raises(SpoolError):
        await rig.publisher.store([record(2, "x" * 500)])
    rig.producer.is_away = False
    await rig.publisher.store([record(3, "x" * 500)])
    assert "m_3" in rig.mids()


@pytest.mark.parametrize("rig", [200], indirect=True)
async def test_the_broker_is_retried_after_the_spool_refused(rig: Rig) -> None:
    rig.producer.is_away = True
    with pytest.raises(SpoolError):
        await rig.publisher.store([record(1, "x" * 500)])
    rig.producer.is_away = False

    async def published() -> bool:
        try:
            await rig.publisher.store([record(2, "x" * 500)])
        except SpoolError:
            return False
        return True

    await eventually(published, bool)
    assert "m_2" in rig.mids()


async def test_an_event_too_large_for_its_topic_becomes_a_dead_letter(rig: Rig) -> None:
    rig.producer.largest[EVENTS] = 2_000
    large = record(1, "x" * 5_000)
    await rig.publisher.store([large])
    await rig.publisher.store([record(2)])
    await eventually(rig.is_empty, bool)
    letters = [value for value in rig.producer.taken if b"too_large" in value]
    assert [load_dead_letter(value).raw for value in letters] == [large.value]
    assert orjson.loads(record(2).value) in map(orjson.loads, rig.producer.taken)
    assert rig.metrics.parked["too_large"]._value.get() == 1


async def test_a_record_that_no_topic_takes_is_set_aside_until_the_next_start(rig: Rig, tmp_path: Path) -> None:
    rig.producer.largest = {EVENTS: 2_000, LETTERS: 2_000}
    await rig.publisher.store([record(1, "x" * 5_000)])
    await rig.publisher.store([record(2)])
    await eventually(rig.is_empty, bool)
    assert rig.mids() == ["m_2"]
    assert rig.metrics.spool_set_aside.labels(rig.spool.name)._value.get() == 1


async def test_the_spools_depth_is_measured(rig: Rig) -> None:
    rig.producer.is_away = True
    await rig.publisher.store([record(1)])
    depth = rig.metrics.spool_depth.labels(rig.spool.name)._value
    oldest = rig.metrics.spool_oldest.labels(rig.spool.name)._value
    assert (depth.get(), oldest.get()) == (1, rig.spool.oldest_at)
    rig.producer.is_away = False
    await eventually(lambda: asyncio.sleep(0, (depth.get(), oldest.get())), lambda measured: measured == (0, 0))
    assert await rig.is_empty()


async def test_publishing_is_timed_and_its_failures_are_counted(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.receiver.publish.publisher.DRAIN_SECONDS", 0.02)

    def value(name: str, **labels: str) -> float:
        found = rig.metrics.registry.get_sample_value(f"leadstream_receiver_{name}", labels)
        assert found is not None, f"there is no {name}"
        return found

    topic = {"topic": EVENTS}
    assert value("publish_failures_total", **topic) == 0
    assert await rig.publisher.store([record(1)])
    assert (value("publish_seconds_count", **topic), value("acknowledged_seconds_count", via="spool")) == (1, 0)
    rig.producer.is_away = True
    assert not await rig.publisher.store([record(2)])
    assert value("publish_failures_total", **topic) >= 1
    rig.producer.is_away = False
    await eventually(rig.is_empty, bool)
    assert value("acknowledged_seconds_count", via="spool") == 1
    assert value("acknowledged_seconds_sum", via="spool") < 60
