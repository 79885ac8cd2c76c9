"""`leadstream simulator`: the simulator's composition root."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Annotated

import typer
from aiohttp import ClientSession, web

from services.simulator.batch import BatchEndpoint
from services.simulator.connections import PageConnections
from services.simulator.control import ControlEndpoints
from services.simulator.corpus import Corpus, generate
from services.simulator.faults import Faults
from services.simulator.graph_api import GraphApi
from services.simulator.rate_limits import RateLimits
from services.simulator.scenario_actions import ScenarioActions
from services.simulator.state import SimulatorState
from services.simulator.webhooks import WebhookSender
from shared.runtime.clock import utc_now
from shared.runtime.service import run_service
from shared.runtime.settings import Settings

APP_SECRET = "simulated-app-secret"  # noqa: S105
VERIFY_TOKEN = "simulated-verify-token"  # noqa: S105


def simulator(
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on; in a container 0.0.0.0.")] = "127.0.0.1",
    seed: Annotated[int, typer.Option(help="The corpus is made from it.")] = 7,
    callback: Annotated[str, typer.Option(help="Where webhooks are sent; it can be set later as well.")] = "",
    latency_ms: Annotated[int, typer.Option(min=0, help="How long every answer takes.")] = 0,
) -> None:
    """Stand in for Facebook: a Graph API over a seeded corpus, and signed webhooks on demand."""
    run_service(Settings(), lambda stop: run(host, port, seed, callback, latency_ms, stop))


async def run(host: str, port: int, seed: int, callback: str, latency_ms: int, stop: asyncio.Event) -> None:
    """Serves until `stop` and prints one JSON line when it does."""
    corpus = generate(seed, utc_now().replace(second=0, microsecond=0))
    async with ClientSession() as session:
        app = create_app(corpus, session, callback, latency_ms)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await _listen(runner, host, port)
            print(json.dumps(describe(corpus, runner.addresses[0][1])), flush=True)
            await stop.wait()
        finally:
            await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise SystemExit(f"leadstream: cannot serve on {host}:{port}: {error.strerror}") from None


def create_app(corpus: Corpus, session: ClientSession, callback: str = "", latency_ms: int = 0) -> web.Application:
    state, faults, limits = (
        SimulatorState(corpus, random.Random(0), utc_now),
        Faults(latency_ms=latency_ms),
        RateLimits(),
    )
    connections = PageConnections(state)
    api = GraphApi(state, faults, limits, APP_SECRET, connections)
    actions = ScenarioActions(state, WebhookSender(APP_SECRET, session, callback))
    app = web.Application()
    app.add_routes(ControlEndpoints(actions, faults, limits, connections, VERIFY_TOKEN).routes())
    app.add_routes(BatchEndpoint(api.handle).routes())
    app.add_routes(api.routes())
    return app


def describe(corpus: Corpus, port: int) -> dict[str, object]:
    accounts = [
        {"platform": each.platform, "id": each.id, "page_id": each.page_id, "name": each.name, "token": each.token}
        for each in corpus.accounts
    ]
    url = f"http://127.0.0.1:{port}"
    return {"graph_url": url, "app_secret": APP_SECRET, "verify_token": VERIFY_TOKEN, "accounts": accounts}
