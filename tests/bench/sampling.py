"""A sampling profiler inside a process: `python -m tests.bench.sampling FILE ARGS` runs `leadstream ARGS`.

SIGUSR2 starts it; a second one stops it and writes FILE: `cpu_seconds` of the process and `samples` by location. It
samples by processor time (SIGPROF), which slows all code equally, where cProfile adds a microsecond to each call and
so overstates functions that are called often.

A Python signal handler runs between two Python instructions, so time in C is attributed to the next instruction. That
is in the function that called C, except at the beginning of a function, where the time is the caller's, and after an
`await`, where it is the event loop's, with its sockets and HTTP parser.
"""

from __future__ import annotations

import dis
import json
import signal
import sys
import time
from asyncio import Runner
from collections import Counter
from pathlib import Path
from types import FrameType

from services.cli.main import main

PERIOD_SECONDS = 0.001
"""The kernel rounds this up to its tick, 4 ms on most systems."""
_RESUME, _SEND = dis.opmap["RESUME"], dis.opmap["SEND"]


class Sampler:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._samples: Counter[str] = Counter()
        self._started_at: float | None = None

    def toggle(self, _number: int, _frame: FrameType | None) -> None:
        if self._started_at is None:
            self._started_at = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, PERIOD_SECONDS, PERIOD_SECONDS)
            return
        signal.setitimer(signal.ITIMER_PROF, 0)
        spent = time.process_time() - self._started_at
        written = self._file.with_suffix(".new")
        written.write_text(json.dumps({"cpu_seconds": spent, "samples": self._samples}))
        written.rename(self._file)

    def sample(self, _number: int, frame: FrameType | None) -> None:
        self._samples[place_of(frame)] += 1


def place_of(frame: FrameType | None) -> str:
    """Return `package/file:function` of the sampled frame."""
    if frame is not None and _instruction(frame)[0] == _RESUME:
        _, after_await = _instruction(frame)
        frame = frame.f_back
        while after_await and frame is not None and _instruction(frame)[0] == _SEND:
            frame = frame.f_back
    if frame is None or frame.f_code is Runner.run.__code__:
        return "event loop/sockets, HTTP parser in C"
    code = frame.f_code
    return f"{_short(code.co_filename)}:{code.co_qualname}"


def _short(file: str) -> str:
    """Return the path from the package on for a library, else folder and file."""
    _, installed, inside = file.rpartition("site-packages/")
    return inside if installed else "/".join(Path(file).parts[-2:])


def _instruction(frame: FrameType) -> tuple[int, int]:
    """Return opcode and argument: 0 for a RESUME at the beginning of a function."""
    code = frame.f_code.co_code
    return code[frame.f_lasti], code[frame.f_lasti + 1] & 3


if __name__ == "__main__":
    sampler = Sampler(Path(sys.argv[1]))
    signal.signal(signal.SIGUSR2, sampler.toggle)
    signal.signal(signal.SIGPROF, sampler.sample)
    sys.argv[1:] = sys.argv[2:]
    main()
