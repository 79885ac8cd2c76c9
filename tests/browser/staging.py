"""Runs the whole of Leadstream for a browser, with the demo's accounts and corpus."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from services.demo.servers import embedded_servers, free_port
from shared.runtime.crypto import webhook_signature
from tests.support.processes import Leadstream

EDITOR, VIEWER = "an editor's password", "a viewer's password"
HOST = "http://127.0.0.1"


@dataclass(frozen=True, slots=True)
class Staged:
    """`console` is open, `guarded` needs a password."""

    console: str
    guarded: str
    receiver: str
    simulator: dict[str, Any]
    start: Callable[..., Leadstream]

    async def history_is_read(self) -> None:
        accounts = self.simulator["accounts"]
        reading = [self.start("backfill", "run", each["platform"], each["id"]) for each in accounts]
        assert [await asyncio.to_thread(each.wait, 120) for each in reading] == [0] * len(accounts)

    async def act(self, **what: object) -> dict[str, Any]:
        """Let a customer act; the simulator sends the webhook."""
        done: dict[str, Any] = await self.simulate("act", what)
        return done

    async def simulate(self, what: str, body: object) -> Any:
        """Call one of the simulator's own edges: `act`, `configure` or `faults`."""
        url = f"{self.simulator['graph_url']}/_simulator/{what}"
        return json.loads(await asyncio.to_thread(_post, url, json.dumps(body).encode()))

    async def receive(self, body: bytes) -> None:
        """Send a webhook with this body, signed as Facebook signs it."""
        signed = {"X-Hub-Signature-256": webhook_signature(self.simulator["app_secret"], body)}
        await asyncio.to_thread(_post, f"{self.receiver}/webhook", body, signed)


def _post(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request) as answer:
        content: bytes = answer.read()
        return content


@asynccontextmanager
async def site_in(folder: Path) -> AsyncIterator[Staged]:
    """A site whose accounts receive webhooks; their history is not read yet."""
    async with embedded_servers(folder) as (kafka, mongo):
        env = {
            "LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "LEADSTREAM_MONGO_URL": mongo,
            "LEADSTREAM_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "LEADSTREAM_RECEIVER_HOST": "127.0.0.1",
        }
        staging = _staged(env, folder)
        made = await asyncio.to_thread(staging.__enter__)
        try:
            await made.simulate("configure", {"callback": f"{made.receiver}/webhook"})
            yield made
        finally:
            await asyncio.to_thread(staging.__exit__, None, None, None)


@contextmanager
def _staged(env: Mapping[str, str], folder: Path) -> Iterator[Staged]:
    running: list[Leadstream] = []
    receiver, operations, console, guarded = free_port(), free_port(), free_port(), free_port()
    settings = {
        **env,
        "LEADSTREAM_RECEIVER_PORT": str(receiver),
        "LEADSTREAM_CONSOLE_RECEIVER_URL": f"{HOST}:{operations}",
        "LEADSTREAM_SPOOL_DIR": str(folder / "spool"),
        "LEADSTREAM_QUIET_SECONDS": "0.3",
        "LEADSTREAM_MAX_WAIT_SECONDS": "2",
    }

    def start(*arguments: str, stdin: str | None = None, **more: str) -> Leadstream:
        log = folder / f"{len(running)}-{'-'.join(arguments[:2])}.log"
        running.append(Leadstream(arguments, {**settings, **more}, log, stdin))
        return running[-1]

    def added(account: Mapping[str, str]) -> Leadstream:
        chosen = ("--name", account["name"], "--page", account["page_id"], "--pipeline", "Sales")
        adding = ("accounts", "add", account["platform"], account["id"], *chosen, "--mode", "UPDATE_EXISTING")
        return start(*adding, stdin=account["token"])

    try:
        simulator = json.loads(start("simulator", "--port", "0").wait_for("graph_url"))
        settings |= {
            "LEADSTREAM_GRAPH_URL": simulator["graph_url"],
            "LEADSTREAM_APP_SECRETS": simulator["app_secret"],
            "LEADSTREAM_VERIFY_TOKEN": simulator["verify_token"],
        }
        assert start("setup").wait() == 0
        assert [each.wait() for each in map(added, simulator["accounts"])] == [0, 0]
        listening = start("receiver", LEADSTREAM_METRICS_PORT=str(operations))
        start("analyzer")
        start("backfill", "worker")
        passwords = {"LEADSTREAM_CONSOLE_PASSWORD": EDITOR, "LEADSTREAM_CONSOLE_VIEWER_PASSWORD": VIEWER}
        consoles = [
            start("console", LEADSTREAM_CONSOLE_PORT=str(console)),
            start("console", LEADSTREAM_CONSOLE_PORT=str(guarded), **passwords),
        ]
        for each in consoles:
            each.wait_for("console is at")
        listening.wait_for("receiver_listening")
        yield Staged(f"{HOST}:{console}", f"{HOST}:{guarded}", f"{HOST}:{receiver}", simulator, start)
    finally:
        for process in running:
            if process.process.poll() is None:
                process.terminate()
