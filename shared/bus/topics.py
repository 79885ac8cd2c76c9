"""Creating the topics, and comparing those that exist with what is needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NoError, TopicAlreadyExistsError, for_code

from shared.bus.connection import kafka_connection, started
from shared.bus.topic_needs import ExistingTopic, TopicNeed, differences, topic_needs
from shared.runtime.settings import KafkaSettings

DYNAMIC_TOPIC_CONFIG = 1
"""The source of a value that was set for the topic itself (KIP-226)."""


@dataclass(slots=True)
class TopicReport:
    """`made` are names; the others are sentences: what was repaired, what only a person can mend, what is missing."""

    made: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


async def ensure_topics(settings: KafkaSettings) -> TopicReport:
    """Create the missing topics and repair the configuration of the others. The report has the broker's refusals.

    librdkafka's mock cluster creates a topic when it is asked for it, and has no configuration.
    """
    needs, report = topic_needs(settings), TopicReport()
    async with _admin(settings) as admin:
        if await _is_mock(admin):
            await admin.describe_topics([need.name for need in needs])
            return report
        existing = await _describe(admin, needs, report)
        await _create(admin, [need for need in needs if need.name not in existing], report)
        for need in needs:
            if need.name in existing:
                await _repair(admin, need, existing[need.name], report)
    return report


async def check_topics(settings: KafkaSettings) -> TopicReport:
    """Report what is missing or not as needed, and change nothing."""
    needs, report = topic_needs(settings), TopicReport()
    async with _admin(settings) as admin:
        if await _is_mock(admin):
            return report
        existing = await _describe(admin, needs, report)
    for need in needs:
        if need.name in existing:
            report.remaining += [each.text for each in differences(need, existing[need.name])]
        else:
            report.missing.append(f"topic {need.name} does not exist")
    return report


@asynccontextmanager
async def _admin(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    kafka = kafka_connection(settings)
    admin = AIOKafkaAdminClient(**kafka.options)
    async with started(kafka, admin.start, admin.close):
        yield admin


async def _is_mock(admin: AIOKafkaAdminClient) -> bool:
    return str((await admin.describe_cluster())["cluster_id"]).startswith("mockCluster")


async def _describe(
    admin: AIOKafkaAdminClient, needs: Iterable[TopicNeed], report: TopicReport
) -> dict[str, ExistingTopic]:
    """Return the topics that exist. It asks for all topics: asking for one by name can create it."""
    names = {need.name for need in needs}
    topics = {each["topic"]: each["partitions"] for each in await admin.describe_topics() if each["topic"] in names}
    existing = {}
    for name, partitions in topics.items():
        configs, own_configs = await _configs(admin, name, report)
        replication = min((len(each["replicas"]) for each in partitions), default=0)
        existing[name] = ExistingTopic(len(partitions), replication, configs, own_configs)
    return existing


async def _configs(admin: AIOKafkaAdminClient, name: str, report: TopicReport) -> tuple[dict[str, str], dict[str, str]]:
    """Return the values in effect, and those that were set for the topic itself; neither when they cannot be read."""
    response: Any
    (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    ((code, message, _, _, entries),) = response.resources
    if code:
        report.remaining.append(f"the configuration of topic {name} cannot be read: {_refusal(code, message)}")
        return {}, {}
    own = {entry[0]: entry[1] for entry in entries if entry[3] == DYNAMIC_TOPIC_CONFIG}
    return {entry[0]: entry[1] for entry in entries}, own


async def _create(admin: AIOKafkaAdminClient, needs: Sequence[TopicNeed], report: TopicReport) -> None:
    if not needs:
        return
    topics = [
        NewTopic(
            need.name,
            need.partitions,
            need.replication,
            topic_configs={each.name: each.value for each in need.configs_with(need.replication)},
        )
        for need in needs
    ]
    response: Any = await admin.create_topics(topics)
    for name, code, message in response.topic_errors:
        if for_code(code) in {NoError, TopicAlreadyExistsError}:
            report.made.append(name)
        else:
            report.missing.append(f"topic {name} cannot be created: {_refusal(code, message)}")


async def _repair(admin: AIOKafkaAdminClient, need: TopicNeed, topic: ExistingTopic, report: TopicReport) -> None:
    """Set all wrong values in one request. It replaces the topic's own values, so it contains the others too."""
    found = list(differences(need, topic))
    repairs = {each.repair.name: each.repair.value for each in found if each.repair}
    report.remaining += [each.text for each in found if not each.repair]
    if not repairs:
        return
    resource = ConfigResource(ConfigResourceType.TOPIC, need.name, {**topic.own_configs, **repairs})
    response: Any
    (response,) = await admin.alter_configs([resource])
    ((code, message, _, _),) = response.resources
    texts = [each.text for each in found if each.repair]
    if code:
        report.remaining += [f"{text}; it cannot be changed: {_refusal(code, message)}" for text in texts]
    else:
        report.repaired += texts


def _refusal(code: int, message: str | None) -> str:
    return message or for_code(code).__name__
