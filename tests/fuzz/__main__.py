"""`python -m tests.fuzz [TARGET …] [--seconds N]`: fuzzes by coverage and prints where failing inputs are.

Inputs stay in `.fuzz/`, so that each run continues from the last.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.seeds import FUZZED, PAYLOADS, dictionary, keys_of, seed_values

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / ".fuzz"
TARGETS = ("signature", "parse", "normalise")
MAX_BYTES, MAX_SECONDS, MAX_MB = 16_384, 10, 2_048
"""Limits for one input: its length, its time, and the memory of the process."""
EXIT_USAGE = 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)}; all of them by default")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    chosen = parser.parse_args()
    unknown = set(chosen.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if find_spec("atheris") is None:
        print("atheris supports only CPython 3.11 to 3.14 on Linux x86-64", file=sys.stderr)
        return EXIT_USAGE
    failed = [target for target in chosen.targets or TARGETS if run(target, chosen.seconds) != 0]
    for target in failed:
        print(f"{target} failed; the input is in {FOLDER}/crashes: move it to {FUZZED}", file=sys.stderr)
    return 1 if failed else 0


def run(target: str, seconds: int) -> int:
    """One target until the time is over or an input fails."""
    corpus, crashes, words = FOLDER / "corpus" / target, FOLDER / "crashes", FOLDER / "keys.dict"
    for folder in (corpus, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    words.write_text(dictionary(keys_of(seed_values())))
    seeds = [] if target == "signature" else [str(PAYLOADS / "webhook"), str(FUZZED)]
    limits = {"max_total_time": seconds, "max_len": MAX_BYTES, "timeout": MAX_SECONDS, "rss_limit_mb": MAX_MB}
    options = [f"-{name}={value}" for name, value in {**limits, "dict": words, "print_final_stats": 1}.items()]
    command = [sys.executable, "-m", f"tests.fuzz.{target}", str(corpus), *seeds, *options]
    return subprocess.run([*command, f"-artifact_prefix={crashes}/{target}-"], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
