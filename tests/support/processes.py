"""`leadstream` as a process under test."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.fork_server import Fork, fork_server


def with_settings(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with these settings only: the settings of the person who runs the tests are removed."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LEADSTREAM_")} | dict(settings)


def fork(command: Sequence[str], env: Mapping[str, str], log: Path, stdin: str = "") -> Fork:
    """Run `python -m COMMAND` in the folder of `log`, which gets its output."""
    with log.open("wb") as sink, tempfile.TemporaryFile() as source:
        source.write(stdin.encode())
        source.seek(0)
        return fork_server().start(command, with_settings(env), log.parent, source.fileno(), sink.fileno())


class Leadstream:
    """A running `leadstream ARGS`. Its output is in `log`."""

    def __init__(self, arguments: tuple[str, ...], env: Mapping[str, str], log: Path, stdin: str | None = None) -> None:
        self.arguments = arguments
        self.log = log
        self.process: subprocess.Popen[bytes] | Fork = fork(("services.cli.main", *arguments), env, log, stdin or "")

    @property
    def output(self) -> str:
        return self.log.read_text()

    def lines(self) -> list[str]:
        return self.output.splitlines()

    def wait(self, timeout_seconds: float = 60) -> int:
        return self.process.wait(timeout_seconds)

    def wait_for(self, text: str, timeout_seconds: float = 90) -> str:
        """Return the first line of output that contains `text`."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            for line in self.lines():
                if text in line:
                    return line
            assert self.process.poll() is None, f"{self.arguments} ended with {self.process.poll()}:\n{self.output}"
            assert time.monotonic() < deadline, f"{self.arguments} did not print {text!r}:\n{self.output}"
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill it like `kill -9`."""
        self.process.kill()
        self.process.wait()

    def terminate(self, timeout_seconds: float = 15) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_seconds)
