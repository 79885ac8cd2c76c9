"""The spools under one root: each process claims one, and adopts those that no process uses.

A spool's folder is named by a number. A process claims the lowest free one. Records in other free spools, left by a
process that was killed or by a higher number of workers, are published beside its own.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import structlog

from services.receiver.publish.spool import SPOOL_FILE, Spool, SpoolError, SpoolInUseError, open_spool
from shared.bus.producer import KafkaError
from shared.contract.failures import UnreachableError

SPOOL_FILES = (f"{SPOOL_FILE}-shm", f"{SPOOL_FILE}-wal", SPOOL_FILE)
ADOPT_INTERVAL_SECONDS = 5.0

Drain = Callable[[Spool], Awaitable[None]]
"""Returns when the spool is empty. SpoolError, KafkaError or TimeoutError when it cannot be emptied now."""

log = structlog.get_logger()


@contextmanager
def lock_root(root: Path) -> Iterator[None]:
    """Lock the root against another receiver, with or without workers. UnreachableError when one has the lock."""
    with ExitStack() as stack:
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnreachableError(f"another process uses the spool {root}") from None
        except OSError as error:
            raise UnreachableError(f"the spool {root} cannot be written: {error}") from error
        yield


@asynccontextmanager
async def claim_spool(root: Path, max_bytes: int) -> AsyncIterator[tuple[Path, Spool]]:
    """Claim the lowest-numbered free spool; yields its folder and it. UnreachableError when it cannot be written."""
    async with AsyncExitStack() as stack:
        yield await _first_free(root, max_bytes, stack)


async def _first_free(root: Path, max_bytes: int, stack: AsyncExitStack) -> tuple[Path, Spool]:
    for number in itertools.count():
        folder = root / str(number)
        try:
            return folder, await stack.enter_async_context(open_spool(folder, max_bytes))
        except SpoolInUseError:
            continue
        except SpoolError as error:
            raise UnreachableError(str(error)) from error
    raise AssertionError("unreachable: numbers do not end")


async def adopt(
    root: Path, own: Path, max_bytes: int, drain: Drain, interval_seconds: float = ADOPT_INTERVAL_SECONDS
) -> None:
    """Drain free spools whenever there are any. Runs until it is cancelled."""
    seen_empty: dict[Path, list[tuple[str, int]]] = {}
    while True:
        for folder in _others(root, own):
            if seen_empty.get(folder) != _files(folder) and await _adopt_one(folder, max_bytes, drain):
                seen_empty[folder] = _files(folder)
        await asyncio.sleep(interval_seconds)


async def _adopt_one(folder: Path, max_bytes: int, drain: Drain) -> bool:
    """Return whether the spool is empty now."""
    try:
        async with open_spool(folder, max_bytes) as spool:
            if not spool.is_empty:
                log.info("spool_adopted", folder=folder.name, depth=spool.depth)
                await drain(spool)
    except SpoolInUseError:
        return False
    except (SpoolError, KafkaError, TimeoutError) as error:
        log.warning("spool_not_adopted", folder=folder.name, error=str(error) or type(error).__name__)
        return False
    return True


def _others(root: Path, own: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob(f"*/{SPOOL_FILE}") if path.parent != own)


def _files(folder: Path) -> list[tuple[str, int]]:
    """Return a value that changes with every write to the spool in `folder`."""
    return [(name, _written_at(folder / name)) for name in SPOOL_FILES]


def _written_at(path: Path) -> int:
    """Return 0 for a file that does not exist: SQLite removes files when another process closes them."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
