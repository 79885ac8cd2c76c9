"""`leadstream demo`: runs the whole system on one machine, from a history of conversations to live contacts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from aiohttp import ClientConnectionError, ClientSession
from cryptography.fernet import Fernet
from rich.console import Console

from services.demo.checks import Check, backfill_checks, equal, version_checks
from services.demo.display import addresses_table, checks_table, contacts_table
from services.demo.observed_state import ObservedState
from services.demo.processes import ChildFailedError, process, run_to_end
from services.demo.scenario import SCENES, Scene, SceneOutcome
from services.demo.servers import embedded_servers, free_port
from shared.bus.connection import KafkaConnection
from shared.bus.producer import Topics
from shared.runtime.clock import utc_now
from shared.store.mongo import open_database

WAIT_TIMEOUT_SECONDS, SCENE_TIMEOUT_SECONDS = 60, 15
TERMINATION_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""SIGHUP is sent when the terminal closes; the demo's processes must not outlive it."""
PIPELINE = "Sales"
RECEIVER = "receiver"
SERVICES = (
    (RECEIVER, "receiver"),
    ("analyzer", "analyzer"),
    ("worker", "backfill", "worker"),
    ("console", "console"),
)
Value = TypeVar("Value")


def demo(
    leave: Annotated[
        bool, typer.Option("--exit", help="Exit after the last scene, with status 0 only if every check passed.")
    ] = False,
) -> None:
    """Run the whole system here: two accounts' conversations become contacts, then live webhooks change them."""
    console = Console(highlight=False)
    try:
        passed = asyncio.run(_play(console, leave=leave))
    except ChildFailedError as error:
        console.print(f"[bold red]{error}[/]", markup=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        passed = True
    except asyncio.CancelledError:
        passed = False
    raise typer.Exit(0 if passed else 1)


async def _play(console: Console, *, leave: bool) -> bool:
    playing = asyncio.current_task()
    for number in TERMINATION_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, playing.cancel if playing else sys.exit)
    with tempfile.TemporaryDirectory(prefix="leadstream-demo-") as temporary:
        async with _start(console, Path(temporary)) as running:
            checks, scenes_passed = await _backfill(console, running), await _live(console, running)
            checks += await _version_checks(running)
            console.print(contacts_table(await running.observed.contacts(), utc_now()))
            console.print()
            console.print(checks_table(checks))
            passed = scenes_passed and all(check.passed for check in checks)
            console.print("\n[bold green]All checks passed.[/]" if passed else "\n[bold red]Some checks failed.[/]")
            if not leave:
                await _until_interrupted(console, running)
            return passed


@dataclass(frozen=True, slots=True)
class RunningDemo:
    """The running processes: their environment, and how to act on them and read their results."""

    env: dict[str, str]
    simulator: dict[str, Any]
    observed: ObservedState
    session: ClientSession
    analyst: str

    @property
    def console_url(self) -> str:
        return f"http://127.0.0.1:{self.env['LEADSTREAM_CONSOLE_PORT']}"

    async def act(self, **action: object) -> dict[str, Any]:
        async with self.session.post(f"{self.simulator['graph_url']}/_simulator/act", json=action) as response:
            result: dict[str, Any] = await response.json()
            return result


@asynccontextmanager
async def _start(console: Console, folder: Path) -> AsyncIterator[RunningDemo]:
    async with AsyncExitStack() as stack:
        with console.status("starting a broker, a database and Leadstream …"):
            kafka, mongo = await stack.enter_async_context(embedded_servers(folder))
            env, metrics_port = _environment(kafka, mongo, folder), str(free_port())
            env["LEADSTREAM_CONSOLE_RECEIVER_URL"] = f"http://127.0.0.1:{metrics_port}"
            log = await stack.enter_async_context(process("simulator", "simulator", env=env, folder=folder))
            simulator = json.loads(await _first_line(log))
            env["LEADSTREAM_GRAPH_URL"] = simulator["graph_url"]
            env["LEADSTREAM_APP_SECRETS"] = simulator["app_secret"]
            env["LEADSTREAM_VERIFY_TOKEN"] = simulator["verify_token"]
            await run_to_end("setup", env=env)
            for name, *command in SERVICES:
                more = {"LEADSTREAM_METRICS_PORT": metrics_port} if name == RECEIVER else {}
                await stack.enter_async_context(process(name, *command, env=env | more, folder=folder))
            database = await stack.enter_async_context(open_database(mongo))
            session = await stack.enter_async_context(ClientSession())
            observed = ObservedState(database, KafkaConnection(kafka), Topics().contact_updated)
            running = RunningDemo(env, simulator, observed, session, _analyst(env))
            await _subscribe(running)
            await _eventually(lambda: _is_served(session, running.console_url), bool)
        yield running


def _analyst(env: dict[str, str]) -> str:
    if endpoint := env.get("LEADSTREAM_AI_ENDPOINT"):
        return endpoint
    return "Gemini" if env.get("LEADSTREAM_GEMINI_API_KEYS") else "the fallback scorer (no AI is set)"


def _environment(kafka: str, mongo: str, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "LEADSTREAM_MONGO_URL": mongo,
        "LEADSTREAM_TOPIC_PREFIX": "",
        "LEADSTREAM_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "LEADSTREAM_RECEIVER_HOST": "127.0.0.1",
        "LEADSTREAM_RECEIVER_PORT": str(free_port()),
        "LEADSTREAM_CONSOLE_HOST": "127.0.0.1",
        "LEADSTREAM_CONSOLE_PORT": str(free_port()),
        "LEADSTREAM_SPOOL_DIR": str(folder / "spool"),
        "LEADSTREAM_QUIET_SECONDS": "0.3",
        "LEADSTREAM_MAX_WAIT_SECONDS": "2",
        "PYTHONUNBUFFERED": "1",
    }


async def _first_line(log: Path) -> str:
    found = await _eventually(lambda: asyncio.to_thread(log.read_text), lambda text: "\n" in text)
    return found.splitlines()[0]


async def _subscribe(running: RunningDemo) -> None:
    """Set the callback, as in the app dashboard: it must echo the challenge."""
    callback = f"http://127.0.0.1:{running.env['LEADSTREAM_RECEIVER_PORT']}/webhook"

    async def configure() -> int:
        url = f"{running.simulator['graph_url']}/_simulator/configure"
        async with running.session.post(url, json={"callback": callback}) as response:
            return response.status

    await _eventually(configure, lambda status: status == 200)


async def _is_served(session: ClientSession, address: str) -> bool:
    """Return whether the console responds, so that its address works as soon as it is printed."""
    try:
        async with session.get(f"{address}/live") as response:
            return response.ok
    except ClientConnectionError:
        return False


async def _backfill(console: Console, running: RunningDemo) -> list[Check]:
    console.print(f"[bold]Console[/]   {running.console_url} (open it to watch)\n")
    console.print(f"[bold]Backfill[/]  2 accounts, analysed by {running.analyst}")
    for account in running.simulator["accounts"]:
        arguments = ["--name", account["name"], "--page", account["page_id"]]
        arguments += ["--pipeline", PIPELINE, "--mode", "UPDATE_EXISTING"]
        await run_to_end(
            "accounts", "add", account["platform"], account["id"], *arguments, env=running.env, stdin=account["token"]
        )
    await run_to_end("backfill", "run", env=running.env, show=True)
    with console.status("analysing …"):
        await _eventually(running.observed.is_settled, bool)
        first = await running.observed.backfilled()
        before = {contact.contact_id: contact.version for contact in first.contacts}
        await run_to_end("backfill", "run", env=running.env)
        await _eventually(running.observed.is_settled, bool)
        after = {contact.contact_id: contact.version for contact in await running.observed.contacts()}
    added = sum(after.values()) - sum(before.values())
    return [*backfill_checks(first), equal("versions added by a second backfill", "–", 0, added)]


async def _live(console: Console, running: RunningDemo) -> bool:
    """Play the scenes and print each outcome. Returns whether all passed."""
    console.print("\n[bold]Live[/]      signed webhooks change contacts")
    all_passed = True
    for scene in SCENES:
        with console.status(scene.title):
            outcome = await _play_scene(running, scene)
        passed = scene.passed(outcome)
        all_passed = all_passed and passed
        mark, expected = ("[green]✓[/]", "") if passed else ("[bold red]✗[/]", f" (expected: {scene.expected})")
        console.print(f"  {mark} {scene.title}: ", scene.describe(outcome), expected, sep="")
    console.print()
    return all_passed


async def _play_scene(running: RunningDemo, scene: Scene) -> SceneOutcome:
    """Play a scene and wait until it passed. Returns the last outcome seen, also after the timeout."""
    known = {contact.contact_id: contact for contact in await running.observed.contacts()}
    contact_id, statuses = await scene.play(running.act)

    async def observe() -> SceneOutcome:
        return SceneOutcome(
            before=known.get(contact_id),
            after=await running.observed.contact(contact_id),
            statuses=statuses,
            texts=await running.observed.texts(contact_id),
            deleted_messages=await running.observed.deleted_messages(contact_id),
        )

    try:
        return await _eventually(observe, scene.passed, SCENE_TIMEOUT_SECONDS)
    except TimeoutError:
        return await observe()


async def _version_checks(running: RunningDemo) -> list[Check]:
    await _eventually(running.observed.is_settled, bool)
    return version_checks(await running.observed.published(), await running.observed.contacts())


async def _until_interrupted(console: Console, running: RunningDemo) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, *TERMINATION_SIGNALS):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    addresses = {
        "console": running.console_url,
        "webhooks": f"http://127.0.0.1:{running.env['LEADSTREAM_RECEIVER_PORT']}/webhook",
        "Graph API": f"{running.simulator['graph_url']}, simulated",
    }
    console.print()
    console.print(addresses_table(addresses))
    console.print("\nPress Ctrl-C to stop everything and delete its data.")
    await stop.wait()


async def _eventually(
    read: Callable[[], Awaitable[Value]], holds: Callable[[Value], object], seconds: float = WAIT_TIMEOUT_SECONDS
) -> Value:
    """Return the first value that `holds`. TimeoutError when there is none in time."""
    async with asyncio.timeout(seconds):
        while True:
            value = await read()
            if holds(value):
                return value
            await asyncio.sleep(0.05)
