"""`/_simulator/…`: endpoints by which the demo and the tests act, configure faults and read the truth."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from services.simulator.connections import PageConnections
from services.simulator.errors import RefusedError
from services.simulator.faults import FaultRule, Faults
from services.simulator.nodes import is_detailed, newest_first
from services.simulator.rate_limits import RateLimits
from services.simulator.scenario_actions import ScenarioAction, ScenarioActions
from services.simulator.state import USER_ID, USER_NAME, USER_TOKEN

FaultRules = TypeAdapter(list[FaultRule])


class Configuration(BaseModel):
    """The settings that can change while the simulator runs. Absent ones keep their value; a limit of 0 is no limit."""

    model_config = ConfigDict(extra="forbid")
    callback: str | None = None
    latency_ms: int | None = Field(None, ge=0)
    instagram_per_second: float | None = Field(None, ge=0)
    budget_calls: int | None = Field(None, ge=0)
    app_budget_calls: int | None = Field(None, ge=0)
    budget_seconds: float | None = Field(None, gt=0)
    revoked: bool | None = None
    require_proof: bool | None = None
    withheld: list[str] | None = None
    expires_at: int | None = None
    data_access_expires_at: int | None = None
    subscribed: dict[str, list[str]] | None = None


@dataclass(slots=True)
class ControlEndpoints:
    actions: ScenarioActions
    faults: Faults
    limits: RateLimits
    connections: PageConnections
    verify_token: str

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/_simulator/act", _with_error_response(self.act)),
            web.post("/_simulator/faults", _with_error_response(self.set_faults)),
            web.post("/_simulator/configure", _with_error_response(self.configure)),
            web.get("/_simulator/stats", self.stats),
            web.get("/_simulator/messages", self.messages),
            web.get("/_simulator/user", self.user),
        ]

    async def act(self, request: web.Request) -> web.Response:
        act = ScenarioAction.model_validate_json(await request.read())
        return web.json_response(await self.actions.perform(act))

    async def set_faults(self, request: web.Request) -> web.Response:
        """Replace the fault rules by a list, which may be empty."""
        self.faults.rules = FaultRules.validate_json(await request.read())
        return web.json_response({"rules": len(self.faults.rules)})

    async def configure(self, request: web.Request) -> web.Response:
        """Change settings. Like Facebook, set a callback only after it has echoed the challenge."""
        new = Configuration.model_validate_json(await request.read())
        for name, value in new.model_dump(exclude_none=True, exclude={"callback"}).items():
            setattr(
                next(each for each in (self.faults, self.limits, self.connections) if hasattr(each, name)), name, value
            )
        if new.callback is not None:
            before, self.actions.sender.callback = self.actions.sender.callback, new.callback
            if new.callback and not await self.actions.sender.shake_hands(self.verify_token):
                self.actions.sender.callback = before
                return web.json_response({"error": "the callback did not echo the challenge"}, status=400)
        return web.json_response({})

    async def stats(self, _request: web.Request) -> web.Response:
        """Return the number of calls by edge, of throttled calls, of calls made while throttled, and of Instagram calls
        that were the third or more within a second."""
        return web.json_response({**self.faults.calls, **self.limits.stats})

    async def messages(self, _request: web.Request) -> web.Response:
        """Return for every conversation the ids of its messages, and of those whose details can be read."""
        conversations = [
            {
                "platform": account.platform, "account_id": account.id, "thread_id": conversation.thread_id,
                "customer_id": conversation.customer.id, "name": conversation.customer.name,
                "ids": [message.id for message in newest_first(conversation)],
                "readable": [m.id for m in newest_first(conversation) if is_detailed(account, conversation, m)],
            }
            for account, conversation in self.actions.state.conversations()
            if any(newest_first(conversation))
        ]  # fmt: skip
        return web.json_response(conversations)

    async def user(self, _request: web.Request) -> web.Response:
        """Return the user with a role on the Pages, and the token with which `accounts import` finds them."""
        return web.json_response({"id": USER_ID, "name": USER_NAME, "token": USER_TOKEN})


def _with_error_response(handler: Handler) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except (ValidationError, RefusedError) as error:
            return web.json_response({"error": str(error)}, status=400)

    return handle
