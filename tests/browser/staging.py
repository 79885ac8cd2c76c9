"""The whole of Leadstream for a browser to look at: the demo's accounts and corpus, with every service running."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.demo.servers import free_port
from tests.support.processes import Leadstream

EDITOR, VIEWER = "an editor's password", "a viewer's password"


@dataclass(frozen=True, slots=True)
class Staged:
    """`console` asks for nothing, `guarded` for a password."""

    console: str
    guarded: str
    receiver: str
    simulator: dict[str, Any]
    start: Callable[..., Leadstream]

    def history_is_read(self) -> None:
        for account in self.simulator["accounts"]:
            assert self.start("backfill", "run", account["platform"], account["id"]).wait(120) == 0


@contextmanager
def staged(env: Mapping[str, str], folder: Path) -> Iterator[Staged]:
    """Accounts are there, their history is not read yet."""
    running: list[Leadstream] = []
    receiver, console, guarded = free_port(), free_port(), free_port()
    settings = {
        **env,
        "LEADSTREAM_RECEIVER_PORT": str(receiver),
        "LEADSTREAM_CONSOLE_RECEIVER_URL": f"http://127.0.0.1:{receiver}",
        "LEADSTREAM_SPOOL_DIR": str(folder / "spool"),
        "LEADSTREAM_QUIET_SECONDS": "0.3",
        "LEADSTREAM_MAX_WAIT_SECONDS": "2",
    }

    def start(*arguments: str, stdin: str | None = None, **more: str) -> Leadstream:
        log = folder / f"{len(running)}-{'-'.join(arguments[:2])}.log"
        running.append(Leadstream(arguments, {**settings, **more}, log, stdin))
        return running[-1]

    try:
        simulator = json.loads(start("simulator", "--port", "0").wait_for("graph_url"))
        settings |= {
            "LEADSTREAM_GRAPH_URL": simulator["graph_url"],
            "LEADSTREAM_APP_SECRETS": simulator["app_secret"],
            "LEADSTREAM_VERIFY_TOKEN": simulator["verify_token"],
        }
        assert start("setup").wait() == 0
        for account in simulator["accounts"]:
            chosen = ("--name", account["name"], "--page", account["page_id"], "--pipeline", "Sales")
            adding = ("accounts", "add", account["platform"], account["id"], *chosen, "--mode", "UPDATE_EXISTING")
            assert start(*adding, stdin=account["token"]).wait() == 0
        start("receiver")
        start("analyzer")
        start("backfill", "worker")
        start("console", LEADSTREAM_CONSOLE_PORT=str(console)).wait_for("console is at")
        passwords = {"LEADSTREAM_CONSOLE_PASSWORD": EDITOR, "LEADSTREAM_CONSOLE_VIEWER_PASSWORD": VIEWER}
        start("console", LEADSTREAM_CONSOLE_PORT=str(guarded), **passwords).wait_for("console is at")
        host = "http://127.0.0.1"
        yield Staged(f"{host}:{console}", f"{host}:{guarded}", f"{host}:{receiver}", simulator, start)
    finally:
        for process in running:
            if process.process.poll() is None:
                process.terminate()
