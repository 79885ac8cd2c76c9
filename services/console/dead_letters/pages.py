"""Dead letters: what could not be understood, and another try of it."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from services.console.auth.auth_middleware import ACCESS
from services.console.dead_letters.service import DeadLetterService
from services.console.view.rendering import Renderer
from shared.contract.failures import Reason

PATH = "/dead-letters"
MAX_LETTERS = 200
MAX_PAYLOAD_BYTES = 100_000


class DeadLetterPages:
    """An editor alone sees what is in a letter: it may be what a customer wrote."""

    def __init__(self, letters: DeadLetterService, renderer: Renderer) -> None:
        self._letters = letters
        self._renderer = renderer

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(PATH, self.listed),
            web.post("/dead-letters/replay", self.replay),
            web.get("/dead-letters/{letter_id}", self.one),
        ]

    async def listed(self, request: web.Request) -> web.Response:
        asked = request.query.get("reason", "")
        reason = Reason(asked) if asked in set(Reason) else None
        parked = await self._letters.parked()
        chosen = [each for each in parked if reason in {None, each.reason}]
        return self._renderer.page(
            request, "dead_letters.html", request[ACCESS],
            letters=chosen[:MAX_LETTERS],
            found=len(chosen),
            reasons=sorted({each.reason for each in parked}),
            reason=reason,
        )  # fmt: skip

    async def one(self, request: web.Request) -> web.Response:
        if not request[ACCESS].may_edit:
            raise web.HTTPForbidden(text="What is in a letter is shown to editors.")
        letter = await self._letters.one(request.match_info["letter_id"])
        if letter is None:
            raise web.HTTPNotFound(text="No such letter is parked any more.")
        raw = letter.raw
        return self._renderer.page(
            request, "dead_letter.html", request[ACCESS],
            letter=letter,
            payload=raw[:MAX_PAYLOAD_BYTES].decode(errors="replace"),
            bytes=len(raw),
            is_cut=len(raw) > MAX_PAYLOAD_BYTES,
        )  # fmt: skip

    async def replay(self, request: web.Request) -> web.Response:
        """The letters that are named, else all of a reason, else all. What is still not understood stays parked."""
        form = await request.post()
        reason = str(form.get("reason", ""))
        if "selected" in form and "id" not in form:
            raise self._renderer.redirect(PATH, "Tick some letters first.", is_problem=True)
        if reason and reason not in set(Reason):
            raise web.HTTPBadRequest(text="There is no such reason: nothing was replayed.")
        ids = set(map(str, form.getall("id"))) if "id" in form else None
        told = await self._letters.replay(ids, Reason(reason) if reason else None)
        stay = len(told.stay)
        message = f"{len(told.done)} replayed" + (f", {stay} still not understood: they stay." if stay else ".")
        back = f"{PATH}?reason={quote(reason)}" if reason else PATH
        raise self._renderer.redirect(back, message, is_problem=bool(stay))
