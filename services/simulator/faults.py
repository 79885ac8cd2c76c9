"""Faults on demand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, field_validator

from services.simulator.errors import refusal_named

Effect = Literal["error", "html", "truncate", "cut", "reset", "error_in_200", "delay"]
HTML = "<html><body>Sorry, something went wrong.</body></html>"


class FaultRule(BaseModel):
    """A fault for the next `times` calls with `path` in their path and `query` in their query, after `skip` such calls.

    `error` is a name or `code/subcode` of `errors`; `status` replaces its HTTP status. `truncate` ends the JSON early,
    `cut` ends the connection within the body, and `reset` before any answer. `regain_minutes` is what the headers then
    give as the time until access is regained.
    """

    model_config = ConfigDict(extra="forbid")
    path: str = ""
    query: str = ""
    effect: Effect = "error"
    error: str = "transient"
    status: int | None = Field(None, ge=200, le=599)
    skip: int = Field(0, ge=0)
    times: int = Field(1, ge=0)
    delay_ms: int = Field(0, ge=0)
    regain_minutes: float | None = Field(None, ge=0)

    @field_validator("error")
    @classmethod
    def _exists(cls, text: str) -> str:
        refusal_named(text)
        return text


@dataclass(slots=True)
class Faults:
    """The active fault rules, and the number of calls by edge."""

    rules: list[FaultRule] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    latency_ms: int = 0
    revoked: bool = False
    require_proof: bool = True

    def next_for(self, path: str, query: str) -> FaultRule | None:
        """Return the first rule that applies to this call, and count it down."""
        for rule in self.rules:
            if rule.path in path and rule.query in query and rule.times > 0:
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                rule.times -= 1
                return rule
        return None


async def break_answer(request: web.Request, rule: FaultRule) -> web.StreamResponse:
    """Answer with something other than the Graph API's JSON, or end the connection."""
    if rule.effect == "html":
        return web.Response(status=rule.status or 502, text=HTML, content_type="text/html")
    if rule.effect == "truncate":
        return web.Response(text='{"data":[{"id":"t_1', content_type="application/json")
    answer = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    if rule.effect == "cut":
        await answer.prepare(request)
        await answer.write(b'{"data":[{"id":"t_1')
    if request.transport is not None:
        request.transport.abort() if rule.effect == "reset" else request.transport.close()
    return answer
