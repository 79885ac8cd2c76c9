"""`/api/dead-letters…`."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from services.console.api import models, requests
from services.console.api.bodies import from_body, from_query, json_of
from services.console.auth.auth_middleware import ACCESS
from services.console.dead_letters.service import MAX_SHOWN_LETTERS, DeadLetterService


class DeadLetterApi:
    def __init__(self, letters: DeadLetterService) -> None:
        self._letters = letters

    def handlers(self) -> dict[str, Handler]:
        return {"list_letters": self.show_all, "show_letter": self.show, "replay_letters": self.replay}

    async def show_all(self, request: web.Request) -> web.Response:
        reason = from_query(requests.LetterQuery, request).reason
        found = [each for each in await self._letters.parked() if reason in {None, each.reason}]
        shown = list(map(models.letter_json, found[:MAX_SHOWN_LETTERS]))
        return json_of(models.LetterList(letters=shown, found=len(found)))

    async def show(self, request: web.Request) -> web.Response:
        if not request[ACCESS].may_edit:
            raise web.HTTPForbidden(text="the payload of a dead letter is shown to editors only")
        letter = await self._letters.find(request.match_info["letter_id"])
        if letter is None:
            raise web.HTTPNotFound(text="there is no such dead letter")
        return json_of(letter)

    async def replay(self, request: web.Request) -> web.Response:
        body = await from_body(requests.ReplayRequest, request)
        result = await self._letters.replay(body.letter_ids, body.reason)
        return json_of(models.ReplayOutcome(done=result.done, stay=result.stay))
