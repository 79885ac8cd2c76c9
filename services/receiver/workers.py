"""Several processes on one port, each of which may die, and the one that starts them anew.

The parent serves nothing. It holds the port and the lock of the spools, and is tied to each worker by a pair of
sockets: the worker says on it that it listens, and learns from its end that the parent is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog
from prometheus_client.multiprocess import mark_process_dead

DELAY_SECONDS, MAX_DELAY_SECONDS = 0.1, 5.0
"""Before a worker that died is replaced: doubled each time, until one has lived for `STEADY_SECONDS`."""
STEADY_SECONDS = 30.0
END_SECONDS = 8.5
"""Workers end by themselves within 9 s; who supervises us kills after 10."""

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there has a name of its own that nobody foresees

log = structlog.get_logger()


class Lifeline:
    """A worker's end of the pair."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def watch(self) -> None:
        """From now on the end of the parent is as a SIGTERM to this process."""
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._parent_is_gone)

    def report_listening(self) -> None:
        with contextlib.suppress(ConnectionError):  # it is gone: `watch` ends this process
            self._socket.send(b"1")

    def _parent_is_gone(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def metrics_folder(root: Path) -> Iterator[Path]:
    """A new folder for what the workers of the spools under `root` count, removed behind the block.

    Never on the spools' disk: the counts are files in memory, and where one may not grow its process gets a SIGBUS.
    Those of a parent that was killed are removed. The caller holds the root, so nobody else uses them.
    """
    parent = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    prefix = f"leadstream-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}-"
    for left in parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def supervise(number: int, port: int, metrics_folder: Path, stop: asyncio.Event) -> int:
    """Keeps `number` workers at `port` until `stop`, and returns the exit status.

    While none has ever listened, the end of one is the end of all, with its status: what it lacks the next would lack.
    Their counts are in `metrics_folder`.
    """
    env = {**os.environ, "LEADSTREAM_RECEIVER_PORT": str(port), "PROMETHEUS_MULTIPROC_DIR": str(metrics_folder)}
    return await Supervisor(env, metrics_folder, stop).run(number)


class Supervisor:
    def __init__(self, env: Mapping[str, str], metrics_folder: Path, stop: asyncio.Event) -> None:
        self._env = env
        self._metrics_folder = metrics_folder
        self._stop = stop
        self._has_listened = False
        self._status = 0

    async def run(self, number: int) -> int:
        async with asyncio.TaskGroup() as group:
            for slot in range(number):
                group.create_task(self._keep_one(slot))
        return self._status

    async def _keep_one(self, slot: int) -> None:
        delay = DELAY_SECONDS
        while not self._stop.is_set():
            lived, status = await self._run_one(slot)
            if self._stop.is_set():
                self._status = self._status or _exit_status(status)
            elif not self._has_listened:
                self._status = _exit_status(status) or 1
                self._stop.set()
            else:
                delay = DELAY_SECONDS if lived > STEADY_SECONDS else min(2 * delay, MAX_DELAY_SECONDS)
                log.warning("worker_died", slot=slot, status=status, next_in_seconds=delay)
                await self._stopped_within(delay)

    async def _run_one(self, slot: int) -> tuple[float, int]:
        """How long it lived, and how it ended."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.cli.main", "receiver", "--lifeline", str(theirs.fileno()),
                env=self._env, pass_fds=(theirs.fileno(),),
            )  # fmt: skip
            theirs.close()
            listening = asyncio.create_task(self._note_listening(ours, slot, process.pid))
            status = await self._ended(process)
            await listening
        mark_process_dead(process.pid, str(self._metrics_folder))  # type: ignore[no-untyped-call]
        return loop.time() - started_at, status

    async def _note_listening(self, ours: socket.socket, slot: int, pid: int) -> None:
        """Ends with the worker at the latest."""
        if await asyncio.get_running_loop().sock_recv(ours, 1):
            self._has_listened = True
            log.info("worker_listening", slot=slot, pid=pid)

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        """Its status; after `stop` it is told to end, and made to in the end."""
        ending = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ending.done():
            process.terminate()
            await asyncio.wait({ending}, timeout=END_SECONDS)
        if not ending.done():
            process.kill()
        return await ending

    async def _stopped_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()


def _exit_status(status: int) -> int:
    """SIGTERM may come before it knows what to do with it; another signal has no status here."""
    if status == -signal.SIGTERM:
        return 0
    return status if status >= 0 else 1
