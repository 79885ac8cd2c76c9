"""`python -m tests.support.dying_backfill STEP N GATE`: `leadstream backfill worker` that kills itself at a step.

It dies by SIGKILL at its N-th passing of STEP, and says so as its last words. It reads nothing of its run before the
file GATE is there, so that all who are to die have a run of their own by then. Nothing else is different from the real
one.
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
