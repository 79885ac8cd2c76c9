"""Batch requests: several calls in one, each counted and answered as if it were sent alone.

Source: developers.facebook.com/docs/graph-api/batch-requests.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from services.simulator.errors import refused

MAX_BATCH_CALLS = 50


@dataclass(slots=True)
class BatchEndpoint:
    """Answers 200 for the batch; a refused part has its own `code` and `body`."""

    handle: Handler

    def routes(self) -> list[web.RouteDef]:
        return [web.post(path, self.answer) for path in ("/", r"/{version:v\d+\.\d+}", r"/{version:v\d+\.\d+}/")]

    async def answer(self, request: web.Request) -> web.Response:
        try:
            parts = json.loads(str((await request.clone().post())["batch"]))
            if not 0 < len(parts) <= MAX_BATCH_CALLS:
                raise ValueError
            return web.json_response([await self._part(request, part) for part in parts])
        except (KeyError, TypeError, ValueError):
            return web.json_response(refused("bad_batch").refusal.body("X"), status=400)

    async def _part(self, request: web.Request, part: dict[str, Any]) -> dict[str, Any]:
        version = request.match_info.get("version")
        url = URL(f"/{version}/{part['relative_url']}" if version else f"/{part['relative_url']}")
        proof = {name: request.query[name] for name in ("appsecret_proof", "access_token") if name in request.query}
        answer = await self.handle(request.clone(method=part["method"], rel_url=url.update_query(proof)))
        text = answer.text if isinstance(answer, web.Response) else None
        return {"code": answer.status, "body": text}
