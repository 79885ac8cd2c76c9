"""The receiver as a process, over a real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from services.receiver.parse.normalise_webhook import normalise
from shared.bus.producer import Topics
from shared.bus.reader import read_all
from shared.contract.dead_letters import load_dead_letter
from shared.contract.events import load_event
from shared.runtime.clock import utc_now
from shared.runtime.crypto import webhook_signature
from tests.conftest import Stack, Start
from tests.support.processes import Leadstream
from tests.support.sending import operations_of
from tests.support.servers import free_port

PAYLOADS = Path(__file__).parent.parent / "unit" / "payloads" / "webhook"
BODIES = {path.name: path.read_bytes() for path in PAYLOADS.glob("*.json") if path.name != "expected.json"}


class Receiver:
    def __init__(self, process: Leadstream, session: ClientSession) -> None:
        self.process = process
        self.session = session
        listening = json.loads(process.wait_for("receiver_listening"))
        self.url = f"http://127.0.0.1:{listening['port']}"

    async def post(self, body: bytes, secret: str = "app-secret") -> int:
        headers = {"X-Hub-Signature-256": webhook_signature(secret, body)}
        async with self.session.post(f"{self.url}/webhook", data=body, headers=headers) as answer:
            return answer.status

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(self.url + path) as answer:
            return answer.status, await answer.text()

    async def operations_status(self, path: str) -> int:
        async with self.session.get(operations_of(self.process) + path) as answer:
            return answer.status


def operations() -> dict[str, str]:
    return {"LEADSTREAM_METRICS_PORT": str(free_port())}


def message(number: int, text: str = "hi") -> dict[str, object]:
    return {"sender": {"id": "8"}, "recipient": {"id": "1"}, "message": {"mid": f"m_{number}", "text": text}}


def webhook(*items: dict[str, object]) -> bytes:
    return json.dumps({"object": "page", "entry": [{"id": "1", "messaging": items}]}).encode()


async def with_admin(stack: Stack, work: Callable[[AIOKafkaAdminClient], Awaitable[object]]) -> None:
    admin = AIOKafkaAdminClient(**stack.kafka.options)
    await admin.start()
    try:
        await work(admin)
    finally:
        await admin.close()


async def create_topics(stack: Stack, *topics: NewTopic) -> None:
    """Create topics other than `setup` does."""
    if stack.servers.kind == "embedded":
        pytest.skip("the embedded mock broker makes topics by itself")
    await with_admin(stack, lambda admin: admin.create_topics(list(topics)))


@pytest.fixture
async def receiver(leadstream: Start) -> AsyncIterator[Receiver]:
    async with ClientSession() as session:
        yield Receiver(leadstream("receiver", LEADSTREAM_RECEIVER_PORT="0", **operations()), session)


async def test_every_known_body_is_answered_200_and_is_on_a_topic(receiver: Receiver, stack: Stack) -> None:
    assert [await receiver.post(body) for body in BODIES.values()] == [200] * len(BODIES)
    batches = [normalise(body, utc_now()) for body in BODIES.values()]
    events = [load_event(record.value) for record in await read_all(stack.kafka, stack.topics.message_events)]
    dead_letters = [load_dead_letter(record.value) for record in await read_all(stack.kafka, stack.topics.dead_letters)]
    assert sorted(e.event_id for e in events) == sorted(e.event_id for batch in batches for e in batch.events)
    assert sorted(x.letter_id for x in dead_letters) == sorted(
        x.letter_id for batch in batches for x in batch.dead_letters
    )


async def test_a_conversations_events_are_in_order_under_its_key(receiver: Receiver, stack: Stack) -> None:
    for first in range(0, 50, 10):
        assert await receiver.post(webhook(*(message(number) for number in range(first, first + 10)))) == 200
    records = await read_all(stack.kafka, stack.topics.message_events)
    assert {record.key for record in records} == {b"messenger:1:8"}
    assert [load_event(r.value).event_id for r in records] == [f"message:messenger:1:{number}" for number in range(50)]


async def test_webhooks_answered_200_survive_a_kill(receiver: Receiver, stack: Stack) -> None:
    async def post(number: int) -> int | None:
        item = {"sender": {"id": "8"}, "recipient": {"id": "1"}, "message": {"mid": f"m_{number}", "text": "hi"}}
        body = json.dumps({"object": "page", "entry": [{"id": "1", "messaging": [item]}]}).encode()
        try:
            status = await receiver.post(body)
        except ClientError:
            return None
        if number == 60:
            receiver.process.kill()
        return number if status == 200 else None

    answered = {number for number in await asyncio.gather(*map(post, range(200))) if number is not None}
    published = {
        load_event(record.value).event_id for record in await read_all(stack.kafka, stack.topics.message_events)
    }
    assert {f"message:messenger:1:{number}" for number in answered} <= published
    assert 60 in answered


async def test_records_too_large_for_the_topic_block_no_others(leadstream: Start, stack: Stack) -> None:
    """What is too large is a dead letter, which is replayed once the topic takes it."""
    topics = Topics(f"small.{stack.topic_prefix}")
    small = NewTopic(topics.message_events, 1, 1, topic_configs={"max.message.bytes": "4000"})
    await create_topics(stack, small, NewTopic(topics.dead_letters, 1, 1))
    process = leadstream("receiver", LEADSTREAM_RECEIVER_PORT="0", LEADSTREAM_TOPIC_PREFIX=topics.prefix)
    async with ClientSession() as session:
        receiver = Receiver(process, session)
        for number, text in enumerate(["first", "x" * 10_000, "second"]):
            assert await receiver.post(webhook(message(number, text))) == 200
    process.wait_for("record_set_aside")
    process.wait_for("spool_drained")

    async def event_ids() -> set[str]:
        return {load_event(record.value).event_id for record in await read_all(stack.kafka, topics.message_events)}

    assert await event_ids() == {"message:messenger:1:0", "message:messenger:1:2"}
    prefix = {"LEADSTREAM_TOPIC_PREFIX": topics.prefix}
    failing = leadstream("dlq", "replay", "--reason", "too_large", env=prefix)
    assert failing.wait() == 1
    assert "failed again: too_large" in failing.output
    await with_admin(
        stack,
        lambda admin: admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topics.message_events, {"max.message.bytes": "40000"})]
        ),
    )
    assert leadstream("dlq", "replay", "--reason", "too_large", env=prefix).wait() == 0
    assert await event_ids() == {f"message:messenger:1:{number}" for number in range(3)}


async def test_dead_letters_that_cannot_be_published_hold_up_no_events(leadstream: Start, stack: Stack) -> None:
    topics = Topics(f"letterless.{stack.topic_prefix}")
    await create_topics(stack, NewTopic(topics.message_events, 1, 1))
    limits = {"LEADSTREAM_SPOOL_MAX_BYTES": "100000", "LEADSTREAM_PUBLISH_TIMEOUT_SECONDS": "0.5"}
    process = leadstream(
        "receiver",
        env={"LEADSTREAM_RECEIVER_PORT": "0", "LEADSTREAM_TOPIC_PREFIX": topics.prefix, **limits, **operations()},
    )
    odd: dict[str, object] = {"message": {"text": "x" * 4_000}}
    async with ClientSession() as session:
        receiver = Receiver(process, session)
        process.wait_for("receiver_connected")
        bodies = [webhook(odd if number % 2 else message(number, "hi")) for number in range(40)]
        statuses = await asyncio.gather(*map(receiver.post, bodies))
        assert statuses[::2] == [200] * 20
        assert 503 in statuses[1::2], "the letters' share of the spool is full"
        assert await receiver.operations_status("/ready") == 200
    assert len(await read_all(stack.kafka, topics.message_events)) == 20


async def test_an_unsigned_webhook_is_forbidden(receiver: Receiver, stack: Stack) -> None:
    assert await receiver.post(BODIES["real_fb_emoji_surrogates.json"], "guess") == 403
    assert await read_all(stack.kafka, stack.topics.message_events) == []


async def test_probes_respond_and_sigterm_stops_the_receiver(receiver: Receiver) -> None:
    query = "hub.mode=subscribe&hub.verify_token=verify-token&hub.challenge=1158201444"
    assert await receiver.get(f"/webhook?{query}") == (200, "1158201444")
    assert (await receiver.get("/live"))[0] == 200
    paths = ("/live", "/ready", "/version", "/metrics")
    assert [await receiver.operations_status(path) for path in paths] == [200] * 4
    assert [(await receiver.get(path))[0] for path in paths[1:]] == [404] * 3, "they are not for the public"
    assert receiver.process.terminate() == 0


def test_the_receiver_does_not_start_without_a_topic(leadstream: Start) -> None:
    process = leadstream("receiver", LEADSTREAM_TOPIC_PREFIX="nowhere.")
    assert process.wait() == 3
    assert "run `leadstream setup`" in process.output


def test_a_receiver_without_secrets_is_a_usage_error(leadstream: Start) -> None:
    assert leadstream("receiver", LEADSTREAM_APP_SECRETS="").wait() == 2
