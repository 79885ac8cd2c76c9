"""The Graph API's reads, over HTTP, and its refusals."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from services.simulator.corpus import Account, Conversation
from services.simulator.errors import NAMED, RefusedError
from services.simulator.faults import Faults, Limits, Rule
from services.simulator.fields import Field, parse_fields
from services.simulator.nodes import conversation_node, message_node, profile_node, visible
from services.simulator.paging import page_of, parse_limit
from services.simulator.world import World
from shared.crypto import appsecret_proof
from shared.ids import Platform

LIVING_VERSIONS = ("v21.0", "v22.0", "v23.0", "v24.0", "v25.0", "v26.0")
LATEST = LIVING_VERSIONS[-1]

Respond = Callable[[web.Request], Awaitable[Any]]


@dataclass(slots=True)
class GraphApi:
    world: World
    faults: Faults
    limits: Limits
    app_secret: str
    require_proof: bool = True

    def routes(self) -> list[web.RouteDef]:
        edges: list[tuple[str, Respond]] = [
            ("/{version}/me", self._me),
            ("/{version}/me/accounts", self._accounts),
            ("/{version}/{node}/conversations", self._conversations),
            ("/{version}/{node}/messages", self._messages),
            ("/{version}/{node}/subscribed_apps", self._subscribed_apps),
            ("/{version}/{node}", self._node),
        ]
        return [web.get(path, self._answering(path, respond)) for path, respond in edges]

    def _answering(self, path: str, respond: Respond) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        edge = path.rpartition("/")[2]

        async def handle(request: web.Request) -> web.StreamResponse:
            self.faults.calls[edge] += 1
            rule = self.faults.next_for(request.path, request.query_string)
            await asyncio.sleep((rule.delay_ms if rule else self.faults.latency_ms) / 1000)
            try:
                if rule and rule.effect != "delay":
                    return _faulty(request, rule)
                self._check(request)
                return self._json(await respond(request))
            except RefusedError as refusal:
                return self._json(refusal.body(), refusal.status)

        return handle

    def _check(self, request: web.Request) -> None:
        """Version, token and proof, in the order in which the real one complains."""
        if request.match_info["version"] not in LIVING_VERSIONS:
            raise NAMED["no_version"]
        if "ids" in request.query:
            raise NAMED["ids_removed"]
        token = _token(request)
        if not token:
            raise NAMED["no_token"]
        if self.faults.revoked:
            raise NAMED["token_expired"]
        if token not in {account.token for account in self.world.corpus.accounts}:
            raise NAMED["token_invalid"]
        proof = request.query.get("appsecret_proof")
        if proof is None and self.require_proof:
            raise NAMED["no_proof"]
        if proof is not None and not hmac.compare_digest(proof, appsecret_proof(self.app_secret, token)):
            raise NAMED["bad_proof"]

    def _json(self, body: object, status: int = 200) -> web.Response:
        page = self.world.corpus.accounts[0].page_id
        business = {page: [{"type": "messenger", **_usage(), "estimated_time_to_regain_access": 0}]}
        headers = {
            "facebook-api-version": LATEST,
            "x-app-usage": json.dumps(_usage()),
            "x-business-use-case-usage": json.dumps(business),
        }
        return web.json_response(body, status=status, headers=headers)

    async def _me(self, request: web.Request) -> Any:
        account = self._page(request)
        return {"id": account.page_id, "name": account.name}

    async def _accounts(self, request: web.Request) -> Any:
        account = self._page(request)
        return {"data": [{"id": account.page_id, "name": account.name, "access_token": account.token}]}

    async def _subscribed_apps(self, request: web.Request) -> Any:
        self._page(request)
        return {"data": [{"name": "leadstream", "id": "1517776481860111", "subscribed_fields": ["messages"]}]}

    async def _node(self, request: web.Request) -> Any:
        node = request.match_info["node"]
        fields = parse_fields(request.query.get("fields", ""))
        conversation = self.world.find_conversation(node)
        if conversation:
            return self._conversation(request, *conversation, fields)
        message = self.world.find_message(node)
        if message and not message[2].deleted:
            return message_node(*message, fields, alone=True)
        customer = self.world.find_customer(node)
        if customer:
            return profile_node(customer[0], customer[1].customer)
        account = self._page(request)
        if node != account.page_id:
            raise NAMED["missing"]
        instagram = self.world.account(Platform.INSTAGRAM)
        return {"id": account.page_id, "name": account.name, "instagram_business_account": {"id": instagram.id}}

    async def _conversations(self, request: web.Request) -> Any:
        node, query = request.match_info["node"], request.query
        if "since" in query or "until" in query:
            raise NAMED["no_time_paging"]
        platform = query.get("platform", "messenger").lower()
        if platform not in (Platform.MESSENGER, Platform.INSTAGRAM):
            raise NAMED["bad_platform"]
        account = self.world.account(platform)
        if node == self.world.account(Platform.INSTAGRAM).id:
            raise NAMED["capability"]
        if node not in (account.page_id, "me"):
            raise NAMED["missing"]
        self._throttle(account)
        conversations = self.world.conversations(account)
        if "user_id" in query:
            conversations = [each for each in conversations if each.customer.id == query["user_id"]]
        fields = parse_fields(query.get("fields", ""))
        by_id = {each.thread_id: each for each in conversations}
        return self._paged(request, by_id, lambda each: self._conversation(request, account, each, fields))

    async def _messages(self, request: web.Request) -> Any:
        found = self.world.find_conversation(request.match_info["node"])
        if found is None:
            raise NAMED["missing"]
        account, conversation = found
        self._throttle(account)
        fields = parse_fields(request.query.get("fields", ""))
        messages = {message.id: message for message in visible(conversation)}
        return self._paged(request, messages, lambda each: message_node(account, conversation, each, fields))

    def _conversation(
        self, request: web.Request, account: Account, conversation: Conversation, fields: tuple[Field, ...]
    ) -> dict[str, Any]:
        node = conversation_node(account, conversation, fields)
        for edge in (field for field in fields if field.name == "messages"):
            limit, after = parse_limit(edge.modifiers.get("limit")), edge.modifiers.get("after")
            messages = visible(conversation)
            page = page_of([message.id for message in messages], limit, after, None)
            data = [message_node(account, conversation, m, edge.inner) for m in messages[page.start : page.end]]
            base = f"{request.url.origin()}/{request.match_info['version']}/{conversation.thread_id}/messages"
            node["messages"] = {"data": data, "paging": _paging(request, base, limit, page.before, page.after)}
        return node

    def _paged(self, request: web.Request, items: dict[str, Any], render: Callable[[Any], dict[str, Any]]) -> Any:
        limit = parse_limit(request.query.get("limit"))
        page = page_of(list(items), limit, request.query.get("after"), request.query.get("before"))
        data = [render(item) for item in list(items.values())[page.start : page.end]]
        base = f"{request.url.origin()}{request.path}"
        if not data and page.after is None:
            return {"data": []}
        return {"data": data, "paging": _paging(request, base, limit, page.before, page.after)}

    def _throttle(self, account: Account) -> None:
        if account.platform is Platform.INSTAGRAM and not self.limits.allows(account.id):
            self.faults.calls["throttled"] += 1
            raise NAMED["rate_instagram"]

    def _page(self, request: web.Request) -> Account:
        token = _token(request)
        return next(account for account in self.world.corpus.accounts if account.token == token)


def _token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else request.query.get("access_token", "")


def _paging(request: web.Request, base: str, limit: int, before: str | None, after: str | None) -> dict[str, Any]:
    """`next` repeats the query, the token with it where it was given there, as the real one does."""
    kept = {
        key: value for key, value in request.query.items() if key not in ("after", "before", "limit", "appsecret_proof")
    }
    paging: dict[str, Any] = {"cursors": {"before": before or "QVFI", "after": after or "QVFJ"}}
    if after:
        paging["next"] = f"{base}?{urlencode({**kept, 'limit': limit, 'after': after})}"
    if before:
        paging["previous"] = f"{base}?{urlencode({**kept, 'limit': limit, 'before': before})}"
    return paging


def _usage() -> dict[str, int]:
    return {"call_count": 1, "total_cputime": 1, "total_time": 1}


def _faulty(request: web.Request, rule: Rule) -> web.StreamResponse:
    refusal = NAMED[rule.error]
    if rule.effect == "reset" and request.transport is not None:
        request.transport.abort()
    if rule.effect == "html":
        return web.Response(
            status=502, text="<html><body>Sorry, something went wrong.</body></html>", content_type="text/html"
        )
    if rule.effect == "truncate":
        return web.Response(text='{"data":[{"id":"t_1', content_type="application/json")
    return web.json_response(refusal.body(), status=200 if rule.effect == "error_in_200" else refusal.status)
