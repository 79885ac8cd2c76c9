"""Events a second, decoded and validated: our consumer against others, with the same topic and decoder."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from tests.bench.analyzer_events import Traffic
from tests.bench.analyzer_ground import Site, site
from tests.bench.figures import Bench
from tests.bench.ground import Rate, alternate
from tests.bench.judging import Figure, Measured, at_least
from tests.bench.wrk import BenchError
from tests.support.processes import with_settings
from tests.support.servers import ROOT

TRAFFIC = Traffic(conversations=15_000, messages=10)
COMPARED: Mapping[str, tuple[str, int, float]] = {
    "faststream": ("FastStream one by one", 50_000, 3),
    "faust": ("Faust", 30_000, 5),
    "faststream-batch": ("FastStream in batches", 150_000, 1),
}
"""Name, number of events, and the least factor by which ours must be faster."""
OURS = 150_000
PYTHON = ROOT / ".venv-bench" / "bin" / "python"
LIMIT_SECONDS = 120


def decoding(bench: Bench) -> Measured:
    if not PYTHON.exists():
        raise BenchError(f"no {PYTHON}: `make bench-analyzer` makes it")
    of = site(bench.servers, bench.folder, "decode")
    asyncio.run(of.publish(TRAFFIC.drafts()))
    readers = {"ours": Reader(of, "ours", OURS)}
    readers |= {name: Reader(of, name, records) for name, (_, records, _) in COMPARED.items()}
    ours, *others = alternate({_title(name): reader.rate for name, reader in readers.items()}, bench.rounds)
    figures = tuple(
        Figure(f"decode only: ours / {title}", ours.median / other.median, at_least(bound))
        for (title, _, bound), other in zip(COMPARED.values(), others, strict=True)
    )
    return Measured((ours, *others), figures)


def _title(name: str) -> str:
    return COMPARED[name][0] if name in COMPARED else "decode only, events/s"


@dataclass(slots=True)
class Reader:
    """One of `tests.bench.consumers`, each round in a new process and consumer group."""

    of: Site
    name: str
    records: int
    turn: int = 0

    def rate(self) -> Rate:
        """Return the rate. BenchError when the process failed, rejected an event or did not end."""
        self.turn += 1
        group = f"{self.of.name}.{self.name}.{self.turn}"
        told = self._said(self.of.servers.kafka, self.of.topics.message_events, group, str(self.records))
        if told["dead"]:
            raise BenchError(f"{self.name} took {told['dead']} events to be none")
        return Rate(told["records"] / told["seconds"], told["cpu"] * 1e6 / told["records"])

    def _said(self, *arguments: str) -> dict[str, float]:
        command = [str(PYTHON), "-m", "tests.bench.consumers", self.name, *arguments]
        env = {**with_settings({}), "PYTHONPATH": str(ROOT)}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=env, timeout=LIMIT_SECONDS
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.name} had not read its events in {LIMIT_SECONDS} s") from None
        if done.returncode:
            raise BenchError(f"{self.name} ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return found
