"""`/live`, `/ready` and `/metrics` of a service without another HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from shared.runtime.metrics import Metrics

Probe = Callable[[], Awaitable[bool]]


def metrics_response(metrics: Metrics) -> web.Response:
    body, content_type = metrics.render()
    return web.Response(body=body, headers={"Content-Type": content_type})


def probe_routes(is_ready: Probe) -> list[web.RouteDef]:
    """Return `/live` and `/ready`, which answers 503 while `is_ready` returns False."""

    async def live(_request: web.Request) -> web.Response:
        return web.Response(text="live")

    async def ready(_request: web.Request) -> web.Response:
        return web.Response(text="ready") if await is_ready() else web.Response(status=503, text="not ready")

    return [web.get("/live", live), web.get("/ready", ready)]


def health_app(metrics: Metrics, is_ready: Probe) -> web.Application:
    async def page(_request: web.Request) -> web.Response:
        return metrics_response(metrics)

    app = web.Application()
    app.add_routes([*probe_routes(is_ready), web.get("/metrics", page)])
    return app


async def serve_health(app: web.Application, port: int, stop: asyncio.Event) -> None:
    """Serve on every address until `stop`, as probes come from outside the container. Port 0 serves nothing."""
    if not port:
        return
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        await stop.wait()
    finally:
        await runner.cleanup()
