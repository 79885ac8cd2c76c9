"""The offsets and members of a consumer group, read from the broker."""

from __future__ import annotations

from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from shared.bus.connection import KafkaConnection
from shared.bus.producer import AIOKafkaConsumer, TopicPartition
from tests.support.waiting import eventually

Offsets = dict[TopicPartition, int]


async def committed(kafka: KafkaConnection, topic: str, group: str) -> Offsets:
    """Return the committed offsets of the partitions that have records."""
    partitions = list(await ends(kafka, topic))
    admin = AIOKafkaAdminClient(**kafka.options)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(group, partitions=partitions)
    except GroupCoordinatorNotAvailableError:  # no group was ever on this broker
        return {}
    finally:
        await admin.close()
    return {partition: each.offset for partition, each in found.items() if each.offset >= 0}


async def members(kafka: KafkaConnection, group: str) -> set[str]:
    """Return the members' ids. A member that was removed comes back with another id."""
    admin = AIOKafkaAdminClient(**kafka.options)
    await admin.start()
    try:
        answer: Any = (await admin.describe_consumer_groups([group]))[0]
    finally:
        await admin.close()
    ((_error, _group, _state, _type, _protocol, found, *_),) = answer.groups
    return {member[0] for member in found}


async def ends(kafka: KafkaConnection, topic: str) -> Offsets:
    """Return the next offset of each partition that has had records."""
    consumer = AIOKafkaConsumer(topic, **kafka.options)
    await consumer.start()
    try:
        numbers = consumer.partitions_for_topic(topic) or ()
        found: Offsets = await consumer.end_offsets([TopicPartition(topic, number) for number in numbers])
    finally:
        await consumer.stop()
    return {partition: end for partition, end in found.items() if end}


async def all_is_committed(kafka: KafkaConnection, topic: str, group: str) -> None:
    """Returns when the group need not read anything again that is on the topic now."""
    expected = await ends(kafka, topic)
    await eventually(lambda: committed(kafka, topic, group), lambda found: found == expected)
