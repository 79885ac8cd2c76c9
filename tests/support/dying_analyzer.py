"""`python -m tests.support.dying_analyzer STEP N [stop]`: `leadstream analyzer` that kills itself at a step, or stops.

It dies by SIGKILL at its N-th passing of STEP, and says so as its last words; with `stop` it stands still (SIGSTOP)
until it is told to go on, as a process does whose machine is suspended. Its groups are small, so that a kill falls
between two of them. Nothing else is different from the real one.
"""

from __future__ import annotations

import os
import signal
import sys

from services.analyzer import app
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from services.analyzer.contact import outbox
from services.analyzer.queue import analysis_pool as pool
from services.analyzer.queue.claim_queue import ClaimQueue
from shared.runtime.service import run_service
from shared.runtime.settings import AnalyzerSettings
from shared.store.contacts import Contacts
from tests.support.dying_receiver import Act, Step, arm, die_at

STEPS = {
    "claimed": Step(ClaimQueue, "_claim", is_after=True),
    "analysing": Step(FallbackScorer, "analyse"),
    "recording": Step(Contacts, "write_all"),
    "recorded": Step(Contacts, "write_all", is_after=True),
    "publishing": Step(outbox, "publish"),
    "published": Step(outbox, "publish", is_after=True),
    "finished": Step(ClaimQueue, "finish_all", is_after=True),
}

GROUP_SIZE = 4


def stop_at(name: str) -> Act:
    """What stops this process at the first call."""
    passed = False

    def act() -> None:
        nonlocal passed
        if not passed:
            passed = True
            os.write(2, f"stops at {name}\n".encode())
            os.kill(os.getpid(), signal.SIGSTOP)

    return act


def main() -> None:
    name, passing, *stops = sys.argv[1:]
    assert pool.MAX_GROUP_SIZE > GROUP_SIZE
    pool.MAX_GROUP_SIZE = GROUP_SIZE
    arm(STEPS[name], stop_at(name) if stops else die_at(name, int(passing)))
    settings = AnalyzerSettings()
    run_service(settings, lambda stop: app.run(settings, stop))


if __name__ == "__main__":
    main()
