"""The servers that all tests with real servers use."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.demo.servers import embedded_servers
from shared.bus.connection import KafkaConnection
from shared.bus.producer import Topics
from shared.bus.reader import read_all
from shared.bus.topics import ensure_topics
from shared.contract.events import load_event
from shared.runtime.settings import KafkaSettings
from shared.store.mongo import Database, open_database, server_time
from tests.conftest import Stack, Start
from tests.support.servers import SCRIPT, Servers, docker_servers
from tests.support.topics import publish_events
from tests.unit.shared.contract.test_contracts import EVENTS

SENT = [load_event(line) for line in EVENTS]


async def values(kafka: KafkaConnection, topic: str) -> list[bytes]:
    return sorted(record.value for record in await read_all(kafka, topic))


async def test_events_are_read_from_the_topic_as_sent(stack: Stack) -> None:
    await publish_events(stack.kafka, stack.topics.message_events, SENT)
    records = await read_all(stack.kafka, stack.topics.message_events)
    assert sorted(record.value for record in records) == sorted(EVENTS)
    assert {record.key for record in records} == {str(SENT[0].conversation).encode()}


def test_setup_changes_nothing_when_repeated(leadstream: Start) -> None:
    process = leadstream("setup")
    assert process.wait() == 0
    assert "none, all were there" in process.output


async def test_documents_are_read_from_the_database(database: Database) -> None:
    token = secrets.token_hex(4)
    await database.kept.insert_one({"_id": token})
    assert await database.kept.find_one({"_id": token}) == {"_id": token}
    assert (await server_time(database)).tzinfo is not None


async def test_the_broker_restarts_with_its_records(stack: Stack) -> None:
    await publish_events(stack.kafka, stack.topics.message_events, SENT)
    stack.servers.restart_kafka()
    assert await values(stack.kafka, stack.topics.message_events) == sorted(EVENTS)
    await publish_events(stack.kafka, stack.topics.message_events, SENT)
    assert len(await values(stack.kafka, stack.topics.message_events)) == 2 * len(EVENTS)


async def test_killed_local_servers_restart_with_their_data(stack: Stack) -> None:
    folder = stack.servers.folder
    if folder is None:
        pytest.skip("these are not the servers of deploy/local")
    await publish_events(stack.kafka, stack.topics.message_events, SENT)
    async with open_database(stack.mongo_url) as database:
        await database.kept.insert_one({"_id": "before"})
    for name in ("kafka", "mongo"):
        os.kill(int((folder / f"{name}.pid").read_text().split()[0]), signal.SIGKILL)
    assert script("status", folder) == 1
    assert [script("up", folder), script("up", folder), script("status", folder)] == [0, 0, 0]
    assert await values(stack.kafka, stack.topics.message_events) == sorted(EVENTS)
    async with open_database(stack.mongo_url) as database:
        assert await database.kept.find_one({"_id": "before"}) is not None


def test_local_servers_are_down_before_their_first_start(tmp_path: Path) -> None:
    assert [script("status", tmp_path), script("down", tmp_path), script("up", tmp_path, "--only", "none")] == [1, 0, 2]


def script(verb: str, folder: Path, *options: str) -> int:
    return subprocess.run([sys.executable, SCRIPT, verb, "--dir", folder, *options], check=False).returncode


async def test_embedded_servers_serve_and_end(tmp_path: Path) -> None:
    async with embedded_servers(tmp_path) as (address, mongo_url):
        kafka = KafkaConnection(address)
        await ensure_topics(KafkaSettings(kafka_bootstrap_servers=address))
        await publish_events(kafka, "message-events", SENT)
        assert await values(kafka, "message-events") == sorted(EVENTS)
        async with open_database(mongo_url) as database:
            await database.kept.insert_one({"_id": "here"})
    for gone in (urlsplit(f"//{address}").port, urlsplit(mongo_url).port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", gone)) != 0


def test_the_embedded_broker_ends_with_the_process_that_started_it() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "services.demo.broker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert b"bootstrap_servers" in child.stdout.readline()
        child.stdin.close()
        assert child.wait(timeout=30) == 0


@pytest.mark.docker
async def test_servers_in_containers_work_like_local_ones(tmp_path: Path) -> None:
    with docker_servers(tmp_path) as servers:
        await serves(servers)
        servers.restart_kafka()
        await serves(servers)


async def serves(servers: Servers) -> None:
    name = f"t{secrets.token_hex(4)}"
    topic = Topics(name).message_events
    await ensure_topics(KafkaSettings(kafka_bootstrap_servers=servers.kafka, topic_prefix=name))
    kafka = KafkaConnection(servers.kafka)
    await publish_events(kafka, topic, SENT)
    assert await values(kafka, topic) == sorted(EVENTS)
    async with open_database(servers.mongo_url(name)) as database:
        await database.kept.insert_one({"_id": name})
