"""The spool: a SQLite file on this machine's disk, where records wait while the broker does not accept them.

`put` returns after the file was synced to the disk, so its records survive a kill and a power cut. Every frame of
SQLite's write-ahead log has a checksum: a torn tail is a commit that did not happen, never a broken file. The folder is
locked, because two processes on one spool would publish its records twice and out of order.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import orjson
import structlog

from shared.bus.producer import Record

SPOOL_FILE = "spool.sqlite"
SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA secure_delete = FAST;
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    added_at REAL NOT NULL, topic TEXT NOT NULL, key BLOB, value BLOB NOT NULL, headers BLOB NOT NULL,
    size INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS by_topic ON records (topic, id);
CREATE TABLE IF NOT EXISTS probe (id INTEGER PRIMARY KEY, filler BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS refused AS SELECT * FROM records WHERE 0;
"""
TRY_AGAIN = """
BEGIN;
INSERT INTO records (added_at, topic, key, value, headers, size)
    SELECT added_at, topic, key, value, headers, size FROM refused ORDER BY id;
DELETE FROM refused;
COMMIT;
"""
"""What was set aside is tried again at the next start: by then the topic may take larger records."""
COLUMNS = "added_at, topic, key, value, headers, size"
MAX_PEEK_BYTES = 4 * 1024 * 1024
PROBE_BYTES = 4096
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
RECORD_OVERHEAD_BYTES = 64
"""A record's size in the file beyond its own bytes, roughly."""

Result = TypeVar("Result")

log = structlog.get_logger()


class SpoolError(Exception):
    """The records are not in the spool: it is full, or its disk cannot be written."""


class SpoolInUseError(SpoolError):
    """Another process uses this spool."""


@dataclass(frozen=True, slots=True)
class SpooledRecord:
    """`added_at` is the time of its `put`, in seconds since 1970."""

    position: int
    record: Record
    added_at: float


def _size(record: Record) -> int:
    headers = sum(len(name) + len(value) for name, value in record.headers)
    return len(record.key or b"") + len(record.value) + headers + RECORD_OVERHEAD_BYTES


class Spool:
    """Returns the records of each topic in the order of their `put`. All calls must come from one event loop."""

    def __init__(self, name: str, connection: sqlite3.Connection, max_bytes: int) -> None:
        self.name = name
        self._connection = connection
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._putting = 0
        self._removed_up_to: dict[str, int] = {}
        self.set_aside_number = 0
        counted = connection.execute("SELECT topic, COUNT(*), SUM(size) FROM records GROUP BY topic").fetchall()
        self._depths: Counter[str] = Counter({topic: number for topic, number, _ in counted})
        self._bytes: Counter[str] = Counter({topic: size for topic, _, size in counted})
        self.oldest_at: float = self._oldest()
        """The time of the oldest record's `put`, in seconds since 1970; 0 without records."""

    @property
    def depth(self) -> int:
        return self._depths.total()

    @property
    def bytes(self) -> int:
        return self._bytes.total()

    @property
    def topics(self) -> list[str]:
        """The topics of the records in the spool."""
        return [topic for topic, depth in self._depths.items() if depth]

    @property
    def is_empty(self) -> bool:
        """Whether it has no record, and no `put` is in progress."""
        return self.depth == 0 and not self._putting

    def is_free_of(self, topic: str) -> bool:
        """Return whether it has no record of `topic`, and no `put` at all is in progress."""
        return self._depths[topic] == 0 and not self._putting

    async def put(self, records: Sequence[Record], share: float = 1.0) -> None:
        """Return when all `records`, of one topic, are on the disk, with one sync. SpoolError when none of them is.

        The topic's records may fill `share` of the spool.
        """
        topic, size = records[0].topic, sum(map(_size, records))
        if self.bytes + size > self._max_bytes:
            raise SpoolError(f"the spool is full: {self.bytes} of {self._max_bytes} bytes")
        if self._bytes[topic] + size > share * self._max_bytes:
            raise SpoolError(f"the share of {topic} is full: {self._bytes[topic]} of {share * self._max_bytes} bytes")
        self._bytes[topic] += size
        self._putting += 1
        now = time.time()
        try:
            await self._call(self._insert, records, now)
        except SpoolError:
            self._bytes[topic] -= size
            raise
        finally:
            self._putting -= 1
        self._depths[topic] += len(records)
        self.oldest_at = self.oldest_at or now

    async def peek(self, topic: str, limit: int) -> list[SpooledRecord]:
        """Return the oldest records of `topic`: at most `limit`, and at most 4 MiB (but at least one)."""
        return await self._call(self._read, topic, limit)

    async def remove(self, taken: Sequence[SpooledRecord]) -> None:
        """Remove what `peek` returned, once it is on its topic.

        On a full disk the removal fails. It is then kept in memory and repeated with the next one; a process that
        starts before that publishes the records again.
        """
        if not taken:
            return
        topic = taken[0].record.topic
        self._removed_up_to[topic] = taken[-1].position
        self._depths[topic] -= len(taken)
        self._bytes[topic] -= sum(_size(each.record) for each in taken)
        try:
            await self._call(self._delete, topic)
            self.oldest_at = await self._call(self._oldest)
        except SpoolError as error:
            log.warning("spool_not_cleared", error=str(error))
        if self.depth == 0:
            self.oldest_at = 0.0

    async def set_aside(self, refused: SpooledRecord) -> None:
        """Move the oldest record of its topic to the table `refused`, until the next start."""
        await self._call(self._copy_to_refused, refused.position)
        self.set_aside_number += 1
        await self.remove([refused])

    async def probe(self) -> bool:
        """Return whether a record of ordinary size could be put now, with a write that reaches the disk."""
        if self.bytes + PROBE_BYTES > self._max_bytes:
            return False
        try:
            await self._call(self._touch)
        except SpoolError:
            return False
        return True

    async def close(self) -> None:
        """Close the file after the writes in progress."""
        await self._call(self._connection.close)
        self._thread.shutdown()

    async def _call(self, work: Callable[..., Result], *arguments: object) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        except (sqlite3.Error, OSError) as error:
            raise SpoolError(f"the spool's disk cannot be written: {error}") from error

    def _insert(self, records: Sequence[Record], now: float) -> None:
        rows = [(now, r.topic, r.key, r.value, _dump_headers(r.headers), _size(r)) for r in records]
        with self._connection:
            self._connection.executemany(f"INSERT INTO records ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows)  # noqa: S608

    def _read(self, topic: str, limit: int) -> list[SpooledRecord]:
        rows = self._connection.execute(
            f"SELECT id, {COLUMNS} FROM records WHERE topic = ? AND id > ? ORDER BY id LIMIT ?",  # noqa: S608
            (topic, self._removed_up_to.get(topic, 0), limit),
        )
        found: list[SpooledRecord] = []
        size = 0
        for row in rows:
            position, added_at, *columns, _ = row
            record = _record(*columns)
            size += _size(record)
            if found and size > MAX_PEEK_BYTES:
                break
            found.append(SpooledRecord(position, record, added_at))
        return found

    def _delete(self, topic: str) -> None:
        with self._connection:
            up_to = self._removed_up_to[topic]
            self._connection.execute("DELETE FROM records WHERE topic = ? AND id <= ?", (topic, up_to))

    def _oldest(self) -> float:
        row = self._connection.execute("SELECT added_at FROM records ORDER BY id LIMIT 1").fetchone()
        return row[0] if row else 0.0

    def _copy_to_refused(self, position: int) -> None:
        with self._connection:
            self._connection.execute("INSERT INTO refused SELECT * FROM records WHERE id = ?", (position,))

    def _touch(self) -> None:
        with self._connection:
            self._connection.execute("REPLACE INTO probe VALUES (1, zeroblob(?))", (PROBE_BYTES,))


@asynccontextmanager
async def open_spool(folder: Path, max_bytes: int) -> AsyncIterator[Spool]:
    """Open the spool in `folder`, with the records that an earlier process left. Only this user can read it.

    A damaged file is renamed and reported, and a new one opened. SpoolError when the folder cannot be written,
    SpoolInUseError when another process uses it.
    """
    with contextlib.ExitStack() as stack:
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)  # noqa: PTH103
            os.chmod(folder, 0o700)  # noqa: PTH101
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                spool = _open_file(folder, max_bytes)
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode not in DAMAGED:
                    raise
                _set_aside_damaged(folder)
                spool = _open_file(folder, max_bytes)
        except BlockingIOError:
            raise SpoolInUseError(f"another process uses the spool {folder}") from None
        except (OSError, sqlite3.Error) as error:
            raise SpoolError(f"the spool {folder} cannot be written: {error}") from error
        try:
            yield spool
        finally:
            await spool.close()


def _open_file(folder: Path, max_bytes: int) -> Spool:
    with contextlib.ExitStack() as on_failure:
        connection = sqlite3.connect(folder / SPOOL_FILE, check_same_thread=False, timeout=1)
        on_failure.callback(connection.close)
        connection.executescript(SCHEMA + TRY_AGAIN)
        spool = Spool(folder.name, connection, max_bytes)
        on_failure.pop_all()
        return spool


def _set_aside_damaged(folder: Path) -> None:
    suffix = f".damaged-{time.time_ns()}"
    for name in (f"{SPOOL_FILE}-wal", f"{SPOOL_FILE}-shm", SPOOL_FILE):
        with contextlib.suppress(FileNotFoundError):
            (folder / name).rename(folder / f"{name}{suffix}")
    log.error("spool_damaged", kept_as=str(folder / f"{SPOOL_FILE}{suffix}"))


def _dump_headers(headers: list[tuple[str, bytes]]) -> bytes:
    return orjson.dumps([(name, value.decode()) for name, value in headers])


def _record(topic: str, key: bytes | None, value: bytes, headers: bytes) -> Record:
    return Record(topic, key, value, [(name, text.encode()) for name, text in orjson.loads(headers)])
