"""The shared set-up of all measurements of the receiver: servers, requests and running handlers."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.bus.topics import ensure_topics
from shared.runtime.settings import KafkaSettings
from tests.bench.envelopes import Requests, batch, envelope, write_requests
from tests.bench.judging import Side
from tests.bench.processes import Handler, running
from tests.bench.wrk import CONNECTIONS, BenchError, load
from tests.support.servers import Servers, free_port, local_servers

SECRET = "bench-secret"
PARTITIONS = 12
SINGLES, BATCHES, EVENTS_OF_A_BATCH = 300_000, 100, 1_000
RECEIVER = ("-m", "services.cli.main", "receiver")


@dataclass(frozen=True, slots=True)
class Ground:
    """A request of `singles` has one event, one of `batches` a thousand. `seconds` is the length of a round."""

    servers: Servers
    folder: Path
    singles: Requests
    batches: Requests
    seconds: float
    rounds: int


@contextmanager
def prepared(folder: Path, seconds: float, rounds: int) -> Iterator[Ground]:
    written = folder / "requests"
    written.mkdir()
    singles = write_requests(written / "singles", map(envelope, range(SINGLES)), SECRET, 1)
    thousands = (batch(number, EVENTS_OF_A_BATCH) for number in range(BATCHES))
    batches = write_requests(written / "batches", thousands, SECRET, EVENTS_OF_A_BATCH)
    with local_servers(folder / "servers") as servers:
        yield Ground(servers, folder, singles, batches, seconds, rounds)


@contextmanager
def handler(ground: Ground, name: str, command: tuple[str, ...] = RECEIVER) -> Iterator[Handler]:
    """Run a process named `name` with its own topics and folder."""
    own = ground.folder / name
    own.mkdir()
    settings, port = own_settings(ground, name, own)
    prepare_topics(ground, name)
    with running(command, settings, own, port) as started:
        yield started


def prepare_topics(ground: Ground, name: str) -> None:
    kafka = ground.servers.kafka
    asyncio.run(ensure_topics(KafkaSettings(kafka_bootstrap_servers=kafka, topic_prefix=f"{name}.", topic_replication=1,
                                            topic_partitions=PARTITIONS)))  # fmt: skip


def own_settings(ground: Ground, name: str, own: Path) -> tuple[dict[str, str], int]:
    """Return the settings of a process named `name` with the folder `own`, and its port."""
    port = free_port()
    settings = {
        "LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": ground.servers.kafka,
        "LEADSTREAM_TOPIC_PREFIX": f"{name}.",
        "LEADSTREAM_APP_SECRETS": SECRET,
        "LEADSTREAM_VERIFY_TOKEN": "bench-token",
        "LEADSTREAM_SPOOL_DIR": str(own / "spool"),
        "LEADSTREAM_RECEIVER_HOST": "127.0.0.1",
        "LEADSTREAM_RECEIVER_PORT": str(port),
        "LEADSTREAM_METRICS_PORT": str(free_port()),
    }
    return settings, port


def compared(name: str) -> tuple[str, ...]:
    return ("-m", "tests.bench.handlers", name)


@dataclass(frozen=True, slots=True)
class Rate:
    """Events per second that were answered 200, and the processor time of the handler for each."""

    per_second: float
    cpu_microseconds: float


def rate(
    handler: Handler, requests: Requests, seconds: float, *, start: int = 0, connections: int = CONNECTIONS
) -> Rate:
    """Raise BenchError if a request is not answered 200: a rate of refusals means nothing."""
    before = handler.cpu_seconds()
    done = load(handler.port, requests, seconds, start=start, connections=connections)
    if done.failed:
        raise BenchError(f"{done.failed} of {done.requests} requests were not answered 200")
    spent = handler.cpu_seconds() - before
    return Rate(done.requests_per_second * requests.events, spent * 1e6 / (done.requests * requests.events))


def alternate(sides: Mapping[str, Callable[[], Rate]], rounds: int) -> tuple[Side, ...]:
    """Measure the sides in turns, `rounds` times, after one round to warm up."""
    for measure in sides.values():
        measure()
    rates: dict[str, list[Rate]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, measure in sides.items():
            rates[name].append(measure())
    return tuple(side(name, of_name) for name, of_name in rates.items())


def side(name: str, rates: list[Rate]) -> Side:
    cpu = statistics.median(each.cpu_microseconds for each in rates)
    return Side(name, tuple(each.per_second for each in rates), f"CPU {cpu:.0f} µs each")
