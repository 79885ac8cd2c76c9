"""`leadstream demo`: the whole system on one machine, from a history of conversations to live contacts."""

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

from services.demo import scenario as story
from services.demo.checks import Check, backfill_checks, equal, version_checks
from services.demo.display import addresses_table, checks_table, contacts_table
from services.demo.observed_state import ObservedState
from services.demo.processes import ChildFailedError, run_to_end, running
from services.demo.servers import embedded_servers, free_port
from shared.bus.producer import Topics
from shared.runtime.clock import utc_now
from shared.store.mongo import open_database

WAIT_TIMEOUT_SECONDS = 60
TERMINATION_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""SIGHUP is the terminal that was closed: what the demo started would outlive it."""
PIPELINE = "Sales"
SERVICES = (
    ("receiver", "receiver"),
    ("analyzer", "analyzer"),
    ("worker", "backfill", "worker"),
    ("console", "console"),
)
Value = TypeVar("Value")


def demo(
    leave: Annotated[
        bool, typer.Option("--exit", help="Leave when the story is told: 0 only if every count holds.")
    ] = False,
) -> None:
    """Play the main job: two accounts' conversations become contacts, then live webhooks change them."""
    console = Console(highlight=False)
    try:
        holds = asyncio.run(_play(console, leave=leave))
    except ChildFailedError as error:
        console.print(f"[bold red]{error}[/]", markup=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        holds = True
    except asyncio.CancelledError:
        holds = False
    raise typer.Exit(0 if holds else 1)


async def _play(console: Console, *, leave: bool) -> bool:
    playing = asyncio.current_task()
    for number in TERMINATION_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, playing.cancel if playing else sys.exit)
    with tempfile.TemporaryDirectory(prefix="leadstream-demo-") as temporary:
        async with _stage(console, Path(temporary)) as stage:
            counts, scenes = await _history(console, stage), await _live(console, stage)
            counts += await _published(stage)
            console.print(contacts_table(await stage.facts.contacts(), utc_now()))
            console.print()
            console.print(checks_table(counts))
            holds = all(check.holds for check in (*counts, *scenes))
            console.print("\n[bold green]Every count holds.[/]" if holds else "\n[bold red]Some counts do not hold.[/]")
            if not leave:
                await _until_interrupted(console, stage)
            return holds


@dataclass(frozen=True, slots=True)
class RunningDemo:
    """Everything that runs: how to call it and where it says what it does."""

    env: dict[str, str]
    simulator: dict[str, Any]
    facts: ObservedState
    session: ClientSession
    analyst: str

    @property
    def console(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.env['LEADSTREAM_CONSOLE_PORT']}"

    async def act(self, **what: object) -> dict[str, Any]:
        async with self.session.post(f"{self.simulator['graph_url']}/_simulator/act", json=what) as answer:
            done: dict[str, Any] = await answer.json()
            return done


@asynccontextmanager
async def _stage(console: Console, folder: Path) -> AsyncIterator[RunningDemo]:
    async with AsyncExitStack() as stack:
        with console.status("starting a broker and a database …"):
            kafka, mongo = await stack.enter_async_context(embedded_servers(folder))
            env = _environment(kafka, mongo, free_port(), free_port(), folder)
            log = await stack.enter_async_context(running("simulator", "simulator", env=env, folder=folder))
            simulator = json.loads(await _first_line(log))
            env["LEADSTREAM_GRAPH_URL"] = simulator["graph_url"]
            env["LEADSTREAM_APP_SECRETS"] = simulator["app_secret"]
            env["LEADSTREAM_VERIFY_TOKEN"] = simulator["verify_token"]
            await run_to_end("setup", env=env)
            for name, *command in SERVICES:
                await stack.enter_async_context(running(name, *command, env=env, folder=folder))
            database = await stack.enter_async_context(open_database(mongo))
            session = await stack.enter_async_context(ClientSession())
            facts = ObservedState(database, kafka, Topics().contact_updated)
            analyst = "Gemini" if env.get("LEADSTREAM_GEMINI_API_KEYS") else "the fallback scorer (no GEMINI_API_KEYS)"
            stage = RunningDemo(env, simulator, facts, session, analyst)
            await _subscribe(stage)
            await _eventually(lambda: _is_served(session, stage.console), bool)
        yield stage


def _environment(kafka: str, mongo: str, receiver_port: int, console_port: int, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "LEADSTREAM_MONGO_URL": mongo,
        "LEADSTREAM_TOPIC_PREFIX": "",
        "LEADSTREAM_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "LEADSTREAM_RECEIVER_HOST": "127.0.0.1",
        "LEADSTREAM_RECEIVER_PORT": str(receiver_port),
        "LEADSTREAM_CONSOLE_HOST": "127.0.0.1",
        "LEADSTREAM_CONSOLE_PORT": str(console_port),
        "LEADSTREAM_CONSOLE_RECEIVER_URL": f"http://127.0.0.1:{receiver_port}",
        "LEADSTREAM_SPOOL_DIR": str(folder / "spool"),
        "LEADSTREAM_QUIET_SECONDS": "0.3",
        "LEADSTREAM_MAX_WAIT_SECONDS": "2",
        "PYTHONUNBUFFERED": "1",
    }


async def _first_line(log: Path) -> str:
    found = await _eventually(lambda: asyncio.to_thread(log.read_text), lambda text: "\n" in text)
    return found.splitlines()[0]


async def _subscribe(stage: RunningDemo) -> None:
    """As the app dashboard does: the callback is taken once it has echoed the challenge."""
    callback = f"http://127.0.0.1:{stage.env['LEADSTREAM_RECEIVER_PORT']}/webhook"

    async def configure() -> int:
        url = f"{stage.simulator['graph_url']}/_simulator/configure"
        async with stage.session.post(url, json={"callback": callback}) as answer:
            return answer.status

    await _eventually(configure, lambda status: status == 200)


async def _is_served(session: ClientSession, address: str) -> bool:
    """Whoever opens an address as soon as it is printed finds a page there."""
    try:
        async with session.get(f"{address}/live") as answer:
            return answer.ok
    except ClientConnectionError:
        return False


async def _history(console: Console, stage: RunningDemo) -> list[Check]:
    console.print(f"[bold]Watch it[/]  in the console, {stage.console}\n")
    console.print(f"[bold]History[/]  analysed by {stage.analyst}")
    for account in stage.simulator["accounts"]:
        arguments = ["--name", account["name"], "--page", account["page_id"]]
        arguments += ["--pipeline", PIPELINE, "--mode", "UPDATE_EXISTING"]
        await run_to_end(
            "accounts", "add", account["platform"], account["id"], *arguments, env=stage.env, stdin=account["token"]
        )
    await run_to_end("backfill", "run", env=stage.env, show=True)
    with console.status("analysing …"):
        await _eventually(stage.facts.is_settled, bool)
        first = await stage.facts.backfilled()
        before = {contact.contact_id: contact.version for contact in first.contacts}
        await run_to_end("backfill", "run", env=stage.env)
        await _eventually(stage.facts.is_settled, bool)
        after = {contact.contact_id: contact.version for contact in await stage.facts.contacts()}
    again = equal("versions added by a second backfill", "–", 0, sum(after.values()) - sum(before.values()))
    return [*backfill_checks(first), again]


async def _live(console: Console, stage: RunningDemo) -> list[Check]:
    console.print("\n[bold]Live[/]  webhooks, signed as Facebook signs them")
    checks = []
    for scene in story.SCENES:
        with console.status(scene.title):
            outcome = await _play_scene(stage, scene)
        checks.append(story.check(scene, outcome))
        mark = "[green]✓[/]" if checks[-1].holds else "[bold red]✗[/]"
        console.print(f"  {mark} {scene.title}: ", scene.happened(outcome), sep="")
    console.print()
    return checks


async def _play_scene(stage: RunningDemo, scene: story.Scene) -> story.SceneOutcome:
    """Waits for the scene's outcome, and gives the last one seen when it does not come."""
    known = {contact.contact_id: contact for contact in await stage.facts.contacts()}
    contact_id, statuses = await scene.play(stage.act)

    async def look() -> story.SceneOutcome:
        facts = stage.facts
        after, texts, unsent = (
            await facts.contact(contact_id),
            await facts.texts(contact_id),
            await facts.unsent(contact_id),
        )
        return story.SceneOutcome(known.get(contact_id), after, statuses, texts, unsent)

    try:
        return await _eventually(look, scene.holds, 15)
    except TimeoutError:
        return await look()


async def _published(stage: RunningDemo) -> list[Check]:
    await _eventually(stage.facts.is_settled, bool)
    return version_checks(await stage.facts.published(), await stage.facts.contacts())


async def _until_interrupted(console: Console, stage: RunningDemo) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, *TERMINATION_SIGNALS):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    where = {
        "console": stage.console,
        "webhooks": f"http://127.0.0.1:{stage.env['LEADSTREAM_RECEIVER_PORT']}/webhook",
        "Graph API": f"{stage.simulator['graph_url']}, simulated",
    }
    console.print()
    console.print(addresses_table(where))
    console.print("\nCtrl-C ends everything and leaves nothing behind.")
    await stop.wait()


async def _eventually(
    read: Callable[[], Awaitable[Value]], holds: Callable[[Value], object], seconds: float = WAIT_TIMEOUT_SECONDS
) -> Value:
    """TimeoutError when it does not come true in time."""
    async with asyncio.timeout(seconds):
        while True:
            value = await read()
            if holds(value):
                return value
            await asyncio.sleep(0.05)
