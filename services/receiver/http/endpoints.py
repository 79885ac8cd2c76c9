"""The receiver's HTTP side: handshake, webhooks in, events out.

A request is looked up in a table and answered from another; aiohttp's applications, routes and middlewares cost more
than all that is done here.
"""

from __future__ import annotations

import hmac
import platform
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.metadata import version

import structlog
from aiohttp import web
from multidict import istr

from services.receiver.http.body import MAX_BODY_BYTES, BodyError, BodyReader
from services.receiver.http.responses import Responses
from services.receiver.http.signature import is_signed
from services.receiver.publish.records import request_id, traceparent_or_new
from services.receiver.publish.spool import SpoolError
from shared.runtime.health import Probe, metrics_response
from shared.runtime.logging import without_message
from shared.runtime.metrics import ReceiverMetrics

TRACE = web.RequestKey("trace", str)
"""Where the access log finds it."""

SIGNATURE, TRACEPARENT = istr("X-Hub-Signature-256"), istr("traceparent")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Endpoint = Callable[[web.BaseRequest, str], Awaitable[web.StreamResponse]]
PublishWebhook = Callable[[bytes, str], Awaitable[None]]
"""Returns when all of a body is safe, under a trace. SpoolError when it may not be."""
ClientCheck = Callable[[web.BaseRequest], bool]
Routes = Mapping[str, Mapping[str, Endpoint]]

log = structlog.get_logger()


def create_handler(
    take: PublishWebhook,
    is_writable: Probe,
    app_secrets: Sequence[str],
    verify_tokens: Sequence[str],
    metrics: ReceiverMetrics,
    bodies: BodyReader,
    is_allowed: ClientCheck | None = None,
) -> Handler:
    """The receiver as aiohttp's low-level server calls it. `is_allowed` says who may use `/webhook`, None: anyone."""
    answers = Responses(metrics.answers)
    receiver = WebhookEndpoint(take, app_secrets, verify_tokens, bodies, answers)
    pages = StatusEndpoints(is_writable, metrics, answers)
    webhook: dict[str, Endpoint] = {"POST": receiver.webhook, "GET": receiver.handshake}
    return dispatcher(
        {
            "/webhook": {method: _restricted(is_allowed, answers, point) for method, point in webhook.items()},
            "/live": {"GET": pages.live},
            "/ready": {"GET": pages.ready},
            "/version": {"GET": pages.version},
            "/metrics": {"GET": pages.metrics},
        },
        answers,
    )


def dispatcher(routes: Routes, answers: Responses) -> Handler:
    """Calls the endpoint with the request's trace context, and answers whatever has none or fails."""
    not_found, failed = answers.constant(404, "there is nothing here"), answers.constant(500, "it failed")
    not_allowed = {
        id(methods): answers.constant(405, "not with this method", {"Allow": ", ".join(sorted(methods))})
        for methods in routes.values()
    }

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        methods = routes.get(request.raw_path) or routes.get(request.path)
        if methods is None:
            return not_found(request)
        endpoint = methods.get(request.method)
        if endpoint is None:
            return not_allowed[id(methods)](request)
        request[TRACE] = trace = traceparent_or_new(request.headers.get(TRACEPARENT))
        try:
            return await endpoint(request, trace)
        except Exception as error:  # noqa: BLE001 - it is nothing to the sender, and must not cost the next request
            log.error("request_failed", request_id=request_id(trace), **without_message(error))  # noqa: TRY400
            return failed(request)

    return handle


def _restricted(is_allowed: ClientCheck | None, answers: Responses, endpoint: Endpoint) -> Endpoint:
    if is_allowed is None:
        return endpoint
    check, forbidden = is_allowed, answers.constant(403, "a client certificate is needed")

    async def guarded(request: web.BaseRequest, trace: str) -> web.StreamResponse:
        return await endpoint(request, trace) if check(request) else forbidden(request)

    return guarded


class WebhookEndpoint:
    """`/webhook`."""

    def __init__(
        self,
        take: PublishWebhook,
        app_secrets: Sequence[str],
        verify_tokens: Sequence[str],
        bodies: BodyReader,
        answers: Responses,
    ) -> None:
        self._take = take
        self._app_secrets = app_secrets
        self._verify_tokens = [token.encode() for token in verify_tokens]
        self._bodies = bodies
        self._answers = answers
        self._received = answers.constant(200, "EVENT_RECEIVED")
        self._unsigned = answers.constant(403, "signature does not match")
        self._unsafe = answers.constant(503, "it could not be kept")
        self._not_read = {
            400: answers.constant(400, "the body is broken"),
            408: answers.constant(408, "the body is too slow"),
            413: answers.constant(413, f"a body has at most {MAX_BODY_BYTES} bytes"),
            503: answers.constant(503, "too many bodies at once"),
        }

    async def handshake(self, request: web.BaseRequest, _trace: str) -> web.StreamResponse:
        """Echoes the challenge, as plain text: it is chosen by whoever calls."""
        query = request.query
        presented = query.get("hub.verify_token", "").encode(errors="replace")
        matches = [hmac.compare_digest(presented, token) for token in self._verify_tokens]
        if query.get("hub.mode") != "subscribe" or not any(matches):
            return self._answers.text(403, "verify token or mode does not match")
        return self._answers.text(200, query.get("hub.challenge", ""))

    async def webhook(self, request: web.BaseRequest, trace: str) -> web.StreamResponse:
        """200 once every event is safe; anything else makes Facebook send it again."""
        try:
            body = await self._bodies.read(request)
        except BodyError as error:
            return self._not_read[error.status](request)
        if not is_signed(body, request.headers.get(SIGNATURE, ""), self._app_secrets):
            log.debug("signature_refused", request_id=request_id(trace), bytes=len(body))
            return self._unsigned(request)
        try:
            await self._take(body, trace)
        except SpoolError as error:
            log.warning("webhook_not_safe", request_id=request_id(trace), error=str(error), bytes=len(body))
            return self._unsafe(request)
        return self._received(request)


class StatusEndpoints:
    """The pages of operation: for probes and for Prometheus."""

    def __init__(self, is_writable: Probe, metrics: ReceiverMetrics, answers: Responses) -> None:
        self._is_writable = is_writable
        self._metrics = metrics
        self._answers = answers
        self._live = answers.constant(200, "live")
        self._ready = answers.constant(200, "ready")
        self._unready = answers.constant(503, "neither broker nor spool takes anything")

    async def live(self, request: web.BaseRequest, _trace: str) -> web.StreamResponse:
        return self._live(request)

    async def ready(self, request: web.BaseRequest, _trace: str) -> web.StreamResponse:
        """503 while neither the broker nor the spool takes anything."""
        return (self._ready if await self._is_writable() else self._unready)(request)

    async def version(self, _request: web.BaseRequest, _trace: str) -> web.StreamResponse:
        told = {"service": "receiver", "version": version("leadstream"), "python": platform.python_version()}
        return self._answers.counted(web.json_response(told))

    async def metrics(self, _request: web.BaseRequest, _trace: str) -> web.StreamResponse:
        return self._answers.counted(metrics_response(self._metrics))
