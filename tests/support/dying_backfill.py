"""`python -m tests.support.dying_backfill STEP N`: `leadstream backfill worker` that kills itself at a step.

It dies by SIGKILL at its N-th passing of STEP, and says so as its last words. Nothing else is different from the real
one.
"""

from __future__ import annotations

import sys

from services import cli
from services.backfill import app
from services.backfill.history import HistoryStore
from services.backfill.runner import Runner
from tests.support.dying_receiver import Step, arm, die_at

STEPS = {
    "claimed": Step(Runner, "execute"),
    "publishing": Step(app, "publish"),
    "published": Step(app, "publish", is_after=True),
    "checkpointing": Step(HistoryStore, "checkpoint"),
    "checkpointed": Step(HistoryStore, "checkpoint", is_after=True),
    "remembering": Step(HistoryStore, "remember"),
    "remembered": Step(HistoryStore, "remember", is_after=True),
    "ending": Step(Runner, "_save"),
    "ended": Step(Runner, "_save", is_after=True),
}


def main() -> None:
    name, passing = sys.argv[1:]
    arm(STEPS[name], die_at(name, int(passing)))
    sys.argv = ["leadstream", "backfill", "worker"]
    cli.main()


if __name__ == "__main__":
    main()
