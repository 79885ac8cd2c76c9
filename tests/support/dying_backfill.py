"""`python -m tests.support.dying_backfill STEP N GATE`: `leadstream backfill worker` that kills itself at a step.

It sends itself SIGKILL the N-th time it passes STEP, after printing so. It starts to read only when the file GATE
exists, so that every worker of the test has claimed its own run by then. Nothing else differs from the real worker.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from services.backfill import app
from services.backfill.crawl.checkpoints import CheckpointStore
from services.backfill.crawl.crawl import Crawl
from services.backfill.runs.run_executor import RunExecutor
from services.cli import main as cli
from tests.support.dying_receiver import Step, arm, die_at

STEPS = {
    "reading": Step(Crawl, "read"),
    "published": Step(app, "publish", is_after=True),
    "checkpointed": Step(CheckpointStore, "checkpoint", is_after=True),
    "remembering": Step(CheckpointStore, "remember"),
    "ending": Step(RunExecutor, "_save"),
    "ended": Step(RunExecutor, "_save", is_after=True),
}


def gate_reading(gate: Path) -> None:
    original = Crawl.read

    async def gated(self: Crawl, run_id: str) -> None:
        while not gate.exists():
            await asyncio.sleep(0.01)
        await original(self, run_id)

    Crawl.read = gated  # type: ignore[method-assign]


def main() -> None:
    name, passing, gate = sys.argv[1:]
    arm(STEPS[name], die_at(name, int(passing)))
    gate_reading(Path(gate))
    sys.argv = ["leadstream", "backfill", "worker"]
    cli.main()


if __name__ == "__main__":
    main()
