"""Topics, producers and consumers. The only module that imports aiokafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NoError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder

from shared.drafts import Draft, draft_headers, dump_draft
from shared.events import Header
from shared.failures import UnreachableError
from shared.settings import KafkaSettings

__all__ = [
    "AIOKafkaConsumer",
    "AIOKafkaProducer",
    "CommitFailedError",
    "Consumer",
    "IllegalStateError",
    "KafkaError",
    "MessageSizeTooLargeError",
    "OffsetsGoneError",
    "Placed",
    "Polled",
    "Record",
    "TopicPartition",
    "Topics",
    "draft_record",
    "ensure_topics",
    "open_consumer",
    "open_producer",
    "partition_of",
    "publish",
    "read_all",
    "require_topics",
    "stream_all",
    "stream_since",
]

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""A record can hold a whole webhook body (4 MiB) with its escapes, parked."""
MAX_LETTER_BYTES = 6 * MAX_RECORD_BYTES + 64 * 1024
"""A dead letter holds any record whole: JSON has six bytes for a control character."""
BATCH_BYTES = 256 * 1024
"""Records of one partition go out in batches of at most this size; a larger record goes alone."""
FETCH_BYTES = 1024 * 1024
"""What a consumer has of each partition in its memory while it is busy; a larger record comes alone (KIP-74)."""
SESSION_MS = 6_000
"""How long a member of a group may be silent, or take to join again, before its partitions go to the others."""
TOPIC_SECONDS = 10.0
"""What finding a topic gets, at a start."""
RETRY_SECONDS = 0.5
"""After a send that aiokafka itself has given up, which it does after 40 s."""
STOP_SECONDS = 1.0
"""What a client gets to flush and to leave its group; one that waits for a broker that is away would never end."""


Polled: TypeAlias = dict[TopicPartition, list[Any]]
"""Records by partition, in their order."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of the topics, behind the prefix of the settings."""

    prefix: str = ""

    @property
    def message_events(self) -> str:
        return f"{self.prefix}message-events"

    @property
    def contact_updated(self) -> str:
        return f"{self.prefix}contact-updated"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}message-events.dlq"


class Record(NamedTuple):
    """An empty `value` is published as null: a tombstone, which says that nothing is left of the key."""

    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


class Placed(NamedTuple):
    """Where a record is on its topic, and since when."""

    partition: int
    offset: int
    at: datetime
    record: Record


def draft_record(topic: str, draft: Draft, *headers: Header) -> Record:
    return Record(topic, draft.conversation.encode(), dump_draft(draft), draft_headers(draft, *headers))


@asynccontextmanager
async def open_producer(bootstrap_servers: str) -> AsyncIterator[AIOKafkaProducer]:
    """All acks. UnreachableError when no broker answers. Not idempotent: ADR 9."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        acks="all",
        max_batch_size=BATCH_BYTES,
    )
    try:
        await producer.start()
    except KafkaConnectionError as error:
        await _bounded(producer.stop())
        raise UnreachableError(f"no Kafka broker answers at {bootstrap_servers}") from error
    try:
        yield producer
    finally:
        await _bounded(producer.stop())


async def _bounded(stop: Coroutine[Any, Any, None]) -> None:
    """What is given up here was acknowledged to nobody. A task of its own: a consumer that waits for its broker ends
    by raising its own tasks' CancelledError (aiokafka 0.14)."""
    stopping = asyncio.create_task(stop)
    await asyncio.wait({stopping}, timeout=STOP_SECONDS)
    if not stopping.done():
        stopping.cancel()
    elif not stopping.cancelled():
        stopping.result()


async def publish(producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
    """Returns when every record is acknowledged by all in-sync replicas; KafkaError when one can never be.

    Has no time limit of its own: what can be tried again is, until the broker is back. Callers bound it. A record may
    be on its topic twice then: readers know an event by its id, and a contact by its version.
    """
    while True:
        try:
            return await _publish_once(producer, records)
        except KafkaError as error:
            if not (error.retriable or isinstance(error, KafkaTimeoutError)):
                raise
        await asyncio.sleep(RETRY_SECONDS)


async def _publish_once(producer: AIOKafkaProducer, records: Sequence[Record]) -> None:
    """One batch a partition, in the order of `records`: a future for each record would cost more than the record."""
    by_partition: dict[tuple[str, int], list[Record]] = {}
    counts: dict[str, int] = {}
    for topic in {record.topic for record in records}:
        counts[topic] = len(await producer.partitions_for(topic))
    for record in records:
        count = counts[record.topic]
        place = (record.topic, partition_of(record.key, count) if count > 1 else 0)
        if place in by_partition:
            by_partition[place].append(record)
        else:
            by_partition[place] = [record]
    acknowledged = [
        await producer.send_batch(batch, topic, partition=partition)
        for (topic, partition), of_partition in by_partition.items()
        for batch in _batches(producer, of_partition)
    ]
    await asyncio.gather(*acknowledged)


def _batches(producer: AIOKafkaProducer, records: list[Record]) -> Iterator[BatchBuilder]:
    batch = producer.create_batch()
    for record in records:
        while batch.append(timestamp=None, key=record.key, value=record.value or None, headers=record.headers) is None:
            yield batch
            batch = producer.create_batch()
    batch.close()
    yield batch


async def require_topics(producer: AIOKafkaProducer, *topics: str) -> None:
    """UnreachableError when one cannot be found in time: what is published to it would wait for it for ever."""
    for topic in topics:
        try:
            async with asyncio.timeout(TOPIC_SECONDS):
                await producer.partitions_for(topic)
        except (TimeoutError, KafkaError) as error:
            raise UnreachableError(f"no topic {topic} can be found; run `leadstream setup`") from error


@lru_cache(65_536)
def partition_of(key: bytes | None, partitions: int) -> int:
    """The partition that Kafka's own clients choose, so that every producer puts a conversation in the same place."""
    positive: int = murmur2(key or b"") & 0x7FFFFFFF
    return positive % partitions


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

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        """CommitFailedError or IllegalStateError when the group has gone on without this member."""
        await self._consumer.commit(offsets)

    async def keep_still(self) -> None:
        """To be called now and then while nothing more can be taken: nothing is fetched, and the group keeps a member
        that otherwise, without a poll for five minutes, it would take to be stuck."""
        self._consumer.pause(*self._consumer.assignment())
        for partition, records in (await self.getmany(timeout_ms=0)).items():  # just assigned, hence not paused yet
            self._consumer.seek(partition, records[0].offset)

    def go_on(self) -> None:
        """After `keep_still`."""
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
    async with _started(inner, bootstrap_servers):
        yield consumer


@asynccontextmanager
async def _started(consumer: AIOKafkaConsumer, bootstrap_servers: str) -> AsyncIterator[None]:
    try:
        await consumer.start()
    except KafkaConnectionError as error:
        await _bounded(consumer.stop())
        raise UnreachableError(f"no Kafka broker answers at {bootstrap_servers}") from error
    except UnknownTopicOrPartitionError as error:
        await _bounded(consumer.stop())
        raise UnreachableError("the topic cannot be found; run `leadstream setup`") from error
    try:
        yield
    finally:
        await _bounded(consumer.stop())


async def read_all(bootstrap_servers: str, topic: str) -> list[Record]:
    """Every record that is on `topic` when this is called. Tombstones have an empty value."""
    return [record async for record in stream_all(bootstrap_servers, topic)]


async def stream_all(bootstrap_servers: str, topic: str) -> AsyncIterator[Record]:
    """As `read_all`, without ever having all of them."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_RECORD_BYTES,
    )
    async with _started(consumer, bootstrap_servers):
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                for each in batch:
                    yield Record(topic, each.key, each.value or b"", list(each.headers))


async def stream_since(
    bootstrap_servers: str, topic: str, since: datetime, key: bytes | None = None
) -> AsyncIterator[Placed]:
    """What has come onto `topic` from `since` on and is there when this is called; with `key`, only what has it.

    Then only the partition of that key is read.
    """
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_RECORD_BYTES,
    )
    async with _started(consumer, bootstrap_servers):
        every = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        wanted = every if key is None else [TopicPartition(topic, partition_of(key, len(every)))] if every else []
        consumer.pause(*(partition for partition in every if partition not in wanted))
        from_then = await consumer.offsets_for_times(dict.fromkeys(wanted, int(since.timestamp() * 1000)))
        starts = {partition: found.offset for partition, found in from_then.items() if found}
        for partition, offset in starts.items():
            consumer.seek(partition, offset)
        consumer.pause(*(partition for partition in wanted if partition not in starts))
        ends = await consumer.end_offsets(list(starts))
        while any([await consumer.position(partition) < ends[partition] for partition in starts]):
            for partition, batch in (await consumer.getmany(timeout_ms=200)).items():
                for each in batch:
                    if partition in starts and key in (None, each.key):
                        at = datetime.fromtimestamp(each.timestamp / 1000, UTC)
                        record = Record(topic, each.key, each.value or b"", list(each.headers))
                        yield Placed(partition.partition, each.offset, at, record)


async def ensure_topics(settings: KafkaSettings) -> list[str]:
    """Creates what is missing and returns its names. KafkaError when the broker refuses.

    librdkafka's mock cluster cannot create topics and makes them when they are first used: nothing is done then.
    """
    topics = Topics(settings.topic_prefix)
    large = {"max.message.bytes": str(MAX_RECORD_BYTES)}
    copies = settings.topic_replication
    wanted = [
        NewTopic(
            topics.message_events,
            settings.topic_partitions,
            copies,
            topic_configs=large,
        ),
        NewTopic(
            topics.dead_letters,
            1,
            copies,
            topic_configs={"max.message.bytes": str(MAX_LETTER_BYTES), "retention.ms": "-1"},
        ),
        NewTopic(
            topics.contact_updated, settings.topic_partitions, copies, topic_configs={"cleanup.policy": "compact"}
        ),
    ]
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    try:
        await admin.start()
        if (await admin.describe_cluster())["cluster_id"].startswith("mockCluster"):
            return []
        present = set(await admin.list_topics())
        missing = [topic for topic in wanted if topic.name not in present]
        if missing:
            _require_created(await admin.create_topics(missing))
        return [topic.name for topic in missing]
    except KafkaConnectionError as error:
        raise UnreachableError(f"no Kafka broker answers at {settings.kafka_bootstrap_servers}") from error
    finally:
        await admin.close()


def _require_created(response: Any) -> None:
    for name, code, message in response.topic_errors:
        error = for_code(code)
        if error not in {NoError, TopicAlreadyExistsError}:
            raise error(f"topic {name}: {message}")
