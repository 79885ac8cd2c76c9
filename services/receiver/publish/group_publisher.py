"""Parses and publishes verified webhooks in groups: events first, and dead letters in a lane of their own."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import structlog

from services.receiver.parse.normalise_webhook import NormalisedWebhook, normalise
from services.receiver.publish.records import event_records, letter_records, request_id
from shared.bus.producer import Record, Topics
from shared.runtime.clock import Clock
from shared.runtime.group_queue import GroupQueue, finish
from shared.runtime.metrics import ReceiverMetrics

MAX_GROUP_BYTES = 1024 * 1024
"""About the most that is published at once; more could not be acknowledged within the publisher's timeout."""

StoreRecords = Callable[[Sequence[Record]], Awaitable[bool]]
"""Returns True when the broker has acknowledged all records, False when they are on the disk. SpoolError when one may
be neither.
"""

log = structlog.get_logger()


@dataclass(slots=True)
class PendingWebhook:
    """A webhook whose response waits for `done`: its events are safe then. `letters` are stored after them."""

    body: bytes
    trace: str
    arrived_at: float
    done: asyncio.Future[None]
    normalised: NormalisedWebhook | None = None
    letters: list[Record] = field(default_factory=list)


@dataclass(slots=True)
class PendingLetters:
    """The dead letters of one webhook, which are safe when `done`."""

    records: list[Record]
    done: asyncio.Future[None]


@dataclass(slots=True)
class WebhookGroup:
    """Webhooks whose events are published together. `body_bytes` is the size of their bodies."""

    webhooks: list[PendingWebhook] = field(default_factory=list)
    events: list[Record] = field(default_factory=list)
    body_bytes: int = 0


class GroupPublisher:
    """Publishes one group at a time, in order. Webhooks that arrive meanwhile are the next group.

    A group shares one wait for the broker, and parsing its bodies at once takes a quarter less time than parsing each
    between two requests. While the broker acknowledges one group, what has arrived of the next is parsed. Dead letters
    hold up no events: only the response to their own webhook waits for them.
    """

    def __init__(self, store: StoreRecords, topics: Topics, metrics: ReceiverMetrics, clock: Clock) -> None:
        self._store = store
        self._topics = topics
        self._metrics = metrics
        self._acknowledged = metrics.acknowledged_seconds.labels("broker")
        self._clock = clock
        self._queue = GroupQueue[PendingWebhook](self._publish_all)
        self._letters = GroupQueue[PendingLetters](self._park_all)

    async def publish(self, body: bytes, trace: str) -> None:
        """Return when every event and dead letter of `body` is safe. SpoolError when one may not be.

        Records carry `trace`.
        """
        loop = asyncio.get_running_loop()
        webhook = PendingWebhook(body, trace, perf_counter(), loop.create_future())
        await self._queue.submit(webhook)
        if webhook.letters:
            await self._letters.submit(PendingLetters(webhook.letters, loop.create_future()))
            self._count_parked(webhook)

    async def _publish_all(self) -> None:
        group = await self._parse_into(WebhookGroup())
        while group.webhooks:
            publishing = asyncio.create_task(self._publish(group))
            following = await self._parse_into(WebhookGroup())
            await publishing
            group = await self._parse_into(following)

    async def _publish(self, group: WebhookGroup) -> None:
        try:
            if group.events and await self._store(group.events):
                self._observe_acknowledged(group.webhooks)
            self._count(group.webhooks)
        except Exception as error:  # noqa: BLE001 - every caller of `publish` raises it
            finish(group.webhooks, error)
        else:
            finish(group.webhooks)

    def _observe_acknowledged(self, webhooks: Sequence[PendingWebhook]) -> None:
        now = perf_counter()
        for webhook in webhooks:
            self._acknowledged.observe(now - webhook.arrived_at)

    async def _parse_into(self, group: WebhookGroup) -> WebhookGroup:
        """Parse the oldest waiting webhooks into `group`: as many as can be published in time, but at least one."""
        await _let_arrived_requests_in()
        now, waiting = self._clock(), self._queue.items
        while waiting and group.body_bytes < MAX_GROUP_BYTES:
            webhook = waiting.popleft()
            try:
                webhook.normalised = normalise(webhook.body, now)
                webhook.letters = letter_records(webhook.normalised, self._topics, webhook.trace)
                group.events += event_records(webhook.normalised, self._topics, webhook.trace)
            except Exception as error:  # noqa: BLE001 - it must not fail the others
                finish([webhook], error)
                continue
            group.webhooks.append(webhook)
            group.body_bytes += len(webhook.body)
        return group

    def _count(self, group: Sequence[PendingWebhook]) -> None:
        all_normalised = [webhook.normalised for webhook in group if webhook.normalised]
        for kind, number in Counter(event.kind for each in all_normalised for event in each.events).items():
            self._metrics.events[kind].inc(number)
        for each in all_normalised:
            for kind, number in each.dropped.items():
                self._metrics.dropped[kind].inc(number)

    async def _park_all(self) -> None:
        while group := _take_letters(self._letters.items):
            try:
                await self._store([record for each in group for record in each.records])
            except Exception as error:  # noqa: BLE001 - the caller of each raises it
                finish(group, error)
            else:
                finish(group)

    def _count_parked(self, webhook: PendingWebhook) -> None:
        for dead_letter in webhook.normalised.dead_letters if webhook.normalised else ():
            self._metrics.parked[dead_letter.reason].inc()
            fields = {"reason": dead_letter.reason, "detail": dead_letter.detail, "letter_id": dead_letter.letter_id}
            log.warning("parked", request_id=request_id(webhook.trace), **fields)


def _take_letters(waiting: deque[PendingLetters]) -> list[PendingLetters]:
    """Take as many as can be published in time, but at least one."""
    taken: list[PendingLetters] = []
    size = 0
    while waiting and size < MAX_GROUP_BYTES:
        taken.append(waiting.popleft())
        size += sum(len(record.value) for record in taken[-1].records)
    return taken


async def _let_arrived_requests_in() -> None:
    """Wait four turns of the event loop, in which sockets are read and handlers call `publish`.

    Groups grow with the load, and cost no time without one. A group's batch costs as much as ten records.
    """
    for _ in range(4):
        await asyncio.sleep(0)
