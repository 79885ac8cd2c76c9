"""Creating the topics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import NoError, TopicAlreadyExistsError, for_code

from shared.bus.connection import kafka_connection, started
from shared.bus.producer import MAX_RECORD_BYTES, Topics
from shared.runtime.settings import KafkaSettings

MAX_DEAD_LETTER_BYTES = 6 * MAX_RECORD_BYTES + 64 * 1024
"""A dead letter holds any record whole: a control character takes six bytes in JSON."""


async def ensure_topics(settings: KafkaSettings) -> list[str]:
    """Create the missing topics and return their names. KafkaError when the broker refuses.

    librdkafka's mock cluster cannot create topics; it adds them at their first use, so nothing is done there.
    """
    kafka = kafka_connection(settings)
    admin = AIOKafkaAdminClient(**kafka.options)
    async with started(kafka, admin.start, admin.close):
        if (await admin.describe_cluster())["cluster_id"].startswith("mockCluster"):
            return []
        return await _create_missing(admin, _topics(settings))


def _topics(settings: KafkaSettings) -> list[NewTopic]:
    names, partitions = Topics(settings.topic_prefix), settings.topic_partitions
    configs: list[tuple[str, int, dict[str, str]]] = [
        (names.message_events, partitions, {"max.message.bytes": str(MAX_RECORD_BYTES)}),
        (names.dead_letters, 1, {"max.message.bytes": str(MAX_DEAD_LETTER_BYTES), "retention.ms": "-1"}),
        (names.contact_updated, partitions, {"cleanup.policy": "compact"}),
    ]
    return [NewTopic(name, count, settings.topic_replication, topic_configs=each) for name, count, each in configs]


async def _create_missing(admin: AIOKafkaAdminClient, topics: Sequence[NewTopic]) -> list[str]:
    present = set(await admin.list_topics())
    missing = [topic for topic in topics if topic.name not in present]
    response: Any = await admin.create_topics(missing) if missing else None
    for name, code, message in response.topic_errors if response else ():
        error = for_code(code)
        if error not in {NoError, TopicAlreadyExistsError}:
            raise error(f"topic {name}: {message}")
    return [topic.name for topic in missing]
