"""The receiver's public endpoints: handshake, webhooks and `/live`.

A table maps the path and method to an endpoint, without aiohttp's applications, routes and middlewares: those cost
more than everything that is done here (ADR 8).
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter

import structlog
from aiohttp import web
from multidict import istr

from services.receiver.http.body import MAX_BODY_BYTES, BodyError, BodyReader
from services.receiver.http.responses import Responses
from services.receiver.http.signature import is_signed
from services.receiver.publish.records import request_id, traceparent_or_new
from services.receiver.publish.spool import SpoolError
from shared.runtime.logging import without_message
from shared.runtime.metrics import ReceiverMetrics

TRACE = web.RequestKey("trace", str)
"""Key of a request under which the access log finds its trace."""

SIGNATURE, TRACEPARENT = istr("X-Hub-Signature-256"), istr("traceparent")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Endpoint = Callable[[web.BaseRequest, str], Awaitable[web.StreamResponse]]
"""Gets the request and its trace (a `traceparent`)."""
PublishWebhook = Callable[[bytes, str], Awaitable[None]]
"""Gets a body and its trace, and returns when every event of the body is safe. SpoolError when one may not be."""
ClientCheck = Callable[[web.BaseRequest], bool]
Routes = Mapping[str, Mapping[str, Endpoint]]

log = structlog.get_logger()


def dispatcher(routes: Routes, responses: Responses) -> Handler:
    """Return a handler that calls the endpoint of the path and method; 404, 405 or 500 without one or when it fails."""
    not_found, failed = responses.constant(404, "not found"), responses.constant(500, "internal error")
    not_allowed = {
        id(methods): responses.constant(405, "method not allowed", {"Allow": ", ".join(sorted(methods))})
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
        except Exception as error:  # noqa: BLE001 - the sender gets no details, and the next request is not affected
            log.error("request_failed", request_id=request_id(trace), **without_message(error))  # noqa: TRY400
            return failed(request)

    return handle


def restricted(is_allowed: ClientCheck | None, responses: Responses, endpoint: Endpoint) -> Endpoint:
    """Return `endpoint` for clients that pass the check, with 403 for others; as it is when there is no check."""
    if is_allowed is None:
        return endpoint
    check, forbidden = is_allowed, responses.constant(403, "a client certificate is required")

    async def guarded(request: web.BaseRequest, trace: str) -> web.StreamResponse:
        return await endpoint(request, trace) if check(request) else forbidden(request)

    return guarded


def live_endpoint(responses: Responses) -> Endpoint:
    """Return `/live`, which says only that the process answers."""
    alive = responses.constant(200, "live")

    async def live(request: web.BaseRequest, _trace: str) -> web.StreamResponse:
        return alive(request)

    return live


def source_network(request: web.BaseRequest) -> str:
    """Return the network of the client, or of the last proxy: /24 of IPv4, /48 of IPv6."""
    try:
        address = ipaddress.ip_address(request.remote or "")
    except ValueError:
        return "unknown"
    return str(ipaddress.ip_network(f"{address}/{24 if address.version == 4 else 48}", strict=False))


class WebhookEndpoint:
    """`/webhook`."""

    def __init__(
        self,
        publish: PublishWebhook,
        app_secrets: Sequence[str],
        verify_tokens: Sequence[str],
        bodies: BodyReader,
        responses: Responses,
        metrics: ReceiverMetrics,
    ) -> None:
        self._publish = publish
        self._app_secrets = app_secrets
        self._verify_tokens = [token.encode() for token in verify_tokens]
        self._bodies = bodies
        self._responses = responses
        self._webhooks, self._request_seconds = metrics.webhooks, metrics.request_seconds
        self._received = responses.constant(200, "EVENT_RECEIVED")
        self._unsigned = responses.constant(403, "signature does not match")
        self._not_stored = responses.constant(503, "the webhook could not be stored")
        self._not_read = {
            400: responses.constant(400, "the body is incomplete or malformed"),
            408: responses.constant(408, "the body arrived too slowly"),
            413: responses.constant(413, f"the body exceeds {MAX_BODY_BYTES} bytes"),
            503: responses.constant(503, "too many bodies at once"),
        }

    async def handshake(self, request: web.BaseRequest, _trace: str) -> web.StreamResponse:
        """Echo the challenge, as plain text because the caller chooses it."""
        query = request.query
        presented = query.get("hub.verify_token", "").encode(errors="replace")
        matches = [hmac.compare_digest(presented, token) for token in self._verify_tokens]
        if query.get("hub.mode") != "subscribe" or not any(matches):
            log.warning("verify_token_refused", network=source_network(request))
            return self._responses.text(403, "verify token or mode does not match")
        return self._responses.text(200, query.get("hub.challenge", ""))

    async def webhook(self, request: web.BaseRequest, trace: str) -> web.StreamResponse:
        """Respond 200 once every event is safe. Facebook sends the webhook again after any other response."""
        began_at, outcome = perf_counter(), "failed"
        try:
            outcome, response = await self._receive(request, trace)
        finally:
            self._webhooks[outcome].inc()
            self._request_seconds.observe(perf_counter() - began_at)
        return response

    async def _receive(self, request: web.BaseRequest, trace: str) -> tuple[str, web.StreamResponse]:
        try:
            body = await self._bodies.read(request)
        except BodyError as error:
            return "unreadable", self._not_read[error.status](request)
        if not is_signed(body, request.headers.get(SIGNATURE, ""), self._app_secrets):
            log.warning("signature_refused", network=source_network(request), request_id=request_id(trace))
            return "unsigned", self._unsigned(request)
        try:
            await self._publish(body, trace)
        except SpoolError as error:
            log.warning("webhook_not_safe", request_id=request_id(trace), error=str(error), bytes=len(body))
            return "not_stored", self._not_stored(request)
        return "accepted", self._received(request)
