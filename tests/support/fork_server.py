"""`python -m` processes as forks of one process that has imported every command of `leadstream`.

A new interpreter needs one to two seconds of processor time to import a service, and the tests start hundreds of them.
A fork has its own process id, environment, working directory, standard streams and signals, and runs its module as
`python -m` does.
`tests/unit/cli/test_cli.py`, the workers of the receiver and the demo start new interpreters.

`python -m tests.support.fork_server FD` is the server; FD is its end of a socket pair. It ends with the test process.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.cli import main as cli

MAX_REQUEST_BYTES = 200_000


class Fork:
    """A forked process, with the part of the interface of `subprocess.Popen` that the tests use."""

    def __init__(self, status: socket.socket) -> None:
        self._status = status
        weakref.finalize(self, status.close)
        self.pid = int(status.recv(16))

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """The message with the exit status stays in the socket, so that any thread can read it at any time."""
        self._status.settimeout(timeout)
        try:
            return int(self._status.recv(16, socket.MSG_PEEK))
        except (TimeoutError, BlockingIOError):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The server as the test process sees it."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())], env=env,
                cwd=Path(__file__).parents[2], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip

    def start(self, command: Sequence[str], env: Mapping[str, str], folder: Path, stdin: int, stdout: int) -> Fork:
        """Run `python -m COMMAND` in `folder`. Its errors go to `stdout` as well."""
        status, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = json.dumps({"command": command, "env": dict(env), "folder": str(folder)}).encode()
        with theirs:
            socket.send_fds(self._control, [request], [theirs.fileno(), stdin, stdout])
        return Fork(status)

    def close(self) -> None:
        self._control.close()
        self._process.wait()


@functools.cache
def fork_server() -> ForkServer:
    """The server of this test process, started at first use."""
    server = ForkServer({name: value for name, value in os.environ.items() if not name.startswith("LEADSTREAM_")})
    atexit.register(server.close)
    return server


def serve(control: socket.socket) -> list[str]:
    """Fork for each request and return its command in the fork. Exit when the test process has closed `control`."""
    statuses: dict[int, socket.socket] = {}
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler is needed for the wake-up
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        readable, _, _ = select.select([control, woken], [], [])
        if woken in readable:
            woken.recv(4096)
            report_exits(statuses)
        if control in readable:
            request, fds, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, 3)
            if not request:
                sys.exit()
            status = socket.socket(fileno=fds[0])
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                for each in (control, woken, waker, status, *statuses.values()):
                    each.close()
                return become(fds[1], fds[2], **json.loads(request))
            os.close(fds[1])
            os.close(fds[2])
            statuses[pid] = status
            status.send(str(pid).encode())


def report_exits(statuses: dict[int, socket.socket]) -> None:
    """Send each exit status, negative for a signal, and forget the process."""
    while statuses:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with statuses.pop(pid) as waiting:
            waiting.send(str(os.waitstatus_to_exitcode(status)).encode())


def become(stdin: int, stdout: int, command: list[str], env: dict[str, str], folder: str) -> list[str]:
    """Give this process what a new one would have been started with, and return `command`."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for source, target in ((stdin, 0), (stdout, 1), (stdout, 2)):
        os.dup2(source, target)
    os.close(stdin)
    os.close(stdout)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    return command


if __name__ == "__main__":
    for name in cli.COMMANDS:
        cli.Commands(name="leadstream").get_command(None, name)
    module, *sys.argv[1:] = serve(socket.socket(fileno=int(sys.argv[1])))
    sys.modules.pop(module, None)  # it becomes `__main__`
    runpy.run_module(module, run_name="__main__", alter_sys=True)
