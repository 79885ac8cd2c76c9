"""`leadstream setup` and `leadstream check` with topics that another program has made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.bus.producer import Topics
from shared.runtime.settings import ServerSettings
from shared.store.mongo import Database
from tests.conftest import Stack, Start
from tests.support.servers import Servers
from tests.support.waiting import eventually


@pytest.fixture
async def admin(stack: Stack) -> AsyncIterator[AIOKafkaAdminClient]:
    if stack.servers.kind == "embedded":
        pytest.skip("the embedded mock broker has no configuration of topics")
    client = AIOKafkaAdminClient(**stack.kafka.options)
    await client.start()
    yield client
    await client.close()


async def configuration(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    """Wait until the broker knows the topic and return all values."""

    async def read() -> dict[str, str]:
        response: Any
        (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        return {entry[0]: entry[1] for entry in response.resources[0][4]}

    return await eventually(read, bool)


def test_check_finds_nothing_after_setup(leadstream: Start) -> None:
    assert leadstream("setup").wait() == 0
    process = leadstream("check")
    assert process.wait() == 0
    assert process.lines() == ["topics, indexes and pipelines are as needed"]


async def test_setup_repairs_the_configuration_and_reports_the_rest(
    leadstream: Start, admin: AIOKafkaAdminClient, stack: Stack
) -> None:
    topics = Topics(f"hand.{stack.topic_prefix}")
    wrong = {"max.message.bytes": "1000", "cleanup.policy": "compact", "segment.ms": "123456"}
    await admin.create_topics(
        [
            NewTopic(topics.message_events, 1, 1, topic_configs=wrong),
            NewTopic(topics.dead_letters, 1, 1, topic_configs={"min.insync.replicas": "2"}),
            NewTopic(topics.contact_updated, 2, 1),
        ]
    )
    before = await configuration(admin, topics.message_events)
    bytes_before = (await configuration(admin, topics.dead_letters))["max.message.bytes"]
    await configuration(admin, topics.contact_updated)
    check = leadstream("check", LEADSTREAM_TOPIC_PREFIX=topics.prefix)
    assert check.wait() == 1
    wrong_lines = {
        f"topic {topics.message_events} has max.message.bytes=1000, needed is 8388608",
        f"topic {topics.message_events} has cleanup.policy=compact, needed is delete",
        f"topic {topics.dead_letters} has max.message.bytes={bytes_before}, needed is 50397184",
        f"topic {topics.dead_letters} has retention.ms=604800000, needed is -1",
        f"topic {topics.dead_letters} has min.insync.replicas=2, needed is 1",
        f"topic {topics.contact_updated} has cleanup.policy=delete, needed is compact",
    }
    partitions = (
        f"not as needed: topic {topics.message_events} has 1 partitions, LEADSTREAM_TOPIC_PARTITIONS is 2; they are "
        f"not added, because that would move conversations to other partitions"
    )
    assert set(check.lines()) == {partitions} | {f"not as needed: {line}" for line in wrong_lines}
    assert await configuration(admin, topics.message_events) == before, "check changes nothing"

    setup = leadstream("setup", LEADSTREAM_TOPIC_PREFIX=topics.prefix)
    assert setup.wait() == 0
    assert set(setup.lines()[1:]) == {partitions} | {f"repaired: {line}" for line in wrong_lines}
    after = await configuration(admin, topics.message_events)
    assert after == before | {"max.message.bytes": "8388608", "cleanup.policy": "delete"}, "its other values stay"
    assert (await configuration(admin, topics.contact_updated))["cleanup.policy"] == "compact"

    again = leadstream("check", LEADSTREAM_TOPIC_PREFIX=topics.prefix)
    assert again.wait() == 1
    assert again.lines() == [partitions]


async def test_more_replicas_than_brokers_are_reported(
    leadstream: Start, admin: AIOKafkaAdminClient, stack: Stack
) -> None:
    own = {"LEADSTREAM_TOPIC_PREFIX": f"more.{stack.topic_prefix}", "LEADSTREAM_TOPIC_REPLICATION": "99"}
    setup = leadstream("setup", **own)
    assert setup.wait() == 1
    refused = [line for line in setup.lines() if "cannot be created" in line]
    assert len(refused) == 3
    assert all("replication" in line.lower() for line in refused)
    existing = leadstream("check", LEADSTREAM_TOPIC_REPLICATION="99")
    assert existing.wait() == 1
    assert len([line for line in existing.lines() if "has 1 replicas, LEADSTREAM_TOPIC_REPLICATION is 99" in line]) == 3


async def test_check_reports_what_does_not_exist(
    leadstream: Start, setup_settings: ServerSettings, database: Database, servers: Servers
) -> None:
    await database.messages.drop_indexes()
    await database.pipelines.delete_one({"_id": "Sales"})
    check = leadstream("check", LEADSTREAM_TOPIC_PREFIX=f"none.{setup_settings.topic_prefix}")
    assert check.wait() == 1
    assert "not as needed: index messages.conversation_1_sent_at_1__id_1 does not exist" in check.lines()
    assert "not as needed: pipeline Sales does not exist" in check.lines()
    topic = f"none.{setup_settings.topic_prefix}message-events"
    assert servers.kind == "embedded" or f"not as needed: topic {topic} does not exist" in check.lines()
