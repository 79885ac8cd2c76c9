"""A broker and a MongoDB server for one test run: local ones, else containers, else embedded ones."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "deploy" / "local" / "servers"
SHORT_LIVED_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Less compilation and no collector threads: a broker starts with 5 s of processor time instead of 9 s."""


@dataclass(frozen=True)
class Servers:
    """The addresses of the servers. A test can stop the broker and start it again with its address and data.

    `folder` is the folder of `deploy/local/servers` (process ids, logs); None for other servers.
    """

    kind: str
    kafka: str
    mongo: str
    mongo_options: str
    stop_kafka: Callable[[], object]
    start_kafka: Callable[[], object]
    folder: Path | None = None

    def mongo_url(self, database: str) -> str:
        return f"{self.mongo}/{database}?{self.mongo_options}"

    def restart_kafka(self) -> None:
        self.stop_kafka()
        self.start_kafka()


def run_script(*arguments: str) -> str:
    env = os.environ | {"JAVA_TOOL_OPTIONS": SHORT_LIVED_JAVA}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def choose_kind() -> str:
    """Return LEADSTREAM_TEST_SERVERS, else what the machine supports."""
    forced = os.environ.get("LEADSTREAM_TEST_SERVERS")
    if forced:
        assert forced in KINDS, f"LEADSTREAM_TEST_SERVERS must be one of {', '.join(KINDS)}, not {forced!r}"
        return forced
    if shutil.which("java") and shutil.which("mvn"):
        return "local"
    return "docker" if has_docker() else "embedded"


def has_docker() -> bool:
    return (
        shutil.which("docker") is not None
        and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    )


def start(kind: str, folder: Path) -> AbstractContextManager[Servers]:
    return KINDS[kind](folder)


@contextmanager
def local_servers(folder: Path) -> Iterator[Servers]:
    at = ("--dir", str(folder))
    try:
        run_script("up", *at)
        exported = dict(line.removeprefix("export ").split("=", 1) for line in run_script("env", *at).splitlines())
        yield Servers(
            kind="local",
            kafka=exported["LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS"],
            mongo=exported["LEADSTREAM_MONGO_URL"].strip("'").rsplit("/", 1)[0],
            mongo_options="directConnection=true",
            stop_kafka=lambda: run_script("down", "--only", "kafka", *at),
            start_kafka=lambda: run_script("up", "--only", "kafka", *at),
            folder=folder,
        )
    finally:
        run_script("down", *at)


@contextmanager
def docker_servers(_folder: Path) -> Iterator[Servers]:
    from tests.support.containers import kafka_container, mongo_container  # noqa: PLC0415

    port = free_port()
    with kafka_container(port) as kafka, mongo_container() as mongo:
        broker = kafka.get_wrapped_container()
        yield Servers(
            kind="docker",
            kafka=f"127.0.0.1:{port}",
            mongo=f"mongodb://127.0.0.1:{mongo.get_exposed_port(27017)}",
            mongo_options="directConnection=true",
            stop_kafka=broker.stop,
            start_kafka=broker.start,
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def embedded(folder: Path) -> Iterator[Servers]:
    keeper = [sys.executable, "-m", "tests.support.keep_embedded", str(folder)]
    with subprocess.Popen(keeper, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        try:
            addresses = child.stdout.readline().split()
            assert addresses, f"the embedded servers did not start; their logs are in {folder}"
            kafka, mongo_url = addresses
            yield Servers(
                kind="embedded",
                kafka=kafka,
                mongo=mongo_url.rsplit("/", 1)[0],
                mongo_options="directConnection=true",
                stop_kafka=skip_with_mock_broker,
                start_kafka=skip_with_mock_broker,
            )
        finally:
            child.terminate()


def skip_with_mock_broker() -> None:
    pytest.skip("the embedded mock broker loses its data at a restart")


KINDS: dict[str, Callable[[Path], AbstractContextManager[Servers]]] = {
    "local": local_servers,
    "docker": docker_servers,
    "embedded": embedded,
}
