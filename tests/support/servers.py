"""A real broker and a real MongoDB server for one test run: local ones, else containers, else the embedded ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "deploy" / "local" / "servers"


@dataclass(frozen=True)
class Servers:
    """Where they are. `folder` is that of `deploy/local/servers`, None where those are not used."""

    kind: str
    kafka: str
    mongo: str
    mongo_options: str
    folder: Path | None = None

    def mongo_url(self, database: str) -> str:
        return f"{self.mongo}/{database}?{self.mongo_options}"

    def script(self, *arguments: str) -> str:
        """Runs `deploy/local/servers` on these servers, as a test does to stop and start one of them."""
        return run_script(*arguments, "--dir", str(self.folder))


def run_script(*arguments: str) -> str:
    done = subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def choose_kind() -> str:
    """LEADSTREAM_TEST_SERVERS decides, else what the machine has."""
    forced = os.environ.get("LEADSTREAM_TEST_SERVERS")
    if forced:
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
    return {"local": local_servers, "docker": docker_servers, "embedded": embedded}[kind](folder)


@contextmanager
def local_servers(folder: Path) -> Iterator[Servers]:
    run_script("up", "--dir", str(folder))
    try:
        exported = dict(
            line.removeprefix("export ").split("=", 1) for line in run_script("env", "--dir", str(folder)).splitlines()
        )
        mongo = exported["LEADSTREAM_MONGO_URL"].strip("'").rsplit("/", 1)[0]
        yield Servers("local", exported["LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS"], mongo, "directConnection=true", folder)
    finally:
        run_script("down", "--dir", str(folder))


@contextmanager
def docker_servers(_folder: Path) -> Iterator[Servers]:
    from testcontainers.kafka import KafkaContainer  # noqa: PLC0415
    from testcontainers.mongodb import MongoDbContainer  # noqa: PLC0415

    with ExitStack() as stack:
        kafka = stack.enter_context(KafkaContainer("apache/kafka:4.1.0"))
        mongo = stack.enter_context(MongoDbContainer("mongo:8"))
        url = mongo.get_connection_url()
        yield Servers("docker", kafka.get_bootstrap_server(), url, "authSource=admin&directConnection=true")


@contextmanager
def embedded(folder: Path) -> Iterator[Servers]:
    keeper = [sys.executable, "-m", "tests.support.keep_embedded", str(folder)]
    with subprocess.Popen(keeper, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        kafka, mongo_url = child.stdout.readline().split()
        try:
            yield Servers("embedded", kafka, mongo_url.rsplit("/", 1)[0], "directConnection=true")
        finally:
            child.terminate()
