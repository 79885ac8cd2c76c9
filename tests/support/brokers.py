"""The broker as it can be: up, slow, frozen, gone."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import pytest

from tests.support.servers import Servers

AWAY_SECONDS, THERE_SECONDS = 0.6, 0.2
"""How a slow broker's time goes: whoever waits for it less than the first sees it in time and too late in turn."""


@contextmanager
def gone(servers: Servers) -> Iterator[None]:
    """Stopped in the block: connections are refused. Started again after it."""
    servers.stop_kafka()
    try:
        yield
    finally:
        servers.start_kafka()


@contextmanager
def frozen(servers: Servers) -> Iterator[None]:
    """Takes connections and bytes in the block and answers nothing. Where its process cannot be reached it is gone."""
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
    """Answers in the block, but again and again only after `AWAY_SECONDS`."""
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
    """As `deploy/local/servers` notes it."""
    return int((servers.folder / "kafka.pid").read_text().split()[0]) if servers.folder else None


def up(_servers: Servers) -> AbstractContextManager[None]:
    return nullcontext()


BROKERS: dict[str, Callable[[Servers], AbstractContextManager[None]]] = {
    "up": up,
    "slow": slow,
    "down": frozen,
    "gone": gone,
}
