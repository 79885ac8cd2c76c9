"""Whose contact is published without a name is put into the queue of those to be asked about.

A backfill tells the name, or on Instagram at least the username: only who is known by webhooks alone has neither.
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
    """Until `stop`. Contacts that were there before are gone through once, in their newest version."""
    while not stop.is_set():
        polled = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
        values = [each.value for records in polled.values() for each in records if each.value]
        found = list(nameless(values))
        await retry_until_stopped(partial(queue.add, found), ConnectionFailure)
        if polled:
            with suppress(CommitFailedError, IllegalStateError):  # another instance has them, and adds them again
                await consumer.commit({partition: records[-1].offset + 1 for partition, records in polled.items()})


def nameless(values: Iterable[bytes]) -> Iterator[Contact]:
    """What is not of the contract was not put there by an analyzer, and is passed over."""
    for value in values:
        try:
            contact = load_contact_updated(value).contact
        except ValueError:
            continue
        if contact.name.source is NameSource.PLACEHOLDER:
            yield contact
