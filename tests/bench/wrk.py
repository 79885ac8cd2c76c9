"""Load as fast as it is answered, by wrk: each connection sends its next request when it has the last one's answer."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bench.envelopes import Requests

CONNECTIONS = 64
TIMEOUT_SECONDS = 5
"""Facebook waits no longer."""
SCRIPT = Path(__file__).parent / "requests.lua"


class BenchError(Exception):
    """Why there is no figure, said to the person in one line."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk came to. `failed` are answers other than 2xx or 3xx, broken connections, and none in 5 s."""

    requests: int
    requests_per_second: float
    failed: int

    @property
    def seconds(self) -> float:
        return self.requests / self.requests_per_second if self.requests_per_second else 0.0


def load(port: int, requests: Requests, seconds: float, *, start: int = 0, connections: int = CONNECTIONS) -> Load:
    """Sends `requests` from the number `start` on, from the first again after the last."""
    command = [
        "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", f"--timeout={TIMEOUT_SECONDS}s",
        "-s", str(SCRIPT), f"http://127.0.0.1:{port}/webhook",
        "--", str(requests.path), str(requests.length), str(start % requests.count),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"wrk ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return parse(done.stdout)


def parse(printed: str) -> Load:
    """wrk 4's summary. BenchError when it is none."""
    requests = re.search(r"(\d+) requests in ", printed)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    if not requests or not rate:
        raise BenchError(f"wrk printed no summary: {printed!r}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", printed)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", printed)
    failed = sum(int(number) for found in (refused, broken) if found for number in found.groups())
    return Load(int(requests[1]), float(rate[1]), failed)
