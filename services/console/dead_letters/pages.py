"""The pages of dead letters: the list, one letter, and their replay."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from services.console.auth.auth_middleware import ACCESS
from services.console.dead_letters.service import MAX_SHOWN_LETTERS, DeadLetterService
from services.console.view.rendering import Renderer
from shared.contract.failures import Reason

PATH = "/dead-letters"
MAX_PAYLOAD_BYTES = 100_000


class DeadLetterPages:
    """Only an editor sees the payload of a letter: it may contain what a customer wrote."""

    def __init__(self, letters: DeadLetterService, renderer: Renderer) -> None:
        self._letters = letters
        self._renderer = renderer

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(PATH, self.show_all),
            web.post("/dead-letters/replay", self.replay),
            web.get("/dead-letters/{letter_id}", self.show),
        ]

    async def show_all(self, request: web.Request) -> web.Response:
        text = request.query.get("reason", "")
        reason = Reason(text) if text in set(Reason) else None
        parked = await self._letters.parked()
        found = [each for each in parked if reason in {None, each.reason}]
        return self._renderer.page(
            request, "dead_letters.html", request[ACCESS],
            letters=found[:MAX_SHOWN_LETTERS],
            found=len(found),
            reasons=sorted({each.reason for each in parked}),
            reason=reason,
        )  # fmt: skip

    async def show(self, request: web.Request) -> web.Response:
        if not request[ACCESS].may_edit:
            raise web.HTTPForbidden(text="The payload of a dead letter is shown to editors only.")
        letter = await self._letters.find(request.match_info["letter_id"])
        if letter is None:
            raise web.HTTPNotFound(text="This dead letter is no longer parked.")
        raw = letter.raw
        return self._renderer.page(
            request, "dead_letter.html", request[ACCESS],
            letter=letter,
            payload=raw[:MAX_PAYLOAD_BYTES].decode(errors="replace"),
            bytes=len(raw),
            is_cut=len(raw) > MAX_PAYLOAD_BYTES,
        )  # fmt: skip

    async def replay(self, request: web.Request) -> web.Response:
        """Replay the selected letters, or all of a reason, or all."""
        form = await request.post()
        reason = str(form.get("reason", ""))
        if "selected" in form and "id" not in form:
            raise self._renderer.redirect(PATH, "Select some letters first.", is_problem=True)
        if reason and reason not in set(Reason):
            raise web.HTTPBadRequest(text="There is no such reason: nothing was replayed.")
        ids = set(map(str, form.getall("id"))) if "id" in form else None
        result = await self._letters.replay(ids, Reason(reason) if reason else None)
        stay = len(result.stay)
        message = f"{len(result.done)} replayed" + (f", {stay} still not understood and kept." if stay else ".")
        target = f"{PATH}?reason={quote(reason)}" if reason else PATH
        raise self._renderer.redirect(target, message, is_problem=bool(stay))
