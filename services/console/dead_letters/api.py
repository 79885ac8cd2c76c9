"""`/api/dead-letters…`."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from services.console.api import models, requests
from services.console.api.bodies import from_body, from_query, json_of
from services.console.auth.auth_middleware import ACCESS
from services.console.dead_letters.service import DeadLetterService

MAX_LETTERS = 200


class DeadLetterApi:
    def __init__(self, letters: DeadLetterService) -> None:
        self._letters = letters

    def handlers(self) -> dict[str, Handler]:
        return {"list_letters": self.listed, "show_letter": self.one, "replay_letters": self.replay}

    async def listed(self, request: web.Request) -> web.Response:
        reason = from_query(requests.LetterQuery, request).reason
        found = [each for each in await self._letters.parked() if reason in {None, each.reason}]
        shown = list(map(models.letter_json, found[:MAX_LETTERS]))
        return json_of(models.LetterList(letters=shown, found=len(found)))

    async def one(self, request: web.Request) -> web.Response:
        if not request[ACCESS].may_edit:
            raise web.HTTPForbidden(text="what is in a letter is shown to editors")
        letter = await self._letters.one(request.match_info["letter_id"])
        if letter is None:
            raise web.HTTPNotFound(text="no such letter is parked")
        return json_of(letter)

    async def replay(self, request: web.Request) -> web.Response:
        asked = await from_body(requests.ReplayRequest, request)
        told = await self._letters.replay(asked.letter_ids, asked.reason)
        return json_of(models.ReplayOutcome(done=told.done, stay=told.stay))
