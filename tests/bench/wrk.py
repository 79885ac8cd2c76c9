"""Load by wrk, as fast as it is answered: a connection sends its next request after the response to the last."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bench.envelopes import Requests

CONNECTIONS = 64
TIMEOUT_SECONDS = 5
"""Facebook does not wait longer for a response."""
SCRIPT = Path(__file__).parent / "requests.lua"


class BenchError(Exception):
    """A figure could not be measured; the message is one line for the user."""


@dataclass(frozen=True, slots=True)
class Load:
    """The result of a run. `failed` counts responses other than 2xx or 3xx, broken connections and time-outs of 5 s."""

    requests: int
    requests_per_second: float
    failed: int

    @property
    def seconds(self) -> float:
        return self.requests / self.requests_per_second if self.requests_per_second else 0.0


def load(port: int, requests: Requests, seconds: float, *, start: int = 0, connections: int = CONNECTIONS) -> Load:
    """Send `requests` from number `start` on; after the last comes the first again."""
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
    """Parse the summary of wrk 4. Raise BenchError if there is none."""
    requests = re.search(r"(\d+) requests in ", printed)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    if not requests or not rate:
        raise BenchError(f"wrk printed no summary: {printed!r}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", printed)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", printed)
    failed = sum(int(number) for found in (refused, broken) if found for number in found.groups())
    return Load(int(requests[1]), float(rate[1]), failed)
