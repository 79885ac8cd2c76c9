"""Making the topics."""

from __future__ import annotations

from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, NoError, TopicAlreadyExistsError, for_code

from shared.bus.producer import MAX_RECORD_BYTES, Topics
from shared.contract.failures import UnreachableError
from shared.runtime.settings import KafkaSettings

MAX_DEAD_LETTER_BYTES = 6 * MAX_RECORD_BYTES + 64 * 1024
"""A dead letter holds any record whole: JSON has six bytes for a control character."""


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
            topic_configs={"max.message.bytes": str(MAX_DEAD_LETTER_BYTES), "retention.ms": "-1"},
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
