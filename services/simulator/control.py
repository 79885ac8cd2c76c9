"""`/_simulator/…`: how the demo and the tests make things happen, and what they compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from services.simulator.errors import RefusedError
from services.simulator.faults import Faults, Limits, Rule
from services.simulator.nodes import is_detailed, visible
from services.simulator.webhooks import Sender, body, item, message_item
from services.simulator.world import World
from shared.ids import Platform

FORGED_SECRET = "not the app's secret"  # noqa: S105


class Act(BaseModel):
    """Something that a person does. `who` is a customer's full name or id; a new name is a new customer."""

    model_config = ConfigDict(extra="forbid")
    act: Literal["say", "press", "edit", "unsend", "react", "resend", "forge"]
    platform: Platform = Platform.MESSENGER
    who: str = ""
    text: str = ""
    attachment: str | None = None
    echo: bool = False
    message_id: str = ""
    emoji: str = "❤"


class Configuration(BaseModel):
    """What of the simulator can be changed while it runs; absent means unchanged."""

    model_config = ConfigDict(extra="forbid")
    callback: str | None = None
    latency_ms: int | None = None
    instagram_per_second: float | None = None
    revoked: bool | None = None


@dataclass(slots=True)
class Control:
    world: World
    faults: Faults
    limits: Limits
    sender: Sender
    verify_token: str

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/_simulator/act", self.act),
            web.post("/_simulator/faults", self.set_faults),
            web.post("/_simulator/configure", self.configure),
            web.get("/_simulator/stats", self.stats),
            web.get("/_simulator/messages", self.messages),
        ]

    async def act(self, request: web.Request) -> web.Response:
        """Changes the world and sends the webhook that tells of it."""
        try:
            act = Act.model_validate_json(await request.read())
            done = _ACTS[act.act](self, act)
        except (ValidationError, RefusedError) as error:
            return web.json_response({"error": str(error)}, status=400)
        raw, about = done
        status = await self.sender.send(raw, secret=FORGED_SECRET if act.act == "forge" else None)
        return web.json_response({**about, "status": status})

    async def configure(self, request: web.Request) -> web.Response:
        try:
            new = Configuration.model_validate_json(await request.read())
        except ValidationError as error:
            return web.json_response({"error": str(error)}, status=400)
        if new.callback is not None:
            self.sender.callback = new.callback
            if new.callback and not await self.sender.shake_hands(self.verify_token):
                return web.json_response({"error": "the callback did not echo the challenge"}, status=400)
        if new.latency_ms is not None:
            self.faults.latency_ms = new.latency_ms
        if new.instagram_per_second is not None:
            self.limits.instagram_per_second = new.instagram_per_second
        if new.revoked is not None:
            self.faults.revoked = new.revoked
        return web.json_response({})

    async def set_faults(self, request: web.Request) -> web.Response:
        """A list of rules takes the place of those in force; an empty one clears them."""
        try:
            self.faults.rules = [Rule.model_validate(each) for each in await request.json()]
        except ValidationError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"rules": len(self.faults.rules)})

    async def stats(self, _request: web.Request) -> web.Response:
        return web.json_response(dict(self.faults.calls))

    async def messages(self, _request: web.Request) -> web.Response:
        """The oracle: for every conversation, the ids of its messages, and of those that can be read."""
        oracle = [
            {
                "platform": account.platform, "account_id": account.id, "thread_id": conversation.thread_id,
                "customer_id": conversation.customer.id, "name": conversation.customer.name,
                "ids": [message.id for message in visible(conversation)],
                "readable": [m.id for m in visible(conversation) if is_detailed(account, conversation, m)],
            }
            for account, conversation in self.world.everything()
        ]  # fmt: skip
        return web.json_response(oracle)

    def _say(self, act: Act) -> tuple[bytes, dict[str, Any]]:
        account, conversation = self.world.conversation_with(act.platform, act.who)
        message = self.world.say(
            account, conversation, act.text, inbound=not act.echo, attachment=act.attachment, pressed=act.act == "press"
        )
        raw = body(account, [message_item(account, conversation, message)], message.at)
        contact_id = f"{account.platform}:{account.id}:{conversation.customer.id}"
        return raw, {"message_id": message.id, "contact_id": contact_id}

    def _edit(self, act: Act) -> tuple[bytes, dict[str, Any]]:
        message = self.world.message(act.message_id)[2]
        message.text, message.edits = act.text, message.edits + 1
        edit = {"mid": message.id, "text": act.text, "num_edit": message.edits}
        return self._about(act.message_id, message_edit=edit)

    def _unsend(self, act: Act) -> tuple[bytes, dict[str, Any]]:
        message = self.world.message(act.message_id)[2]
        message.deleted = True
        return self._about(act.message_id, message={"mid": message.id, "is_deleted": True})

    def _react(self, act: Act) -> tuple[bytes, dict[str, Any]]:
        reaction = {"mid": act.message_id, "action": "react", "reaction": "love", "emoji": act.emoji}
        return self._about(act.message_id, reaction=reaction)

    def _about(self, message_id: str, **kind: Any) -> tuple[bytes, dict[str, Any]]:
        account, conversation, message = self.world.message(message_id)
        now = self.world.clock()
        told = item(account, conversation, now, inbound=message.inbound, **kind)
        contact_id = f"{account.platform}:{account.id}:{conversation.customer.id}"
        return body(account, [told], now), {"message_id": message_id, "contact_id": contact_id}

    def _resend(self, _act: Act) -> tuple[bytes, dict[str, Any]]:
        return self.sender.sent[-1], {}

    def _forge(self, act: Act) -> tuple[bytes, dict[str, Any]]:
        """Nothing happens in the world: whoever writes this is not Facebook."""
        account = self.world.account(act.platform)
        _, conversation = next(self.world.everything())
        said = {"mid": "m_forged", "text": act.text}
        return body(
            account, [item(account, conversation, self.world.clock(), inbound=True, message=said)], self.world.clock()
        ), {}


_ACTS: dict[str, Callable[[Control, Act], tuple[bytes, dict[str, Any]]]] = {
    "say": Control._say, "press": Control._say, "edit": Control._edit, "unsend": Control._unsend,
    "react": Control._react, "resend": Control._resend, "forge": Control._forge,
}  # fmt: skip
