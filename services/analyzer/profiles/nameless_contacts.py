"""Follow contact-updated and queue contacts without a name for a profile lookup.

A backfill brings the name, on Instagram at least the username; webhooks alone bring neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial

from shared.bus.consumer import Consumer
from shared.bus.producer import CommitFailedError, IllegalStateError
from shared.contract.contacts import Contact, NameSource, load_contact_updated
from shared.runtime.retry import retry_until_stopped
from shared.store.mongo import ConnectionFailure
from shared.store.profile_queue import ProfileQueue

POLL_MS, BATCH_RECORDS = 500, 500


async def follow(consumer: Consumer, queue: ProfileQueue, stop: asyncio.Event) -> None:
    """Queue contacts without a name until `stop`. A new group reads the newest version of every contact once."""
    while not stop.is_set():
        polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
        values = [each.value for records in polled.values() for each in records if each.value]
        found = list(nameless(values))
        await retry_until_stopped(partial(queue.add, found), ConnectionFailure)
        if polled:
            with suppress(
                CommitFailedError, IllegalStateError
            ):  # another instance got the partitions and queues them again
                await consumer.commit({partition: records[-1].offset + 1 for partition, records in polled.items()})


def nameless(values: Iterable[bytes]) -> Iterator[Contact]:
    """Yield contacts whose name is a placeholder; skip values that are not of the contract."""
    for value in values:
        try:
            contact = load_contact_updated(value).contact
        except ValueError:
            continue
        if contact.name.source is NameSource.PLACEHOLDER:
            yield contact
