"""The simulator's composition root: a Graph API over a generated corpus, and webhooks about what changes in it."""

from __future__ import annotations

import asyncio
import json
import random

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

APP_SECRET = "simulated-app-secret"  # noqa: S105
VERIFY_TOKEN = "simulated-verify-token"  # noqa: S105


async def simulate(host: str, port: int, seed: int, callback: str, latency_ms: int, stop: asyncio.Event) -> None:
    """Serve until `stop`. Prints one line of JSON when it listens: the URL, the secrets and the accounts."""
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
    state = SimulatorState(corpus, random.Random(0), utc_now)  # noqa: S311
    faults, limits, connections = Faults(latency_ms=latency_ms), RateLimits(), PageConnections(state)
    api = GraphApi(state, faults, limits, APP_SECRET, connections)
    actions = ScenarioActions(state, WebhookSender(APP_SECRET, session, callback))
    app = web.Application()
    app.add_routes(ControlEndpoints(actions, faults, limits, connections, VERIFY_TOKEN).routes())
    app.add_routes(BatchEndpoint(api.handle).routes())
    app.add_routes(api.routes())
    return app


def describe(corpus: Corpus, port: int) -> dict[str, object]:
    """Return the JSON line that `leadstream simulator` prints."""
    accounts = [
        {"platform": each.platform, "id": each.id, "page_id": each.page_id, "name": each.name, "token": each.token}
        for each in corpus.accounts
    ]
    url = f"http://127.0.0.1:{port}"
    return {"graph_url": url, "app_secret": APP_SECRET, "verify_token": VERIFY_TOKEN, "accounts": accounts}
