"""`make bench`: measures the services and compares each figure with its limit, both sides in one run.

    python -m tests.bench [receiver] [--requests N] [--seconds S] [--rounds N] [--profile [singles|batches]]
    python -m tests.bench [backfill] [--messages N] [--rounds N]
    python -m tests.bench [analyzer] [--messages N] [--rounds N] [--only FIGURE] [--profile aggregate|backlog]
    python -m tests.bench [console] [--contacts N] [--rounds N]

All but the console need Java and Maven; the receiver also needs wrk. Exit status: 0 all limits are kept, 1 a limit is
missed or a figure could not be measured, 2 wrong usage, 3 a tool is missing.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.analyzer import FIGURES, measure_analyzer
from tests.bench.analyzer_profile import PROFILES, profile_analyzer
from tests.bench.backfill import measure_backfill
from tests.bench.console import measure_console
from tests.bench.figures import Bench
from tests.bench.ground import prepared
from tests.bench.judging import Measured
from tests.bench.profile import profile
from tests.bench.receiver import measure
from tests.bench.report import analyzer_method, backfill_method, console_method, machine, method, table
from tests.bench.wrk import BenchError
from tests.support.servers import local_servers

TOOLS = {"wrk": "wrk", "java": "default-jre-headless", "mvn": "maven"}
"""Commands and the Debian packages that contain them."""
NEEDED = {"backfill": ("java", "mvn"), "analyzer": ("java", "mvn"), "console": ()}


def main() -> int:
    options = _options()
    missing = [TOOLS[tool] for tool in NEEDED.get(options.of, TOOLS) if shutil.which(tool) is None]
    if missing:
        print(f"bench: install these Debian packages first: {' '.join(missing)}", file=sys.stderr)
        return 3
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the servers are stopped
    try:
        return _run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
    return 1


def _run(options: argparse.Namespace) -> int:
    print(machine(), flush=True)
    if options.profile:
        print(_profile(options))
        return 0
    measured = Measured()
    for of, measure_it in MEASURES.items():
        if options.of in {None, of}:
            measured += measure_it(options)
    print(table(measured))
    return 0 if measured.is_kept else 1


def _profile(options: argparse.Namespace) -> str:
    with _folder() as folder:
        if options.profile in PROFILES:
            with local_servers(folder / "servers") as servers:
                return profile_analyzer(Bench(servers, folder, 1, 0), options.profile)
        with prepared(folder, options.seconds, options.rounds) as ground:
            return profile(ground, options.profile)


def _receiver(options: argparse.Namespace) -> Measured:
    with _folder() as folder, prepared(folder, options.seconds, options.rounds) as ground:
        print(method(options.seconds, options.rounds), flush=True)
        return measure(ground, options.requests, _say)


def _backfill(options: argparse.Namespace) -> Measured:
    with _folder() as folder, local_servers(folder / "servers") as servers:
        print(backfill_method(options.rounds), flush=True)
        return measure_backfill(Bench(servers, folder, options.rounds, options.messages or 1_000_000), _say)


def _analyzer(options: argparse.Namespace) -> Measured:
    with _folder() as folder, local_servers(folder / "servers") as servers:
        print(analyzer_method(options.rounds), flush=True)
        bench = Bench(servers, folder, options.rounds, options.messages or 60_000)
        return measure_analyzer(bench, _say, options.only)


def _console(options: argparse.Namespace) -> Measured:
    print(console_method(options.rounds), flush=True)
    _say("console")
    return measure_console(options.contacts, options.rounds)


MEASURES = {"receiver": _receiver, "backfill": _backfill, "analyzer": _analyzer, "console": _console}


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="leadstream-bench-") as folder:
        yield Path(folder)


def _say(phase: str) -> None:
    print(f"… {phase}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("of", nargs="?", choices=tuple(MEASURES), help="service to measure (default: all)")
    parser.add_argument("--requests", type=int, default=1_000_000, help="requests for the memory figure")
    parser.add_argument(
        "--messages", type=int, help="messages for the memory figures (default: backfill 1,000,000, analyzer 60,000)"
    )
    parser.add_argument("--contacts", type=int, default=100_000, help="contacts that the console holds in memory")
    parser.add_argument("--only", choices=tuple(FIGURES), help="measure one figure of the analyzer")
    parser.add_argument("--seconds", type=float, default=5, help="seconds of one round of a comparison")
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds that count")
    parser.add_argument(
        "--profile",
        nargs="?",
        choices=("singles", "batches", *PROFILES),
        const="singles",
        help="profile instead of measuring",
    )
    options = parser.parse_args()
    if options.only and options.of != "analyzer":
        parser.error("--only works with the analyzer only")
    return options


if __name__ == "__main__":
    sys.exit(main())
