"""How every Kafka client connects: the address of the brokers and aiokafka's options for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError

from shared.contract.failures import UnreachableError
from shared.runtime.settings import KafkaSettings

CLIENT_STOP_SECONDS = 1.0
"""Time for a client to flush and leave its group; while the broker is away it would wait without limit."""

Method = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """`bootstrap_servers` is a comma-separated list of host:port."""

    bootstrap_servers: str

    @property
    def options(self) -> dict[str, Any]:
        """aiokafka's keyword arguments that all clients have in common."""
        return {"bootstrap_servers": self.bootstrap_servers}


def kafka_connection(settings: KafkaSettings) -> KafkaConnection:
    return KafkaConnection(settings.kafka_bootstrap_servers)


@asynccontextmanager
async def started(kafka: KafkaConnection, start: Method, stop: Method) -> AsyncIterator[None]:
    """Start a client of `kafka`, and stop it when the block ends. UnreachableError when no broker can be used."""
    try:
        await _start(kafka, start)
        yield
    finally:
        await stop_client(stop())


async def _start(kafka: KafkaConnection, start: Method) -> None:
    try:
        await start()
    except KafkaConnectionError as error:
        raise UnreachableError(f"no Kafka broker answers at {kafka.bootstrap_servers}") from error
    except UnknownTopicOrPartitionError as error:
        raise UnreachableError("the topic cannot be found; run `leadstream setup`") from error


async def stop_client(stop: Coroutine[Any, Any, None]) -> None:
    """Stop a client within CLIENT_STOP_SECONDS. Records dropped here were never acknowledged to a caller.

    `stop` runs as its own task, as a consumer that waits for its broker raises its own tasks' CancelledError
    (aiokafka 0.14).
    """
    stopping = asyncio.create_task(stop)
    await asyncio.wait({stopping}, timeout=CLIENT_STOP_SECONDS)
    if not stopping.done():
        stopping.cancel()
    elif not stopping.cancelled():
        stopping.result()
