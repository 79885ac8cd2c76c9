"""The system's status: what cannot be read is unknown, never 0 or an old value."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer, make_mocked_request
from aiokafka.errors import KafkaConnectionError

from services.console.auth.authentication import authentication_of
from services.console.index.contact_index import ContactIndex
from services.console.overview.pages import OverviewPages
from services.console.overview.system_status import SystemStatus, SystemStatusReader, ThroughputSample, sparkline
from services.console.view.rendering import Renderer, environment
from shared.bus.dead_letter_queue import DeadLetterQueue
from shared.bus.lag import LagReader
from shared.runtime.settings import ConsoleSettings
from tests.unit.console.fakes import Collection, FakeDatabase
from tests.unit.console.rows import NOON

SPOOL = "# TYPE leadstream_receiver_spool_depth gauge\nleadstream_receiver_spool_depth %s\n"


class FakeGauge:
    def __init__(self) -> None:
        self.produced, self.lag, self.parked_end = 0, 0, 0
        self.is_away = False

    async def read(self) -> tuple[int, int]:
        self._check()
        return self.produced, self.lag

    async def end_of(self, _topic: str) -> int:
        self._check()
        return self.parked_end

    def _check(self) -> None:
        if self.is_away:
            raise KafkaConnectionError


class FakeLetters:
    topic = "dlq"

    def __init__(self) -> None:
        self.times_read = 0
        self.is_away = False

    async def parked(self) -> dict[str, str]:
        self.times_read += 1
        if self.is_away:
            raise KafkaConnectionError
        return {"a": "letter", "b": "letter"}


class Rig:
    """A status reader over fake servers."""

    def __init__(self, receiver_url: str = "") -> None:
        self.now = NOON
        self.system_status, self.gauge, self.dead_letters, self.database = (
            SystemStatus(),
            FakeGauge(),
            FakeLetters(),
            FakeDatabase(),
        )
        dead_letters, database = cast(DeadLetterQueue, self.dead_letters), self.database.as_database()
        self.status_reader = SystemStatusReader(self.system_status, database, dead_letters, receiver_url, self._clock)

    def _clock(self) -> datetime:
        return self.now

    async def read(self, after: float = 5, **seen: int) -> SystemStatus:
        for name, value in seen.items():
            setattr(self.gauge, name, value)
        self.now += timedelta(seconds=after)
        async with ClientSession() as session:
            await self.status_reader.read(cast(LagReader, self.gauge), session)
        await self.status_reader.read_dead_letters(cast(LagReader, self.gauge))
        return self.system_status


async def test_rates_lag_and_due_conversations_are_those_of_the_last_read() -> None:
    rig = Rig()
    rig.database.conversations = Collection({"_id": "1"}, {"_id": "2"})
    await rig.read(produced=1000, lag=9)
    assert rig.system_status.rates() == []
    await rig.read(produced=1050, lag=3)
    await rig.read(produced=1050, lag=0)
    assert (rig.system_status.rates(), rig.system_status.lag, rig.system_status.due) == ([10, 0], 0, 2)


async def test_a_recreated_topic_has_no_negative_rate() -> None:
    rig = Rig()
    await rig.read(produced=1000)
    await rig.read(produced=10)
    assert rig.system_status.rates() == [0]


async def test_an_unreachable_broker_leaves_its_values_unknown_and_the_database_read() -> None:
    rig = Rig()
    await rig.read(produced=10, lag=5)
    await rig.read(produced=20, lag=5)
    rig.gauge.is_away = True
    rig.database.conversations = Collection({"_id": "1"})
    system_status = await rig.read()
    assert (
        system_status.broker_answers,
        system_status.lag,
        system_status.rates(),
        system_status.dead_letters,
        system_status.due,
    ) == (False, None, [], None, 1)
    rig.gauge.is_away = False
    system_status = await rig.read(produced=60, lag=2)
    assert (system_status.broker_answers, system_status.lag, system_status.rates()) == (True, 2, [2, 4])
    assert len(system_status.dead_letters or ()) == 2


async def test_an_unreachable_database_leaves_its_values_unknown_and_the_broker_read() -> None:
    rig = Rig()
    await rig.read()
    rig.database.conversations.is_away = True
    system_status = await rig.read(lag=7)
    assert (system_status.due, system_status.lag, system_status.broker_answers) == (None, 7, True)


async def test_dead_letters_are_read_only_when_their_topic_grew() -> None:
    rig = Rig()
    for end in (2, 2, 2, 3, 3):
        assert len((await rig.read(parked_end=end)).dead_letters or ()) == 2
    assert rig.dead_letters.times_read == 2


async def test_dead_letters_that_cannot_be_read_are_unknown_and_tried_again() -> None:
    rig = Rig()
    await rig.read(parked_end=2)
    rig.dead_letters.is_away = True
    assert (await rig.read(parked_end=3)).dead_letters is None
    rig.dead_letters.is_away = False
    assert (await rig.read(parked_end=3)).dead_letters is not None


@asynccontextmanager
async def receiver(answer: Callable[[], web.Response]) -> AsyncIterator[str]:
    async def metrics(_request: web.Request) -> web.Response:
        return answer()

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics)])
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


@pytest.mark.parametrize(
    ("answer", "spool"),
    [
        (lambda: web.Response(text=SPOOL % "0.0"), 0),
        (lambda: web.Response(text=SPOOL % "1.2e+03"), 1200),
        (lambda: web.Response(text="another_metric 5.0\n"), None),
        (lambda: web.Response(text=SPOOL % "4.0", status=500), None),
    ],
)
async def test_the_spool_is_what_the_receiver_reports(answer: Callable[[], web.Response], spool: int | None) -> None:
    async with receiver(answer) as url:
        system_status = await Rig(url).read()
    assert (system_status.spool, system_status.asks_receiver) == (spool, True)


async def test_the_spool_of_an_unreachable_receiver_is_unknown() -> None:
    async with receiver(lambda: web.Response(text=SPOOL % "4.0")) as url:
        rig = Rig(url)
        assert (await rig.read()).spool == 4
    system_status = await rig.read()
    assert (system_status.spool, system_status.lag) == (None, 0)


async def test_without_a_receiver_address_the_spool_is_unknown() -> None:
    system_status = await Rig().read()
    assert (system_status.spool, system_status.asks_receiver) == (None, False)


async def test_the_status_is_read_until_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    rig, stop = Rig(), asyncio.Event()
    monkeypatch.setattr("services.console.overview.system_status.SAMPLE_SECONDS", 0)
    monkeypatch.setattr("services.console.overview.system_status.DEAD_LETTERS_SECONDS", 0)

    @asynccontextmanager
    async def gauge() -> AsyncIterator[Any]:
        yield rig.gauge

    running = asyncio.create_task(rig.status_reader.run(gauge(), stop))
    async with asyncio.timeout(10):
        while len(rig.system_status.samples) < 3 or rig.system_status.dead_letters is None:
            await asyncio.sleep(0)
    stop.set()
    await running


def overview(system_status: SystemStatus, **more: Any) -> str:
    """The text of the overview page, without its tags."""
    auth = authentication_of(ConsoleSettings())
    renderer = Renderer(auth.signer, lambda: NOON, environment(lambda: NOON))
    pages = OverviewPages(ContactIndex(), FakeDatabase().as_database(), renderer, system_status)
    context: dict[str, Any] = {"names": {}, "has_accounts": True, "active": [], "ended": [], "failed": [], **more}
    page = renderer.page(make_mocked_request("GET", "/"), "overview.html", None, **pages.facts(), **context)
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", page.text or ""))


def test_an_overview_shows_unknown_values_as_unknown() -> None:
    page = overview(SystemStatus(broker_answers=False, asks_receiver=True))
    for words in (
        "Events/second – the broker does not answer", "Events waiting – the broker does not answer",
        "To be analysed –", "Fallback share –", "Dead letters –",
        "In the spool – the receiver does not report it", "Dead letters could not be read",
    ):  # fmt: skip
        assert words in page


def test_an_overview_shows_zeros() -> None:
    page = overview(
        SystemStatus(samples=deque([ThroughputSample(NOON, 5, 0)]), dead_letters=(), due=0, spool=0, asks_receiver=True)
    )
    for words in ("Events waiting 0", "To be analysed 0", "Dead letters 0", "In the spool 0", "No known errors"):
        assert words in page


class FakeConsumer:
    """One topic with two partitions; `committed` by partition. Like the real one, it must refresh first."""

    def __init__(self, committed: dict[int, int | None]) -> None:
        self._committed = committed
        self._known = False
        self._client = self

    async def force_metadata_update(self) -> bool:
        self._known = True
        return True

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0, 1} if topic == "events" and self._known else None

    async def end_offsets(self, partitions: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 100)

    async def beginning_offsets(self, partitions: list[Any]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 20)

    async def committed(self, partition: Any) -> int | None:
        return self._committed[partition.partition]


@pytest.mark.parametrize(
    ("committed", "lag"),
    [({0: 100, 1: 90}, 10), ({0: None, 1: 100}, 80), ({0: 5, 1: 100}, 80), ({0: 100, 1: 300}, 0)],
)
async def test_lag_counts_records_that_are_not_committed(committed: dict[int, int | None], lag: int) -> None:
    gauge = LagReader(cast(Any, FakeConsumer(committed)), "events")
    assert await gauge.read() == (200, lag)


async def test_a_missing_topic_is_an_error() -> None:
    gauge = LagReader(cast(Any, FakeConsumer({})), "events")
    with pytest.raises(Exception, match="other"):
        await gauge.end_of("other")


def test_a_sparkline_needs_two_values() -> None:
    assert sparkline([1.0]) == ""
    assert sparkline([0.0, 0.0]).startswith("0.0,26.0")
