"""What the topics must be like, and how one that exists differs from that. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.bus.producer import MAX_RECORD_BYTES, Topics
from shared.runtime.settings import KafkaSettings

MAX_DEAD_LETTER_BYTES = 6 * MAX_RECORD_BYTES + 64 * 1024
"""A dead letter holds any record whole: a control character takes six bytes in JSON."""
DAY_MS = 24 * 60 * 60 * 1000
UNLIMITED = -1
REPLICATED = 3
"""Replicas with which an acknowledged record is on two brokers and one broker may be away."""


@dataclass(frozen=True, slots=True)
class ConfigNeed:
    """A topic's configuration `name` gets `value`. Without `least` any other value is wrong; -1 is never too little."""

    name: str
    value: str
    least: int | None = None
    most: int | None = None

    def is_met_by(self, found: str) -> bool:
        if self.least is None:
            return found == self.value
        return int(found) == UNLIMITED or self.least <= int(found) <= (self.most or int(found))


@dataclass(frozen=True, slots=True)
class TopicNeed:
    """`configs` does not include `min.insync.replicas`, which depends on the replicas of the topic that exists."""

    name: str
    partitions: int
    replication: int
    configs: tuple[ConfigNeed, ...]

    def configs_with(self, replication: int) -> tuple[ConfigNeed, ...]:
        return *self.configs, insync_need(replication)


@dataclass(frozen=True, slots=True)
class ExistingTopic:
    """`configs` are all values in effect, `own_configs` those of them that were set for the topic itself.

    `replication` is that of the partition with the fewest replicas.
    """

    partitions: int
    replication: int
    configs: Mapping[str, str]
    own_configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """`repair` is the configuration that removes it; None if only a person can."""

    text: str
    repair: ConfigNeed | None = None


def insync_need(replication: int) -> ConfigNeed:
    """More in-sync replicas than there are replicas would refuse every record."""
    least = 2 if replication >= REPLICATED else 1
    return ConfigNeed("min.insync.replicas", str(least), least, replication)


def topic_needs(settings: KafkaSettings) -> list[TopicNeed]:
    names, partitions, replication = (
        Topics(settings.topic_prefix),
        settings.topic_partitions,
        settings.topic_replication,
    )
    events = (
        _at_least("max.message.bytes", MAX_RECORD_BYTES),
        ConfigNeed("retention.ms", str(7 * DAY_MS), DAY_MS),
        ConfigNeed("cleanup.policy", "delete"),
    )
    dead_letters = (
        _at_least("max.message.bytes", MAX_DEAD_LETTER_BYTES),
        ConfigNeed("retention.ms", str(UNLIMITED)),
        ConfigNeed("retention.bytes", str(UNLIMITED)),
        ConfigNeed("cleanup.policy", "delete"),
    )
    return [
        TopicNeed(names.message_events, partitions, replication, events),
        TopicNeed(names.dead_letters, 1, replication, dead_letters),
        TopicNeed(names.contact_updated, partitions, replication, (ConfigNeed("cleanup.policy", "compact"),)),
    ]


def _at_least(name: str, value: int) -> ConfigNeed:
    return ConfigNeed(name, str(value), value)


def differences(need: TopicNeed, found: ExistingTopic) -> Iterator[Difference]:
    """Yield what is to be changed. More partitions or replicas than needed are none."""
    if found.partitions < need.partitions:
        yield Difference(
            f"topic {need.name} has {found.partitions} partitions, LEADSTREAM_TOPIC_PARTITIONS is {need.partitions}; "
            f"they are not added, because that would move conversations to other partitions"
        )
    if found.replication < need.replication:
        yield Difference(
            f"topic {need.name} has {found.replication} replicas, LEADSTREAM_TOPIC_REPLICATION is {need.replication}; "
            f"`kafka-reassign-partitions.sh` adds replicas"
        )
    for config in need.configs_with(found.replication):
        value = found.configs.get(config.name, "")
        if value and not config.is_met_by(value):
            yield Difference(f"topic {need.name} has {config.name}={value}, needed is {config.value}", config)
