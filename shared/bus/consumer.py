"""Members of consumer groups, and clients that only read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    IllegalStateError,
    KafkaConnectionError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
)

from shared.bus.producer import BATCH_BYTES, stop_client
from shared.contract.failures import UnreachableError

FETCH_BYTES = BATCH_BYTES
"""What a consumer has of each partition in its memory while it is busy: a batch of ours at the least. A larger record
comes alone (KIP-74)."""
SESSION_MS = 6_000
"""How long a member of a group may be silent, or take to join again, before its partitions go to the others."""

Polled: TypeAlias = dict[TopicPartition, list[Any]]
"""Records by partition, in their order."""


class OffsetsGoneError(Exception):
    """What a group had yet to read is not on its topic any more. It is for a person to say where to go on."""


class Consumer:
    """A member of a group, which tells of its membership what aiokafka's own keeps to itself.

    `term` rises whenever partitions are taken away, before anybody else can have them: what was polled in an earlier
    term is not to be committed any more. `before_revocation` runs just before that and delays it, so that what is under
    way can still be committed; the group waits for it, so it must take less than `SESSION_MS`.
    """

    def __init__(self, consumer: AIOKafkaConsumer, topic: str, group: str | None) -> None:
        self._consumer = consumer
        self._group = group
        self.term = 0
        self.before_revocation: Callable[[], Awaitable[None]] | None = None
        consumer.subscribe([topic], listener=_Revocations(self))

    async def getmany(self, *, timeout_ms: int, max_records: int | None = None) -> Polled:
        """A group that has not read a partition yet begins at its beginning: that is decided here, and is no default.

        OffsetsGoneError when what it had yet to read was deleted: to begin anew, or to skip, would hide a loss.
        """
        try:
            polled: Polled = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=max_records)
        except NoOffsetForPartitionError as error:
            with suppress(IllegalStateError):  # taken away meanwhile
                await self._consumer.seek_to_beginning(error.args[0])
            return {}
        except OffsetOutOfRangeError as error:
            raise OffsetsGoneError(_advice(self._group, error.args[0])) from None
        return polled

    async def skip_to_end(self) -> None:
        """For a reader without a group: what is there now is not read, and all that comes from now on is; also of
        partitions that are only made later."""
        for partition in self._consumer.assignment():
            await self._consumer.seek_to_end(partition)
            await self._consumer.position(partition)

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        """CommitFailedError or IllegalStateError when the group has gone on without this member."""
        await self._consumer.commit(offsets)

    async def poll_paused(self) -> None:
        """To be called now and then while nothing more can be taken: nothing is fetched, and the group keeps a member
        that otherwise, without a poll for five minutes, it would take to be stuck."""
        self._consumer.pause(*self._consumer.assignment())
        for partition, records in (await self.getmany(timeout_ms=0)).items():  # just assigned, hence not paused yet
            self._consumer.seek(partition, records[0].offset)

    def resume(self) -> None:
        """After `poll_paused`."""
        self._consumer.resume(*self._consumer.paused())


class _Revocations(ConsumerRebalanceListener):
    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """From before aiokafka calls this until there is a new assignment, it hands out no records."""
        try:
            if revoked and self._consumer.before_revocation:
                await self._consumer.before_revocation()
        finally:
            self._consumer.term += 1

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        pass


def _advice(group: str | None, offsets: dict[TopicPartition, int]) -> str:
    where = ", ".join(f"{at.topic}:{at.partition} at {offset}" for at, offset in offsets.items())
    return (
        f"group {group} was to go on with {where}, which the topic does not have: it was deleted unread, or the topic "
        f"was made anew. To go on with what there is, stop every member and run `kafka-consumer-groups.sh --group "
        f"{group} --all-topics --reset-offsets --to-earliest --execute`; then bring in by a backfill what was lost"
    )


@asynccontextmanager
async def open_consumer(
    bootstrap_servers: str, topic: str, group: str | None, *, from_start: bool = True, instance: str | None = None
) -> AsyncIterator[Consumer]:
    """Never commits by itself. UnreachableError when no broker answers.

    In a group, reads on from what is committed, and from the start where nothing is. With `instance`, which no other
    process may have at the same time, membership is static: a process that is back within `SESSION_MS` gets its
    partitions again and the others keep theirs; but one that ends for good is only missed after that time.
    """
    start = "earliest" if from_start else "latest"
    inner = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=group,
        group_instance_id=instance or None,
        enable_auto_commit=False,
        auto_offset_reset="none" if group else start,
        max_partition_fetch_bytes=FETCH_BYTES,
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=SESSION_MS // 4,
    )
    consumer = Consumer(inner, topic, group)
    async with started_consumer(inner, bootstrap_servers):
        yield consumer


@asynccontextmanager
async def started_consumer(consumer: AIOKafkaConsumer, bootstrap_servers: str) -> AsyncIterator[None]:
    try:
        await consumer.start()
    except KafkaConnectionError as error:
        await stop_client(consumer.stop())
        raise UnreachableError(f"no Kafka broker answers at {bootstrap_servers}") from error
    except UnknownTopicOrPartitionError as error:
        await stop_client(consumer.stop())
        raise UnreachableError("the topic cannot be found; run `leadstream setup`") from error
    try:
        yield
    finally:
        await stop_client(consumer.stop())
