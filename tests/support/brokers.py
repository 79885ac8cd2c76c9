"""States of the broker: up, slow, frozen, gone."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import pytest

from tests.support.servers import Servers

AWAY_SECONDS, THERE_SECONDS = 0.6, 0.2
"""The seconds in which a slow broker responds and does not, in turns."""


@contextmanager
def gone(servers: Servers) -> Iterator[None]:
    """Stop the broker within the block: connections are refused."""
    servers.stop_kafka()
    try:
        yield
    finally:
        servers.start_kafka()


@contextmanager
def frozen(servers: Servers) -> Iterator[None]:
    """Freeze the broker within the block: it accepts connections and never responds. In a container it is stopped."""
    process = _process_id(servers)
    if process is None:
        with gone(servers):
            yield
        return
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


@contextmanager
def slow(servers: Servers) -> Iterator[None]:
    """Slow the broker within the block: it repeatedly responds only after `AWAY_SECONDS`."""
    process = _process_id(servers)
    if process is None:
        pytest.skip("only the local broker can be slowed")
    over = threading.Event()

    def alternate() -> None:
        while not over.is_set():
            os.kill(process, signal.SIGSTOP)
            over.wait(AWAY_SECONDS)
            os.kill(process, signal.SIGCONT)
            over.wait(THERE_SECONDS)

    thread = threading.Thread(target=alternate)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _process_id(servers: Servers) -> int | None:
    """Return the process id that `deploy/local/servers` recorded."""
    return int((servers.folder / "kafka.pid").read_text().split()[0]) if servers.folder else None


def up(_servers: Servers) -> AbstractContextManager[None]:
    return nullcontext()


BROKERS: dict[str, Callable[[Servers], AbstractContextManager[None]]] = {
    "up": up,
    "slow": slow,
    "down": frozen,
    "gone": gone,
}
