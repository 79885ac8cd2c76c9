"""Webhooks that arrive together are published in order, each with its own result."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from services.receiver.parse.normalise_webhook import normalise
from services.receiver.publish.group_publisher import MAX_GROUP_BYTES, GroupPublisher
from services.receiver.publish.records import TRACEPARENT, traceparent_or_new
from services.receiver.publish.spool import SpoolError
from shared.bus.producer import Record, Topics
from shared.contract.events import load_event
from shared.runtime.metrics import ReceiverMetrics

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def body(number: int, text: str = "hi") -> bytes:
    item = {"sender": {"id": "8"}, "recipient": {"id": "1"}, "message": {"mid": f"m_{number}", "text": text}}
    return orjson.dumps({"object": "page", "entry": [{"id": "1", "messaging": [item]}]})


ODD = orjson.dumps(
    {
        "object": "page",
        "entry": [
            {"id": "1", "messaging": [orjson.loads(body(0))["entry"][0]["messaging"][0], {"message": {"text": "?"}}]}
        ],
    }
).replace(b"m_0", b"m_odd")
"""A webhook with an event and a part that is not understood."""


class Broker:
    """Accepts groups of records while it is open."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.failure: Exception | None = None
        self.letters: list[Record] = []
        self.letters_failure: Exception | None = None
        self.letters_open = asyncio.Event()
        self.letters_open.set()
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()

    async def store(self, records: Sequence[Record]) -> bool:
        if records[0].topic == Topics().dead_letters:
            await self._store_letters(records)
        else:
            await self._store_events(records)
        return True

    async def _store_events(self, records: Sequence[Record]) -> None:
        self.asked.set()
        await self.open.wait()
        if self.failure:
            raise self.failure
        self.groups.append([load_event(record.value).event_id.rpartition(":")[2] for record in records])

    async def _store_letters(self, records: Sequence[Record]) -> None:
        await self.letters_open.wait()
        if self.letters_failure:
            raise self.letters_failure
        self.letters += records


class Rig:
    def __init__(self) -> None:
        self.broker = Broker()
        self.metrics = ReceiverMetrics()
        self.group_publisher = GroupPublisher(self.broker.store, Topics(), self.metrics, lambda: NOW)

    def publishing(self, *bodies: bytes) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.group_publisher.publish(each, TRACE)) for each in bodies]


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def test_webhooks_that_arrive_during_publishing_are_the_next_group_in_order(rig: Rig) -> None:
    rig.broker.open.clear()
    first = rig.publishing(body(0))
    await rig.broker.asked.wait()
    rest = rig.publishing(*map(body, range(1, 5)))
    await asyncio.sleep(0)
    rig.broker.open.set()
    await asyncio.gather(*first, *rest)
    assert rig.broker.groups == [["0"], ["1", "2", "3", "4"]]


async def test_a_group_is_limited_in_size(rig: Rig) -> None:
    large = [body(number, "x" * (MAX_GROUP_BYTES // 2)) for number in range(5)]
    await asyncio.gather(*rig.publishing(*large))
    assert [len(group) for group in rig.broker.groups] == [2, 2, 1]


async def test_the_next_group_is_parsed_while_one_is_published(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def noted(raw: bytes, at: datetime) -> Any:
        read.append(raw)
        return normalise(raw, at)

    monkeypatch.setattr("services.receiver.publish.group_publisher.normalise", noted)
    rig.broker.open.clear()
    waiting = rig.publishing(body(0))
    await rig.broker.asked.wait()
    waiting += rig.publishing(body(1))
    for _ in range(20):
        await asyncio.sleep(0)
    assert read == [body(0), body(1)]
    rig.broker.open.set()
    await asyncio.gather(*waiting)
    assert rig.broker.groups == [["0"], ["1"]]


async def test_a_cancelled_webhook_does_not_affect_its_group(rig: Rig) -> None:
    waiting = rig.publishing(*map(body, range(3)))
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.gather(waiting[0], waiting[2])
    assert rig.broker.groups == [["0", "1", "2"]]


@pytest.mark.parametrize("failure", [SpoolError("full"), KeyError("nobody knows why")])
async def test_a_failed_group_raises_for_each_webhook_and_stops_nothing(rig: Rig, failure: Exception) -> None:
    rig.broker.failure = failure
    told = await asyncio.gather(*rig.publishing(*map(body, range(3))), return_exceptions=True)
    assert told == [failure] * 3
    rig.broker.failure = None
    await rig.group_publisher.publish(body(3), TRACE)
    assert rig.broker.groups == [["3"]]


async def test_a_webhook_that_cannot_be_parsed_fails_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """`normalise` never raises. If a defect made it raise, Facebook must not have to repeat the other webhooks."""

    def faulty(raw: bytes, at: datetime) -> Any:
        return normalise(raw, at) if b"m_1" not in raw else 1 // 0

    monkeypatch.setattr("services.receiver.publish.group_publisher.normalise", faulty)
    told = await asyncio.gather(*rig.publishing(*map(body, range(3))), return_exceptions=True)
    assert [type(each) for each in told] == [type(None), ZeroDivisionError, type(None)]
    assert rig.broker.groups == [["0", "2"]]


async def test_letters_that_are_not_safe_refuse_their_own_webhook_alone(rig: Rig) -> None:
    rig.broker.letters_failure = SpoolError("the share is full")
    told = await asyncio.gather(*rig.publishing(body(0), ODD, body(1)), return_exceptions=True)
    assert told == [None, rig.broker.letters_failure, None]
    assert rig.broker.groups == [["0", "odd", "1"]], "its event is published nevertheless"
    assert rig.metrics.parked["no_customer"]._value.get() == 0
    rig.broker.letters_failure = None
    await rig.group_publisher.publish(ODD, TRACE)
    assert len(rig.broker.letters) == 1
    assert rig.metrics.parked["no_customer"]._value.get() == 1


async def test_letters_that_wait_hold_up_no_events(rig: Rig) -> None:
    rig.broker.letters_open.clear()
    odd, *good = rig.publishing(ODD, body(0))
    await asyncio.wait_for(asyncio.gather(*good, *rig.publishing(body(1))), 30)
    later = rig.publishing(body(2))
    await asyncio.wait_for(asyncio.gather(*later), 30)
    assert not odd.done()
    rig.broker.letters_open.set()
    await odd


async def test_only_safe_events_are_counted(rig: Rig) -> None:
    await asyncio.gather(*rig.publishing(body(1), body(2)))
    rig.broker.failure = SpoolError("full")
    await asyncio.gather(*rig.publishing(body(3)), return_exceptions=True)
    assert rig.metrics.events["message"]._value.get() == 2


async def test_a_webhook_without_events_needs_no_broker(rig: Rig) -> None:
    rig.broker.failure = SpoolError("full")
    await rig.group_publisher.publish(b'{"object":"page","entry":[{"id":"1","messaging":[{"delivery":{}}]}]}', TRACE)
    assert rig.metrics.dropped["delivery"]._value.get() == 1


@pytest.mark.parametrize("header", [None, "\udcff", "", "00-xyz", "x" * 100_000])
def test_an_invalid_trace_is_replaced(header: str | None) -> None:
    assert TRACEPARENT.fullmatch(traceparent_or_new(header))
    assert traceparent_or_new(header) != traceparent_or_new(header)


def test_a_valid_trace_is_kept() -> None:
    assert traceparent_or_new(TRACE) == TRACE
