"""From webhooks that were verified to events that are safe, many at a time."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from services.receiver.parse.normalise_webhook import NormalisedWebhook, normalise
from services.receiver.publish.records import request_id, to_records
from shared.bus.producer import Record, Topics
from shared.runtime.clock import Clock
from shared.runtime.metrics import ReceiverMetrics

GROUP_BYTES = 1024 * 1024
"""About how much is published at once; more could not be acknowledged within the publisher's timeout."""

StoreRecords = Callable[[Sequence[Record]], Awaitable[None]]
"""Returns when all of the records are safe. SpoolError when they may not be."""

log = structlog.get_logger()


@dataclass(slots=True)
class PendingWebhook:
    """One that waits for its answer until `safe` is done."""

    body: bytes
    trace: str
    safe: asyncio.Future[None]
    batch: NormalisedWebhook | None = None


@dataclass(slots=True)
class WebhookGroup:
    """Webhooks that are published together. `size` is that of their bodies."""

    webhooks: list[PendingWebhook] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    size: int = 0


class GroupPublisher:
    """Takes webhooks that arrive while others are being published together, as the next group: one at a time, in order.

    One wait for the broker is shared by the group, and reading its bodies in one go takes a quarter less time than
    reading each between two requests. What of the next has arrived when one is sent is read while the broker works.
    """

    def __init__(self, make_safe: StoreRecords, topics: Topics, metrics: ReceiverMetrics, clock: Clock) -> None:
        self._make_safe = make_safe
        self._topics = topics
        self._metrics = metrics
        self._clock = clock
        self._waiting: deque[PendingWebhook] = deque()
        self._working: asyncio.Task[None] | None = None

    async def take(self, body: bytes, trace: str) -> None:
        """Returns when every event in `body` is safe; their records carry `trace`. SpoolError when they may not be."""
        webhook = PendingWebhook(body, trace, asyncio.get_running_loop().create_future())
        self._waiting.append(webhook)
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        await webhook.safe

    async def _work(self) -> None:
        try:
            group = await self._read_into(WebhookGroup())
            while group.webhooks:
                publishing = asyncio.create_task(self._publish(group))
                following = await self._read_into(WebhookGroup())
                await publishing
                group = await self._read_into(following)
        finally:
            self._working = None

    async def _publish(self, group: WebhookGroup) -> None:
        try:
            if group.records:
                await self._make_safe(group.records)
            self._count(group.webhooks)
        except Exception as error:  # noqa: BLE001 - each of those who wait is told, and raises it
            _tell(group.webhooks, error)
        else:
            _tell(group.webhooks, None)

    async def _read_into(self, group: WebhookGroup) -> WebhookGroup:
        """With the oldest of those that wait: as many as can be published in time, but one in any case."""
        await _what_has_arrived_is_taken()
        now = self._clock()
        while self._waiting and group.size < GROUP_BYTES:
            webhook = self._waiting.popleft()
            try:
                webhook.batch = normalise(webhook.body, now)
                group.records += to_records(webhook.batch, self._topics, webhook.trace)
            except Exception as error:  # noqa: BLE001 - it must not cost the others
                _tell([webhook], error)
                continue
            group.webhooks.append(webhook)
            group.size += len(webhook.body)
        return group

    def _count(self, group: Sequence[PendingWebhook]) -> None:
        batches = [webhook.batch for webhook in group if webhook.batch]
        for kind, number in Counter(encoded_event.kind for batch in batches for encoded_event in batch.events).items():
            self._metrics.events[kind].inc(number)
        for batch in batches:
            for kind, number in batch.dropped.items():
                self._metrics.dropped[kind].inc(number)
        for webhook in group:
            for dead_letter in webhook.batch.dead_letters if webhook.batch else ():
                self._metrics.parked[dead_letter.reason].inc()
                told = {"reason": dead_letter.reason, "detail": dead_letter.detail, "letter_id": dead_letter.letter_id}
                log.warning("parked", request_id=request_id(webhook.trace), **told)


async def _what_has_arrived_is_taken() -> None:
    """Four turns of the event loop: sockets are read, requests begun, their bodies taken, and once more.

    The groups become as large as the load, for nothing where there is none. A batch costs what ten records do.
    """
    for _ in range(4):
        await asyncio.sleep(0)


def _tell(group: Sequence[PendingWebhook], error: Exception | None) -> None:
    """Whoever no longer waits is passed over."""
    for webhook in group:
        if webhook.safe.done():
            continue
        if error is None:
            webhook.safe.set_result(None)
        else:
            webhook.safe.set_exception(error)
