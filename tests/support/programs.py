"""Programs other than `leadstream` as processes under test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import Leadstream, fork, with_settings
from tests.support.servers import ROOT


class Program(Leadstream):
    """A running `python -m …`, with `before` in front of the command. Its output is in `log`."""

    def __init__(self, module: Sequence[str], env: Mapping[str, str], log: Path, before: Sequence[str] = ()) -> None:
        self.arguments = tuple(module)
        self.log = log
        if not before:
            self.process = fork(module, env, log)
            return
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", *module], env=with_settings(env) | {"PYTHONPATH": str(ROOT)},
                cwd=log.parent, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
            )  # fmt: skip


@contextmanager
def ended(programs: Sequence[Leadstream]) -> Iterator[None]:
    """Kill the programs that still run at the end of the block."""
    try:
        yield
    finally:
        for program in programs:
            if program.process.poll() is None:
                program.kill()
