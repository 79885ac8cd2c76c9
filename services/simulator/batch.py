"""Several calls in one, each counted and answered as if it had come alone.

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

MOST = 50


@dataclass(slots=True)
class BatchEndpoint:
    """Refusals of a part stand in its own `code` and `body`; the whole is 200 all the same."""

    handle: Handler

    def routes(self) -> list[web.RouteDef]:
        return [web.post(path, self.answer) for path in ("/", r"/{version:v\d+\.\d+}", r"/{version:v\d+\.\d+}/")]

    async def answer(self, request: web.Request) -> web.Response:
        try:
            parts = json.loads(str((await request.clone().post())["batch"]))
            if not 0 < len(parts) <= MOST:
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
