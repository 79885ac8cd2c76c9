"""The printed report: machine and method, every value, then the figures with limits."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from tests.bench.envelopes import BODY_BYTES
from tests.bench.judging import Figure, Measured, Side
from tests.bench.wrk import CONNECTIONS
from tests.support.servers import ROOT

LIBRARIES = ("aiohttp", "aiokafka", "orjson", "uvloop")


def mongo_server() -> str:
    """Return the server's name, chosen as in `deploy/local/servers`."""
    return f"SecantusDB, {Path(os.environ.get('LEADSTREAM_SECANTUSD', 'secantusd-py')).name}"


def method(seconds: float, rounds: int) -> str:
    return "\n".join(
        [
            "The receiver: one process on uvloop, all in one run, against a real broker.",
            f"wrk, 1 thread, {CONNECTIONS} connections, signed bodies of {BODY_BYTES} bytes with ids of their own.",
            f"Sides by turns (A-B-A-B), medians of {rounds} rounds of {seconds:g} s after one that is not counted.",
            "Each side: median, of all values (events a second where nothing else is said), processor time.",
        ]
    )


def backfill_method(rounds: int) -> str:
    return "\n".join(
        [
            "The backfill: each run a process of its own on uvloop, against a real broker, and the tests' MongoDB",
            f"({mongo_server()}: slower than the real one, and on the same cores).",
            f"Medians of {rounds} rounds. Pages of prepared bytes from a process of their own.",
            "The original's way is reckoned from a few conversations, with its sleeps and nothing else it did.",
        ]
    )


def analyzer_method(rounds: int) -> str:
    return "\n".join(
        [
            "The analyzer: processes on uvloop, against a real broker, and the tests' MongoDB",
            f"({mongo_server()}: slower than the real one, and on the same cores).",
            f"By turns, medians of {rounds} rounds.",
            "Decode: of one topic, nobody waits for a commit; FastStream and Faust in their leanest form.",
            "Aggregate: up to the commit; the raw loop is told what to write, and writes it in equal batches.",
            "Scorer: lines of the simulator's corpus, each with a number of its own; by processor time.",
            "Latency: from the 200 of a webhook to the record's arrival at a consumer, both in one process.",
            "Backlog: contacts on their topic; raw are bulk writes of the contacts, their activities, and what",
            "changed of their conversations. Contacts a minute: the original's way is its waiting alone.",
        ]
    )


def console_method(rounds: int) -> str:
    return "\n".join(
        [
            "The console: one process, its pages through guard, filters and template, over a socket, with the client.",
            f"{rounds * 10} of each page, of which five are shown; a change is told to pages read by another process.",
        ]
    )


def machine() -> str:
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return "\n".join(
        [
            f"{os.cpu_count()} cores ({_processor()}), load before {load}; {platform.system()} {platform.release()}",
            f"Python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
            f"Kafka {_kafka()} on {_java()}; {_wrk()}",
        ]
    )


def table(measured: Measured) -> str:
    problems = [f"not measured: {problem}" for problem in measured.problems]
    return "\n".join(["", *map(_side, measured.sides), "", *map(_figure, measured.figures), *problems])


def _side(side: Side) -> str:
    values = " ".join(map(_number, side.values))
    return f"{side.name:26} {_number(side.median):>7}  of {values}{f'   {side.note}' if side.note else ''}"


def _figure(figure: Figure) -> str:
    limit = f"{figure.limit}{f' {figure.unit}' if figure.unit else ''}"
    verdict = "kept" if figure.is_kept else "MISSED"
    return f"{figure.name:48} {_precise(figure.value):>9}   {limit:10} {verdict}"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.1f}"


def _precise(value: float) -> str:
    return f"{value:.3f}" if 0 < abs(value) < 10 else _number(value)


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _kafka() -> str:
    found = re.search(
        r"kafka_[\d.]+</artifactId>\s*<version>([^<]+)", (ROOT / "deploy" / "local" / "pom.xml").read_text()
    )
    return found[1] if found else "?"


def _java() -> str:
    return _said(["java", "-version"], r'version "([^"]+)"', "Java {}".format)


def _wrk() -> str:
    return _said(["wrk", "-v"], r"wrk (?:debian/)?(\S+)", "wrk {}".format)


def _said(command: list[str], pattern: str, shown: Callable[[str], str]) -> str:
    if shutil.which(command[0]) is None:
        return f"no {command[0]}"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(pattern, done.stdout + done.stderr)
    return shown(found[1] if found else "?")
