"""The processes that are measured: how they start, and what they cost by their own and the system's counts."""

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
    """A running server with a `/webhook`."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Of all its threads, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_megabytes(self) -> float:
        return self._memory("VmRSS")

    def peak_megabytes(self) -> float:
        return self._memory("VmHWM")

    def metric(self, name: str) -> float:
        return read_metric(get(self.port, "/metrics"), name)

    def _memory(self, name: str) -> float:
        found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        if not found:
            raise BenchError(f"the system does not say {name} of a process")
        return int(found[1]) * 1024 / 1e6


def read_metric(page: str, name: str) -> float:
    """The sum of `leadstream_receiver_` and `name` over its labels (one for each spool). BenchError for none."""
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
def running(command: Sequence[str], settings: Mapping[str, str], folder: Path) -> Iterator[Handler]:
    """`python COMMAND` once it answers, with these settings alone; it has ended when this returns."""
    port = int(settings["LEADSTREAM_RECEIVER_PORT"])
    env = {**with_settings(settings), "PYTHONPATH": str(ROOT)}
    log = folder / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen([sys.executable, *command], env=env, cwd=folder, stdout=sink, stderr=sink)
    try:
        _wait_until_it_answers(port, process, log)
        yield Handler(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            get(port, "/live")
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                last = (log.read_text().strip().splitlines() or ["it said nothing"])[-1]
                raise BenchError(f"{process.args!r} did not start: {last}") from None
            time.sleep(0.05)
        else:
            return
