"""The operations server of a service: `/live`, `/ready`, `/version` and `/metrics` on a port apart from the public."""

from __future__ import annotations

import asyncio
import math
import os
import platform
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

import structlog
from aiohttp import web

from shared.contract.failures import UnreachableError

READY_SECONDS = 1.0
"""How long an answer of a probe is valid: `/ready` costs a write to the disk or a call to a server."""

Probe = Callable[[], Awaitable[bool]]
Render = Callable[[], tuple[bytes, str]]
"""Returns the metrics in text format and their content type."""

log = structlog.get_logger()


class CachedProbe:
    """Calls `probe` at most once in READY_SECONDS. Callers that come while it runs share its answer."""

    def __init__(self, probe: Probe, now: Callable[[], float] = time.monotonic) -> None:
        self._probe = probe
        self._now = now
        self._lock = asyncio.Lock()
        self._answered_at = -math.inf
        self._is_ready = False

    async def __call__(self) -> bool:
        async with self._lock:
            if self._now() - self._answered_at >= READY_SECONDS:
                self._is_ready = await self._probe()
                self._answered_at = self._now()
            return self._is_ready


@asynccontextmanager
async def serve_operations(service: str, port: int, render: Render, is_ready: Probe) -> AsyncIterator[None]:
    """Serve within the block, on every address, as probes come from outside the container. Port 0 serves nothing.

    UnreachableError when the port is in use.
    """
    if not port:
        yield
        return
    app = operations_app(service, render, CachedProbe(is_ready))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, port=port).start()
        except OSError as error:
            raise UnreachableError(
                f"LEADSTREAM_METRICS_PORT: cannot listen on port {port}: {os.strerror(error.errno or 0)}"
            ) from error
        log.info("operations_listening", port=port)
        yield
    finally:
        await runner.cleanup()


def operations_app(service: str, render: Render, is_ready: Probe) -> web.Application:
    running = {"service": service, "version": version("leadstream"), "python": platform.python_version()}

    async def ready(_request: web.Request) -> web.Response:
        return web.Response(text="ready") if await is_ready() else web.Response(status=503, text="not ready")

    async def show_version(_request: web.Request) -> web.Response:
        return web.json_response(running)

    async def metrics(_request: web.Request) -> web.Response:
        body, content_type = render()
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes(
        [
            web.get("/live", live),
            web.get("/ready", ready),
            web.get("/version", show_version),
            web.get("/metrics", metrics),
        ]
    )
    return app


async def live(_request: web.Request) -> web.Response:
    return web.Response(text="live")
