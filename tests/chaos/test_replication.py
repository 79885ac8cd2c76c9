"""Three brokers, of which two end."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError

from shared.bus.connection import KafkaConnection
from shared.bus.producer import Record, Topics, open_producer, publish
from shared.bus.reader import read_all
from shared.bus.topics import check_topics, ensure_topics
from shared.runtime.settings import KafkaSettings
from tests.support.servers import SHORT_LIVED_JAVA, choose_kind, free_port, run_script
from tests.support.waiting import eventually

REFUSED_SECONDS = 5.0
"""How long a record is offered to a broker that must not acknowledge it."""


class Cluster:
    """The local broker, which is the controller, and two more that join it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._joined: dict[int, subprocess.Popen[bytes]] = {}
        run_script("up", "--only", "kafka", "--dir", str(folder))
        self._properties = (folder / "server.properties").read_text()
        pid = (folder / "kafka.pid").read_text().split()[0]
        *self._java, _main, _file = Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
        self.addresses = [self._value("advertised.listeners").removeprefix("PLAINTEXT://")]

    def _value(self, name: str) -> str:
        return next(line for line in self._properties.splitlines() if line.startswith(f"{name}=")).partition("=")[2]

    def join(self) -> None:
        """Start another broker."""
        number, address = len(self.addresses) + 1, f"127.0.0.1:{free_port()}"
        own = {
            "process.roles": "broker", "node.id": str(number), "log.dirs": str(self._folder / f"data-{number}"),
            "listeners": f"PLAINTEXT://{address}", "advertised.listeners": f"PLAINTEXT://{address}",
        }  # fmt: skip
        file = self._folder / f"server-{number}.properties"
        file.write_text(self._properties + "".join(f"{name}={value}\n" for name, value in own.items()))
        format_log = ("kafka.tools.StorageTool", "format", "--cluster-id", self._cluster_id(), "--config", str(file))
        subprocess.run([*self._java, *format_log], check=True, capture_output=True)
        self.addresses.append(address)
        self.start(number)

    def start(self, number: int) -> None:
        file = self._folder / f"server-{number}.properties"
        with (self._folder / f"broker-{number}.log").open("wb") as log:
            self._joined[number] = subprocess.Popen([*self._java, "kafka.Kafka", str(file)], stdout=log, stderr=log)

    def _cluster_id(self) -> str:
        lines = (Path(self._value("log.dirs")) / "meta.properties").read_text().splitlines()
        return next(line for line in lines if line.startswith("cluster.id=")).partition("=")[2]

    def kill(self, number: int) -> None:
        process = self._joined.pop(number)
        process.kill()
        process.wait()

    def close(self) -> None:
        for number in tuple(self._joined):
            self.kill(number)
        run_script("down", "--only", "kafka", "--dir", str(self._folder))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    if choose_kind() != "local":
        pytest.skip("only deploy/local/servers starts brokers that others can join")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", SHORT_LIVED_JAVA)
    started = Cluster(tmp_path)
    try:
        started.join()
        started.join()
        yield started
    finally:
        started.close()


async def test_a_record_is_acknowledged_only_while_two_of_three_brokers_have_it(cluster: Cluster) -> None:
    settings = KafkaSettings(
        kafka_bootstrap_servers=",".join(cluster.addresses), topic_replication=3, topic_partitions=1
    )
    kafka, topic = KafkaConnection(settings.kafka_bootstrap_servers), Topics().message_events

    async def is_set_up() -> bool:
        try:
            return not (await ensure_topics(settings)).missing
        except KafkaError:  # a broker has registered and does not accept connections yet
            return False

    await eventually(is_set_up, bool)
    assert (await check_topics(settings)).remaining == []
    async with open_producer(kafka) as producer, asyncio.timeout(120):
        await publish(producer, [Record(topic, b"key", b"with three", [])])
        cluster.kill(3)
        await publish(producer, [Record(topic, b"key", b"with two", [])])
        cluster.kill(2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(REFUSED_SECONDS):
                await publish(producer, [Record(topic, b"key", b"with one", [])])
        cluster.start(2)
        await publish(producer, [Record(topic, b"key", b"with two again", [])])
    published = {record.value for record in await read_all(kafka, topic)}
    assert {b"with three", b"with two", b"with two again"} <= published
