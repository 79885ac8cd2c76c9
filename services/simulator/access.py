"""Reads and checks a call: version, token and proof, in the order in which the real API checks them.

Sources: developers.facebook.com/docs/graph-api/guides/versioning and .../guides/secure-requests.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from services.simulator.errors import refused
from shared.runtime.crypto import appsecret_proof

SUPPORTED_VERSIONS = ("v21.0", "v22.0", "v23.0", "v24.0", "v25.0", "v26.0")
OLDEST_VERSION, LATEST_VERSION = SUPPORTED_VERSIONS[0], SUPPORTED_VERSIONS[-1]


@dataclass(frozen=True, slots=True)
class GraphCall:
    """A call to the Graph API. `path` is without the version; `version` is the one that answers."""

    method: str
    url: str = field(repr=False)
    version: str
    path: tuple[str, ...]
    query: Mapping[str, str] = field(repr=False)
    token: str = field(repr=False)


def read_call(request: web.Request) -> GraphCall:
    """Return the call in a request, with the token of its header or query. RefusedError for an unknown version."""
    first, *rest = request.path.strip("/").split("/")
    is_version = re.fullmatch(r"v\d+\.\d+", first) is not None
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return GraphCall(
        method=request.method,
        url=str(request.url.origin()),
        version=served_version(first) if is_version else LATEST_VERSION,
        path=tuple(rest or [""]) if is_version else (first, *rest),
        query=request.query,
        token=token.strip() if scheme.lower() in ("bearer", "oauth") else request.query.get("access_token", ""),
    )


def served_version(asked: str) -> str:
    """Return the version that answers: the oldest supported one for expired ones. RefusedError for unknown ones."""
    if asked in SUPPORTED_VERSIONS:
        return asked
    if float(asked.removeprefix("v")) < float(OLDEST_VERSION.removeprefix("v")):
        return OLDEST_VERSION
    raise refused("no_version")


def check_call(call: GraphCall) -> None:
    """Raise RefusedError for a call that no node or edge answers."""
    if call.method != "GET" and (call.method, call.path[1:]) != ("POST", ("subscribed_apps",)):
        raise refused("unsupported_method")
    if "ids" in call.query:
        raise refused("ids_removed")
    if not call.token:
        raise refused("no_token")


def check_proof(call: GraphCall, app_secret: str, *, is_required: bool) -> None:
    """Raise RefusedError when `appsecret_proof` is wrong, or missing although the app requires it."""
    proof = call.query.get("appsecret_proof")
    if proof is None and is_required:
        raise refused("no_proof")
    if proof is not None and not hmac.compare_digest(proof.encode(), appsecret_proof(app_secret, call.token).encode()):
        raise refused("bad_proof")
