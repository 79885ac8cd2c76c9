"""The receiver's HTTP side: handshake, webhooks in, events out."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from importlib.metadata import version

import structlog
from aiohttp import web

from services.receiver.normalise import Batch, normalise
from services.receiver.publisher import Publisher
from services.receiver.signature import is_signed
from services.receiver.spool import SpoolError
from shared.clock import Clock
from shared.health import metrics_response
from shared.metrics import ReceiverMetrics

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Bodies of 300 KB and more are real; Meta retries a refused one for ever, so the limit lies far above them."""

log = structlog.get_logger()


def create_app(
    publisher: Publisher, app_secrets: Sequence[str], verify_token: str, metrics: ReceiverMetrics, clock: Clock
) -> web.Application:
    receiver = Receiver(publisher, app_secrets, verify_token, metrics, clock)
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.add_routes(
        [
            web.get("/webhook", receiver.handshake),
            web.post("/webhook", receiver.webhook),
            web.get("/live", receiver.live),
            web.get("/ready", receiver.ready),
            web.get("/version", receiver.version),
            web.get("/metrics", receiver.metrics_page),
        ]
    )
    return app


class Receiver:
    def __init__(
        self,
        publisher: Publisher,
        app_secrets: Sequence[str],
        verify_token: str,
        metrics: ReceiverMetrics,
        clock: Clock,
    ) -> None:
        self._publisher = publisher
        self._app_secrets = app_secrets
        self._verify_token = verify_token.encode()
        self._metrics = metrics
        self._clock = clock

    async def handshake(self, request: web.Request) -> web.Response:
        """Echoes the challenge, as plain text: it is chosen by whoever calls."""
        presented = request.query.get("hub.verify_token", "").encode()
        if request.query.get("hub.mode") != "subscribe" or not hmac.compare_digest(presented, self._verify_token):
            return self._answer(403, "verify token or mode does not match")
        return self._answer(200, request.query.get("hub.challenge", ""))

    async def webhook(self, request: web.Request) -> web.Response:
        """200 once every event is safe; anything else makes Facebook send it again."""
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return self._answer(413, f"a body has at most {MAX_BODY_BYTES} bytes")
        if not is_signed(body, request.headers.get("X-Hub-Signature-256", ""), self._app_secrets):
            return self._answer(403, "signature does not match")
        batch = normalise(body, self._clock())
        try:
            await self._publisher.publish(batch, request.headers.get("traceparent"))
        except SpoolError as error:
            log.warning("webhook_not_safe", error=str(error), events=len(batch.events))
            return self._answer(503, "it could not be kept")
        self._count(batch)
        return self._answer(200, "EVENT_RECEIVED")

    async def live(self, _request: web.Request) -> web.Response:
        return self._answer(200, "live")

    async def ready(self, _request: web.Request) -> web.Response:
        """503 while neither the broker nor the spool takes anything."""
        ready = await self._publisher.is_writable()
        return self._answer(200, "ready") if ready else self._answer(503, "neither broker nor spool takes anything")

    async def version(self, _request: web.Request) -> web.Response:
        return web.json_response({"service": "receiver", "version": version("leadstream")})

    async def metrics_page(self, _request: web.Request) -> web.Response:
        return metrics_response(self._metrics)

    def _answer(self, status: int, text: str) -> web.Response:
        self._metrics.answers.labels(str(status)).inc()
        return web.Response(status=status, text=text, headers={"X-Content-Type-Options": "nosniff"})

    def _count(self, batch: Batch) -> None:
        for event in batch.events:
            self._metrics.events.labels(event.kind).inc()
        for kind, number in batch.dropped.items():
            self._metrics.dropped.labels(kind).inc(number)
        for letter in batch.letters:
            self._metrics.parked.labels(letter.reason).inc()
            log.warning("parked", reason=letter.reason, detail=letter.detail, letter_id=letter.letter_id)


async def serve(app: web.Application, host: str, port: int, stop: asyncio.Event) -> None:
    """Until `stop`; then takes no more and finishes what it has begun.

    Bodies are left as they came: the signature is over them, and nothing that is compressed can grow here.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=8, auto_decompress=False)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        log.info("receiver_listening", host=host, port=runner.addresses[0][1])
        await stop.wait()
    finally:
        await runner.cleanup()
