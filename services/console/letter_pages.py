"""Dead letters: what could not be understood, and another try of it."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from aiohttp import web

from services.console.guard import ACCESS
from services.console.ports import Ports
from services.console.rendering import Renderer
from services.console.vitals import Vitals
from shared.deadletters import DeadLetter
from shared.failures import Reason
from shared.kafka import AIOKafkaProducer, KafkaError, Topics
from shared.letters import Letters, Replay

HERE = "/dead-letters"
SHOWN = 200
SHOWN_BYTES = 100_000
BROKER_SECONDS = 20.0


class LetterPages:
    """An editor alone sees what is in a letter: it may be what a customer wrote."""

    def __init__(
        self, letters: Letters, producer: AIOKafkaProducer, topics: Topics, ports: Ports, renderer: Renderer,
        vitals: Vitals,
    ) -> None:  # fmt: skip
        self._letters = letters
        self._replay = Replay(producer, topics, ports.read_webhook)
        self._renderer = renderer
        self._vitals = vitals

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(HERE, self.listed),
            web.post("/dead-letters/replay", self.replay),
            web.get("/dead-letters/{letter_id}", self.one),
        ]

    async def listed(self, request: web.Request) -> web.Response:
        asked = request.query.get("reason", "")
        reason = Reason(asked) if asked in set(Reason) else None
        try:
            async with asyncio.timeout(BROKER_SECONDS):
                parked = await self._letters.parked()
        except (TimeoutError, KafkaError):
            raise web.HTTPServiceUnavailable(text="The broker does not answer.") from None
        self._vitals.letters = tuple(parked.values())
        chosen = [each for each in reversed(parked.values()) if reason in {None, each.reason}]
        return self._renderer.page(
            request, "letters.html", request[ACCESS],
            letters=chosen[:SHOWN],
            found=len(chosen),
            reasons=sorted({each.reason for each in parked.values()}),
            reason=reason,
        )  # fmt: skip

    async def one(self, request: web.Request) -> web.Response:
        if not request[ACCESS].may_edit:
            raise web.HTTPForbidden(text="What is in a letter is shown to editors.")
        asked = request.match_info["letter_id"]
        try:
            async with asyncio.timeout(BROKER_SECONDS):
                wanted = {asked} & (await self._letters.parked()).keys()
                found = [letter async for letter in self._letters.read(wanted)]
        except (TimeoutError, KafkaError):
            raise web.HTTPServiceUnavailable(text="The broker does not answer.") from None
        if not found:
            raise web.HTTPNotFound(text="No such letter is parked any more.")
        raw = found[0].raw
        return self._renderer.page(
            request, "letter.html", request[ACCESS],
            letter=found[0],
            payload=raw[:SHOWN_BYTES].decode(errors="replace"),
            bytes=len(raw),
            is_cut=len(raw) > SHOWN_BYTES,
        )  # fmt: skip

    async def replay(self, request: web.Request) -> web.Response:
        """The letters that are named, else all of a reason, else all. What is still not understood stays parked."""
        form = await request.post()
        reason = str(form.get("reason", ""))
        if "ticked" in form and "id" not in form:
            raise self._renderer.redirect(HERE, "Tick some letters first.", is_problem=True)
        if reason and reason not in set(Reason):
            raise web.HTTPBadRequest(text="There is no such reason: nothing was replayed.")
        told: dict[str, bool] = {}

        def tell(letter: DeadLetter, is_replayed: bool) -> None:
            told[letter.letter_id] = is_replayed

        try:
            async with asyncio.timeout(BROKER_SECONDS):
                parked = await self._letters.parked(Reason(reason) if reason else None)
                wanted = set(parked) & set(map(str, form.getall("id", []))) if "id" in form else set(parked)
                await self._replay.run(self._letters.read(wanted), tell)
        except (TimeoutError, KafkaError):
            done = sum(told.values())
            message = f"The broker does not take what is replayed. {done} were replayed before: try again for the rest."
            raise web.HTTPServiceUnavailable(text=message) from None
        done, stay = sum(told.values()), len(told) - sum(told.values())
        message = f"{done} replayed" + (f", {stay} still not understood: they stay." if stay else ".")
        back = f"{HERE}?reason={quote(reason)}" if reason else HERE
        raise self._renderer.redirect(back, message, is_problem=bool(stay))
