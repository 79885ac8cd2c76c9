"""Starts the measured processes and reads their metrics, processor time and memory."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.wrk import BenchError
from tests.support.processes import with_settings
from tests.support.servers import ROOT

START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Handler:
    """A running process, usually a server with a `/webhook`. The receiver has metrics at `metrics_port`."""

    port: int
    metrics_port: int
    pid: int
    process: subprocess.Popen[bytes]
    log: Path

    def require_running(self) -> None:
        """Raise BenchError with its last line of output if it has ended."""
        if self.process.poll() is not None:
            last = (self.log.read_text().strip().splitlines() or ["it said nothing"])[-1]
            raise BenchError(f"{self.process.args!r} ended with {self.process.returncode}: {last}")

    def cpu_seconds(self) -> float:
        """Return user and system time of all its threads. Raise BenchError if it has ended."""
        self.require_running()
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_megabytes(self) -> float:
        return self._memory("VmRSS")

    def peak_megabytes(self) -> float:
        return self._memory("VmHWM")

    def metric(self, name: str) -> float:
        return read_metric(get(self.metrics_port, "/metrics"), name)

    def _memory(self, name: str) -> float:
        found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        if not found:
            raise BenchError(f"the system does not report {name} of a process")
        return int(found[1]) * 1024 / 1e6


def read_metric(page: str, name: str) -> float:
    """Return the sum of `leadstream_receiver_<name>` over its labels (one for each spool). BenchError for none."""
    found = re.findall(rf"^leadstream_receiver_{name}(?:{{[^}}]*}})? (\S+)$", page, re.MULTILINE)
    if not found:
        raise BenchError(f"the receiver has no metric leadstream_receiver_{name}")
    return sum(map(float, found))


def get(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@contextmanager
def running(command: Sequence[str], settings: Mapping[str, str], folder: Path, port: int) -> Iterator[Handler]:
    """Run `python COMMAND` with these settings only, from when it answers at `port` to the end of the block."""
    with started(command, settings, folder, port) as handler:
        _wait_until_it_answers(handler)
        yield handler


@contextmanager
def started(command: Sequence[str], settings: Mapping[str, str], folder: Path, port: int = 0) -> Iterator[Handler]:
    """Like `running`, without waiting for an answer. Its output is in the file `log`."""
    env = {**with_settings(settings), "PYTHONPATH": str(ROOT)}
    with (folder / "log").open("wb") as sink:
        process = subprocess.Popen([sys.executable, *command], env=env, cwd=folder, stdout=sink, stderr=sink)
    try:
        metrics_port = int(settings.get("LEADSTREAM_METRICS_PORT", "0"))
        yield Handler(port, metrics_port, process.pid, process, folder / "log")
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(handler: Handler) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            get(handler.port, "/live")
        except OSError:
            handler.require_running()
            if time.monotonic() > deadline:
                raise BenchError(f"{handler.process.args!r} does not answer") from None
            time.sleep(0.05)
        else:
            return
