"""What topics must be like."""

from __future__ import annotations

from typing import Any

import pytest

from shared.bus.producer import MAX_RECORD_BYTES
from shared.bus.topic_needs import DAY_MS, Difference, ExistingTopic, TopicNeed, differences, topic_needs
from shared.runtime.settings import KafkaSettings

SETTINGS = KafkaSettings(topic_prefix="p.", topic_partitions=4, topic_replication=3)
EVENTS, LETTERS, CONTACTS = topic_needs(SETTINGS)


def existing(need: TopicNeed, *, partitions: int = 4, replication: int = 3, **configs: Any) -> ExistingTopic:
    """Return the topic as it is created, with other values for some names (`_` for `.`)."""
    created = {each.name: each.value for each in need.configs_with(replication)}
    changed = {name.replace("_", "."): value for name, value in configs.items()}
    return ExistingTopic(partitions, replication, created | changed, {})


def found(need: TopicNeed, topic: ExistingTopic) -> list[Difference]:
    return list(differences(need, topic))


@pytest.mark.parametrize("need", [EVENTS, LETTERS, CONTACTS])
def test_a_topic_as_created_does_not_differ(need: TopicNeed) -> None:
    assert found(need, existing(need)) == []


@pytest.mark.parametrize(("replication", "value"), [(1, "1"), (2, "1"), (3, "2"), (5, "2")])
def test_from_three_replicas_on_two_must_have_a_record_that_is_acknowledged(replication: int, value: str) -> None:
    for need in (EVENTS, LETTERS, CONTACTS):
        assert {each.name: each.value for each in need.configs_with(replication)}["min.insync.replicas"] == value


@pytest.mark.parametrize(
    ("replication", "value", "repaired"),
    [(3, "1", "2"), (3, "2", None), (3, "3", None), (2, "1", None), (2, "2", None), (1, "2", "1"), (3, "4", "2")],
)
def test_in_sync_replicas_follow_the_replicas_there_are(replication: int, value: str, repaired: str | None) -> None:
    need = topic_needs(KafkaSettings(topic_replication=1, topic_partitions=4))[0]
    differing = found(need, existing(need, replication=replication, min_insync_replicas=value))
    assert [each.repair and each.repair.value for each in differing] == ([repaired] if repaired else [])


@pytest.mark.parametrize(
    ("need", "name", "value", "repaired"),
    [
        (EVENTS, "max_message_bytes", "1048588", str(MAX_RECORD_BYTES)),
        (EVENTS, "cleanup_policy", "compact", "delete"),
        (EVENTS, "retention_ms", "3600000", str(7 * DAY_MS)),
        (LETTERS, "retention_ms", str(7 * DAY_MS), "-1"),
        (LETTERS, "retention_bytes", "1000000", "-1"),
        (LETTERS, "max_message_bytes", str(MAX_RECORD_BYTES), str(6 * MAX_RECORD_BYTES + 65536)),
        (CONTACTS, "cleanup_policy", "delete", "compact"),
        (CONTACTS, "cleanup_policy", "compact,delete", "compact"),
    ],
)
def test_a_value_that_loses_records_is_repaired(need: TopicNeed, name: str, value: str, repaired: str) -> None:
    values: dict[str, Any] = {name: value}
    (difference,) = found(need, existing(need, **values))
    assert difference.repair
    assert difference.repair.value == repaired
    assert difference.text == f"topic {need.name} has {name.replace('_', '.')}={value}, needed is {repaired}"


@pytest.mark.parametrize(
    "topic",
    [
        existing(EVENTS, max_message_bytes=str(2 * MAX_RECORD_BYTES)),
        existing(EVENTS, retention_ms="-1"),
        existing(EVENTS, retention_ms=str(DAY_MS)),
        existing(EVENTS, partitions=8),
        existing(EVENTS, replication=5),
    ],
)
def test_more_than_needed_is_no_difference(topic: ExistingTopic) -> None:
    assert found(EVENTS, topic) == []


def test_too_few_partitions_and_replicas_are_reported_and_not_repaired() -> None:
    partitions, replicas = found(EVENTS, existing(EVENTS, partitions=2, replication=1))
    assert partitions.text.startswith("topic p.message-events has 2 partitions, LEADSTREAM_TOPIC_PARTITIONS is 4")
    assert replicas.text.startswith("topic p.message-events has 1 replicas, LEADSTREAM_TOPIC_REPLICATION is 3")
    assert (partitions.repair, replicas.repair) == (None, None)


def test_a_configuration_that_cannot_be_read_is_not_judged() -> None:
    assert found(EVENTS, ExistingTopic(4, 3, {}, {})) == []
