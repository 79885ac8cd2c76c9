"""The folders of spools under one root: each process has one of its own, and none stays full that nobody has.

A folder is called by a number. A process takes the lowest that is free; what another left in the rest (one that was
killed, or one of more workers than there are now) it publishes beside its own.
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

from services.receiver.publish.spool import FILE, Spool, SpoolError, SpoolInUseError, open_spool
from shared.bus.producer import KafkaError
from shared.contract.failures import UnreachableError

EARLIER = "earlier"
FILES = (f"{FILE}-shm", f"{FILE}-wal", FILE)
ADOPT_SECONDS = 5.0

Drain = Callable[[Spool], Awaitable[None]]
"""Returns when the spool is empty. SpoolError, KafkaError or TimeoutError when it cannot be now."""

log = structlog.get_logger()


@contextmanager
def lock_root(root: Path) -> Iterator[None]:
    """Keeps another receiver, with or without workers, from the spools there. UnreachableError when one has them."""
    with ExitStack() as stack:
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _move_earlier(root)
        except BlockingIOError:
            raise UnreachableError(f"another process uses the spool {root}") from None
        except OSError as error:
            raise UnreachableError(f"the spool {root} cannot be written: {error}") from error
        yield


def _move_earlier(root: Path) -> None:
    """The spool was in the root itself before there were workers: it becomes one that nobody has.

    The database goes last: until then nothing takes the folder for a spool, and a move that was cut short is completed.
    """
    if not any((root / name).exists() for name in FILES):
        return
    place = next(place for place in _places(root) if not (place / FILE).exists())
    place.mkdir(mode=0o700, exist_ok=True)
    for name in FILES:
        if (root / name).exists():
            (root / name).rename(place / name)


def _places(root: Path) -> Iterator[Path]:
    return (root / f"{EARLIER}{number or ''}" for number in itertools.count())


@asynccontextmanager
async def claim_spool(root: Path, max_bytes: int) -> AsyncIterator[tuple[Path, Spool]]:
    """The lowest-numbered spool that nobody has, and its folder. UnreachableError when it cannot be written."""
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
    raise AssertionError("there is always a next number")


async def adopt(root: Path, own: Path, max_bytes: int, drain: Drain, every_seconds: float = ADOPT_SECONDS) -> None:
    """Empties the spools that nobody has, whenever there are any; runs until it is cancelled."""
    seen_empty: dict[Path, list[tuple[str, int]]] = {}
    while True:
        for folder in _others(root, own):
            if seen_empty.get(folder) != _files(folder) and await _adopt_one(folder, max_bytes, drain):
                seen_empty[folder] = _files(folder)
        await asyncio.sleep(every_seconds)


async def _adopt_one(folder: Path, max_bytes: int, drain: Drain) -> bool:
    """Whether it is empty now."""
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
    return sorted(path.parent for path in root.glob(f"*/{FILE}") if path.parent != own)


def _files(folder: Path) -> list[tuple[str, int]]:
    """Changes with every write into the spool there."""
    return [(name, _written_at(folder / name)) for name in FILES]


def _written_at(path: Path) -> int:
    """0 for what is not there: SQLite removes files when another process closes them."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
