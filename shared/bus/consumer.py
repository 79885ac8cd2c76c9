"""Consumers: members of consumer groups, and readers without a group."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from shared.bus.connection import KafkaConnection, started
from shared.bus.producer import BATCH_BYTES

FETCH_BYTES = BATCH_BYTES
"""How much a busy consumer holds in memory per partition: at least one of our batches. A larger record comes alone
(KIP-74)."""
SESSION_MS = 6_000
"""How long a member may send no heartbeat, or take to rejoin, before its partitions are assigned to others."""

Polled: TypeAlias = dict[TopicPartition, list[Any]]
"""Records by partition, in their order."""


class OffsetsGoneError(Exception):
    """Records that the group has not read were deleted. A person must decide where the group continues."""


class Consumer:
    """A member of a group that exposes revocations of partitions, which aiokafka's consumer does not.

    `term` rises whenever partitions are revoked, before another member can get them: records polled in an earlier term
    must not be committed. `before_revocation` runs before that and delays it, so that work in progress can still be
    committed. The group waits for it, so it must take less than `SESSION_MS`.
    """

    def __init__(self, consumer: AIOKafkaConsumer, topic: str, group: str | None) -> None:
        self._consumer = consumer
        self._group = group
        self.term = 0
        self.before_revocation: Callable[[], Awaitable[None]] | None = None
        consumer.subscribe([topic], listener=_Revocations(self))

    async def getmany(self, *, timeout_ms: int, max_records: int | None = None) -> Polled:
        """Return the next records by partition. A group starts a partition that it has never read at its beginning.

        OffsetsGoneError when unread records were deleted: starting over or skipping would hide the loss.
        """
        try:
            polled: Polled = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=max_records)
        except NoOffsetForPartitionError as error:
            with suppress(IllegalStateError):  # revoked meanwhile
                await self._consumer.seek_to_beginning(error.args[0])
            return {}
        except OffsetOutOfRangeError as error:
            raise OffsetsGoneError(_advice(self._group, error.args[0])) from None
        return polled

    async def skip_to_end(self) -> None:
        """Skip all present records. For a reader without a group; it also reads partitions that are created later."""
        for partition in self._consumer.assignment():
            await self._consumer.seek_to_end(partition)
            await self._consumer.position(partition)

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        """CommitFailedError or IllegalStateError when this member is no longer in the group."""
        await self._consumer.commit(offsets)

    async def poll_paused(self) -> None:
        """Poll without fetching. To be called regularly while no more records can be processed.

        The group removes a member that has not polled for five minutes.
        """
        self._consumer.pause(*self._consumer.assignment())
        for partition, records in (await self.getmany(timeout_ms=0)).items():  # assigned just now and not paused yet
            self._consumer.seek(partition, records[0].offset)

    def resume(self) -> None:
        """Fetch again after `poll_paused`."""
        self._consumer.resume(*self._consumer.paused())


class _Revocations(ConsumerRebalanceListener):
    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """aiokafka returns no records from before this call until there is a new assignment."""
        try:
            if revoked and self._consumer.before_revocation:
                await self._consumer.before_revocation()
        finally:
            self._consumer.term += 1

    def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        pass


def _advice(group: str | None, offsets: dict[TopicPartition, int]) -> str:
    positions = ", ".join(f"{at.topic}:{at.partition} at {offset}" for at, offset in offsets.items())
    return (
        f"group {group} cannot continue at {positions}: these records were deleted before they were read, or the topic "
        f"was created again. To continue with the records that exist, stop every member and run "
        f"`kafka-consumer-groups.sh --group {group} --all-topics --reset-offsets --to-earliest --execute`; then run a "
        f"backfill for what was lost"
    )


@asynccontextmanager
async def open_consumer(
    kafka: KafkaConnection, topic: str, group: str | None, *, from_start: bool = True, instance: str | None = None
) -> AsyncIterator[Consumer]:
    """Open a consumer that never commits by itself. UnreachableError when no broker can be used.

    A group continues from its committed offsets, and starts at the beginning where there are none. With `instance`, a
    name that no other running process has, membership is static: a process that restarts within `SESSION_MS` gets its
    partitions back and the others keep theirs. The partitions of one that ends for good are reassigned only after that
    time.
    """
    start = "earliest" if from_start else "latest"
    inner = AIOKafkaConsumer(
        **kafka.options,
        group_id=group,
        group_instance_id=instance or None,
        enable_auto_commit=False,
        auto_offset_reset="none" if group else start,
        max_partition_fetch_bytes=FETCH_BYTES,
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=SESSION_MS // 4,
    )
    consumer = Consumer(inner, topic, group)
    async with started(kafka, inner.start, inner.stop):
        yield consumer
