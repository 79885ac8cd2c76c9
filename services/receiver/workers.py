"""Supervises several worker processes on one port, and restarts those that die.

The parent serves operations (probes and metrics), no webhooks. It holds the port and the lock of the spools. A pair of
sockets connects it to each worker: the worker reports its progress on it and answers whether it is ready, and its end
means that the parent is gone.
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

from shared.contract.failures import EXIT_UNREACHABLE
from shared.runtime.metrics import render_workers
from shared.runtime.operations import Probe, serve_operations
from shared.runtime.service import stopped_within

RESTART_DELAY_SECONDS, MAX_RESTART_DELAY_SECONDS = 0.1, 5.0
"""The delay before a worker that died is replaced. It doubles until a worker has lived for `STABLE_SECONDS`."""
STABLE_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 8.5
"""Workers end by themselves within 9 s; supervisors such as Docker kill after 10."""

LISTENING, CONNECTED = b"l", b"c"
"""What a worker reports: that it listens, and later that a broker has answered and the topic is found."""
ASKED, READY, NOT_READY = b"?", b"r", b"n"
"""What the parent asks, and what a worker answers."""
ANSWER_SECONDS = 1.0
"""A worker that does not answer in this time is not ready."""

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder made there has an unpredictable name

log = structlog.get_logger()


class Lifeline:
    """A worker's socket to its parent."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._serving: asyncio.Task[None] | None = None

    def watch(self, is_ready: Probe) -> None:
        """Answer the parent's questions by `is_ready`, and send this process a SIGTERM when its parent ends."""
        self._socket.setblocking(False)
        self._serving = asyncio.create_task(self._serve(is_ready))

    def report(self, progress: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # the parent is gone: `watch` ends this process
            self._socket.send(progress)

    async def _serve(self, is_ready: Probe) -> None:
        with contextlib.suppress(ConnectionError):
            while await asyncio.get_running_loop().sock_recv(self._socket, 1):
                self.report(READY if await is_ready() else NOT_READY)
        os.kill(os.getpid(), signal.SIGTERM)


class RunningWorker:
    """The parent's end of a worker that listens."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def is_ready(self) -> bool:
        """Ask the worker. False when it does not answer within ANSWER_SECONDS."""
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._line.send(ASKED)
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._answer
        except (OSError, TimeoutError):
            return False

    def answer(self, is_ready: bool) -> None:
        if not self._answer.done():
            self._answer.set_result(is_ready)


@contextlib.contextmanager
def metrics_folder(root: Path) -> Iterator[Path]:
    """Make a folder for the metrics of the workers of `root`, and remove it when the block ends.

    It is never on the spools' disk: the files are mapped into memory, and a process gets a SIGBUS when one cannot grow.
    Folders that a killed parent left are removed. The caller has locked the root, so no other process uses them.
    """
    parent = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    prefix = f"leadstream-{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}-"
    for left in parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def supervise(number: int, port: int, metrics_port: int, metrics_folder: Path, stop: asyncio.Event) -> int:
    """Keep `number` workers running at `port`, and serve operations for all of them, until `stop`.

    Returns the exit status. UnreachableError when `metrics_port` is in use.

    A worker that dies is replaced. One that ends by itself before any has listened, or because of the topic before any
    has found it, ends all with its status: the next would fail for the same reason. Workers write their metrics to
    `metrics_folder`.
    """
    env = {**os.environ, "LEADSTREAM_RECEIVER_PORT": str(port), "PROMETHEUS_MULTIPROC_DIR": str(metrics_folder)}
    supervisor = Supervisor(env, metrics_folder, stop)

    def render() -> tuple[bytes, str]:
        return render_workers(metrics_folder, supervisor.pids)

    async with serve_operations("receiver", metrics_port, render, supervisor.is_ready):
        return await supervisor.run(number)


class Supervisor:
    def __init__(self, env: Mapping[str, str], metrics_folder: Path, stop: asyncio.Event) -> None:
        self._env = env
        self._metrics_folder = metrics_folder
        self._stop = stop
        self._reached: set[bytes] = set()
        self._workers: dict[int, RunningWorker] = {}
        self.pids: set[int] = set()
        self._status = 0

    async def run(self, number: int) -> int:
        async with asyncio.TaskGroup() as group:
            for slot in range(number):
                group.create_task(self._keep_running(slot))
        return self._status

    async def is_ready(self) -> bool:
        """Return whether workers listen and all that do are ready: the system spreads connections over them."""
        answers = await asyncio.gather(*(worker.is_ready() for worker in self._workers.values()))
        return bool(answers) and all(answers)

    async def _keep_running(self, slot: int) -> None:
        delay = RESTART_DELAY_SECONDS
        while not self._stop.is_set():
            lived, status = await self._run_one(slot)
            if self._stop.is_set():
                self._status = self._status or _exit_status(status)
            elif self._would_repeat(status):
                self._status = status
                self._stop.set()
            else:
                delay = RESTART_DELAY_SECONDS if lived > STABLE_SECONDS else min(2 * delay, MAX_RESTART_DELAY_SECONDS)
                log.warning("worker_died", slot=slot, status=status, next_in_seconds=delay)
                await stopped_within(self._stop, delay)

    def _would_repeat(self, status: int) -> bool:
        if CONNECTED in self._reached:
            return False
        return status == EXIT_UNREACHABLE or (status > 0 and LISTENING not in self._reached)

    async def _run_one(self, slot: int) -> tuple[float, int]:
        """Run one worker. Returns how many seconds it lived, and its status."""
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
            self.pids.add(process.pid)
            following = asyncio.create_task(self._follow(ours, slot, process.pid))
            status = await self._ended(process)
            await following
            self.pids.discard(process.pid)
        mark_process_dead(process.pid, str(self._metrics_folder))  # type: ignore[no-untyped-call]
        return loop.time() - started_at, status

    async def _follow(self, ours: socket.socket, slot: int, pid: int) -> None:
        """Note what the worker reports until it ends."""
        with contextlib.suppress(ConnectionError):  # it ended before it read a question
            while report := await asyncio.get_running_loop().sock_recv(ours, 1):
                if report in (READY, NOT_READY):
                    self._workers[slot].answer(report == READY)
                    continue
                self._reached.add(report)
                if report == LISTENING:
                    self._workers[slot] = RunningWorker(ours)
                    log.info("worker_listening", slot=slot, pid=pid)
        self._workers.pop(slot, None)

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the process and return its status. After `stop` it is terminated, then killed if it does not end."""
        ending = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ending.done():
            process.terminate()
            await asyncio.wait({ending}, timeout=STOP_TIMEOUT_SECONDS)
        if not ending.done():
            process.kill()
        return await ending


def _exit_status(status: int) -> int:
    """Return 0 for SIGTERM, which may arrive before the worker handles it, and 1 for other signals."""
    if status == -signal.SIGTERM:
        return 0
    return status if status >= 0 else 1
