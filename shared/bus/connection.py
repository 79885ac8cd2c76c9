"""How every Kafka client connects: the brokers' address, TLS and SASL, and what a client reports that cannot start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiokafka.client
from aiokafka.errors import KafkaConnectionError, UnknownTopicOrPartitionError
from aiokafka.protocol.metadata import MetadataRequest

from shared.bus.connection_failure import failure_reason
from shared.bus.security import security_options
from shared.contract.failures import UnreachableError
from shared.runtime.settings import KafkaSettings

CLIENT_STOP_SECONDS = 1.0
"""Time for a client to flush and leave its group; while the broker is away it would wait without limit."""

aiokafka.client.MetadataRequest = partial(  # type: ignore[attr-defined, assignment]
    MetadataRequest, allow_auto_topic_creation=False
)
"""Without this a producer or consumer creates a topic that does not exist, with the broker's defaults, where the broker
allows it; aiokafka 0.14 has no option for it. Only `setup` creates topics."""

Method = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """`bootstrap_servers` is a comma-separated list of host:port; `security` are aiokafka's options of TLS and SASL."""

    bootstrap_servers: str
    security: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def options(self) -> dict[str, Any]:
        """aiokafka's keyword arguments that all clients have in common."""
        return {"bootstrap_servers": self.bootstrap_servers, **self.security}


def kafka_connection(settings: KafkaSettings) -> KafkaConnection:
    """Read the files that the settings name. WrongSettingsError when the settings of TLS or SASL cannot be used."""
    return KafkaConnection(settings.kafka_bootstrap_servers, security_options(settings))


@asynccontextmanager
async def started(kafka: KafkaConnection, start: Method, stop: Method) -> AsyncIterator[None]:
    """Start a client of `kafka`, and stop it when the block ends. UnreachableError with the reason if it cannot."""
    try:
        await start_client(kafka, start)
        yield
    finally:
        await stop_client(stop())


async def start_client(kafka: KafkaConnection, start: Method) -> None:
    """Start a client. UnreachableError with the reason if it cannot; then it can be called again.

    aiokafka's log lines of attempts to connect are left out, as the error has the reason.
    """
    if "sasl_oauth_token_provider" in kafka.security:  # aiokafka would start with a refused token, and never recover
        await _raise_failure(kafka)
    logger, without_attempts = logging.getLogger("aiokafka"), _WithoutAttempts()
    logger.addFilter(without_attempts)
    try:
        await start()
    except KafkaConnectionError as error:
        await _raise_failure(kafka)
        raise UnreachableError(f"no Kafka broker answers at {kafka.bootstrap_servers}") from error
    except UnknownTopicOrPartitionError as error:
        raise UnreachableError("the topic cannot be found; run `leadstream setup`") from error
    finally:
        logger.removeFilter(without_attempts)


async def _raise_failure(kafka: KafkaConnection) -> None:
    """UnreachableError when a broker gives a reason why it cannot be used."""
    if reason := await failure_reason(kafka.bootstrap_servers, kafka.security):
        raise UnreachableError(reason)


class _WithoutAttempts(logging.Filter):
    """Drops the lines of aiokafka's `bootstrap`."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith(('Unable connect to "', 'Unable to request metadata from "'))


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
