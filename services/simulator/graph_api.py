"""The Graph API over HTTP: its reads and its refusals."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from aiohttp import web

from services.simulator import nodes
from services.simulator.access import LATEST_VERSION, GraphCall, check_call, check_proof, read_call
from services.simulator.connections import PageConnections
from services.simulator.corpus import SimulatedAccount, SimulatedConversation, SimulatedMessage
from services.simulator.errors import RefusedError, refusal_named, refused, unknown_field
from services.simulator.faults import FaultRule, Faults, break_answer
from services.simulator.fields import RequestedField, parse_fields, project
from services.simulator.paging import Key, page_of, paging, parse_limit
from services.simulator.rate_limits import RateLimits
from services.simulator.state import USER_TOKEN, SimulatorState
from services.simulator.webhooks import milliseconds
from shared.contract.ids import Platform

Json = dict[str, Any]
Item = TypeVar("Item")
RATE_CODES = frozenset({4, 17, 32, 341, 613, *range(80000, 80015)})
APP_CODES = frozenset({4, 341})
COUNTED = frozenset({"me", "accounts", "conversations", "messages", "subscribed_apps"})


@dataclass(slots=True)
class GraphApi:
    state: SimulatorState
    faults: Faults
    limits: RateLimits
    app_secret: str
    connections: PageConnections

    def routes(self) -> list[web.RouteDef]:
        """Route every path except the simulator's own: unknown ones are refused as the API refuses them."""
        return [web.route("*", "/{path:.*}", self.handle)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        last = request.path.rstrip("/").rpartition("/")[2]
        self.faults.calls[last if last in COUNTED else "node"] += 1
        rule = self.faults.next_for(request.path, request.query_string)
        self._arrive(request)
        await asyncio.sleep((rule.delay_ms if rule else self.faults.latency_ms) / 1000)
        if rule and rule.effect in ("html", "truncate", "cut", "reset"):
            return await break_answer(request, rule)
        account, version, status, body = self.state.page, LATEST_VERSION, 200, Json()
        trace_id = secrets.token_urlsafe(16)
        try:
            call = read_call(request)
            version, account = call.version, self._account_of(call)
            self._fail(rule, account)
            body = self._answer(call, account)
        except RefusedError as error:
            body = error.refusal.body(trace_id)
            status = 200 if rule and rule.effect == "error_in_200" else error.refusal.status
        headers = {"facebook-api-version": version, "x-fb-trace-id": trace_id, **self.limits.headers(account)}
        return web.json_response(body, status=status, headers=headers)

    def _arrive(self, request: web.Request) -> None:
        """Count the call at its arrival: until it is answered, the latency passes and other calls are refused."""
        with contextlib.suppress(RefusedError):
            self.limits.arrive(self._account_of(read_call(request)))

    def _fail(self, rule: FaultRule | None, account: SimulatedAccount) -> None:
        """Raise the refusal of a rule, if any. One for a rate limit also blocks the account or the app."""
        if rule is None or rule.effect == "delay":
            return
        refusal = refusal_named(rule.error)
        if refusal.code in RATE_CODES:
            self.limits.block(account, (rule.regain_minutes or 0) * 60, is_of_app=refusal.code in APP_CODES)
        raise RefusedError(replace(refusal, status=rule.status or refusal.status))

    def _account_of(self, call: GraphCall) -> SimulatedAccount:
        """Return the account whose rate limit counts the call."""
        found = self.state.find_conversation(call.path[0]) or self.state.find_message(call.path[0])
        if found:
            return found[0]
        is_instagram = call.path[1:] == ("conversations",) and call.query.get("platform", "").lower() == "instagram"
        return self.state.account(Platform.INSTAGRAM) if is_instagram else self.state.page

    def _answer(self, call: GraphCall, account: SimulatedAccount) -> Json:
        check_call(call)
        page = self._page_of(call.token)
        check_proof(call, self.app_secret, is_required=self.faults.require_proof)
        self.limits.admit(account)
        if (answer := self.connections.answer(call, page)) is not None:
            return answer
        if page is None:
            raise refused("page_token_needed")
        node = page.page_id if call.path[0] == "me" else call.path[0]
        match call.path[1:]:
            case ():
                return self._node(call, page, node)
            case ("conversations",):
                return self._conversations(call, page, node)
            case ("messages",):
                return self._messages(call, page, node)
            case (edge,):
                raise unknown_field(edge)
            case _:
                raise refused("no_version")

    def _page_of(self, token: str) -> SimulatedAccount | None:
        """Return the token's Page, None for the user's token. RefusedError for an invalid one."""
        if self.faults.revoked:
            raise refused("token_expired")
        page = self.state.pages.get(token)
        if page is None and token != USER_TOKEN:
            raise refused("token_invalid")
        return page

    def _require_own_page(self, page: SimulatedAccount, node: str) -> None:
        """Raise RefusedError when the node is another Page, or an object that the token cannot access."""
        if node in {each.page_id for each in self.state.pages.values()} - {page.page_id}:
            raise refused("permission")
        if node != page.page_id:
            raise refused("missing")

    def _node(self, call: GraphCall, page: SimulatedAccount, node: str) -> Json:
        text = call.query.get("fields", "")
        if found := self.state.find_conversation(node, page):
            return self._conversation(call, *found, parse_fields(text, nodes.CONVERSATION))
        if found_message := self.state.find_message(node, page):
            if not nodes.is_detailed(*found_message):
                raise refused("message_deleted")
            fields = parse_fields(text, nodes.MESSAGE)
            return project(nodes.message_node(*found_message), fields, ("id", "created_time"))
        if customer := self.state.find_customer(node, page):
            account, conversation = customer
            fields = parse_fields(text, nodes.PROFILES[account.platform])
            default = ("name", "username") if account.platform is Platform.INSTAGRAM else ("first_name", "last_name")
            return project(nodes.profile_node(account, conversation.customer), fields, (*default, "profile_pic"))
        instagram = self.state.account(Platform.INSTAGRAM)
        if node == instagram.id and page.page_id == instagram.page_id:
            return project(nodes.instagram_node(instagram), parse_fields(text, nodes.INSTAGRAM_ACCOUNT), ("id",))
        self._require_own_page(page, node)
        return self.connections.page(page, text)

    def _conversations(self, call: GraphCall, page: SimulatedAccount, node: str) -> Json:
        if "since" in call.query or "until" in call.query:
            raise refused("no_time_paging")
        platform = call.query.get("platform", "messenger").lower()
        if platform not in (Platform.MESSENGER, Platform.INSTAGRAM):
            raise refused("bad_platform")
        if node == self.state.account(Platform.INSTAGRAM).id:
            raise refused("capability")
        self._require_own_page(page, node)
        fields = parse_fields(call.query.get("fields", ""), nodes.CONVERSATION)
        customer = call.query.get("user_id")
        found = {
            (milliseconds(next(nodes.newest_first(conversation)).at), conversation.thread_id): (account, conversation)
            for account, conversation in self.state.latest_first(page, Platform(platform))
            if customer in (None, conversation.customer.id)
        }
        base = f"{call.url}/{call.version}/{node}/conversations"
        return _paged(base, call.query, call.query, found, lambda each: self._conversation(call, *each, fields))

    def _messages(self, call: GraphCall, page: SimulatedAccount, node: str) -> Json:
        found = self.state.find_conversation(node, page)
        if found is None:
            raise refused("missing")
        fields = parse_fields(call.query.get("fields", ""), nodes.MESSAGE)
        return _messages_of(call, *found, fields, call.query, call.query)

    def _conversation(
        self, call: GraphCall, account: SimulatedAccount, conversation: SimulatedConversation,
        fields: tuple[RequestedField, ...],
    ) -> Json:  # fmt: skip
        """Return the node, with the first page of its messages when requested; its `next` leads to the edge."""
        node = nodes.conversation_node(account, conversation)
        for field in fields:
            if field.name == "messages":
                query = {"access_token": call.token} if "access_token" in call.query else {}
                query |= {"fields": field.inner_text} if field.inner_text else {}
                node["messages"] = _messages_of(call, account, conversation, field.inner, field.modifiers, query)
        return project(node, fields, ("id", "updated_time"))


def _messages_of(
    call: GraphCall, account: SimulatedAccount, conversation: SimulatedConversation, fields: tuple[RequestedField, ...],
    position: Mapping[str, str], query: Mapping[str, str],
) -> Json:  # fmt: skip
    def render(message: SimulatedMessage) -> Json:
        return project(nodes.message_node(account, conversation, message), fields, ("id", "created_time"))

    found = {(milliseconds(each.at), each.id): each for each in nodes.newest_first(conversation)}
    return _paged(f"{call.url}/{call.version}/{conversation.thread_id}/messages", position, query, found, render)


def _paged(
    base: str, position: Mapping[str, str], query: Mapping[str, str],
    items: Mapping[Key, Item], render: Callable[[Item], Json],
) -> Json:  # fmt: skip
    """Return one page. `position` has `limit`, `after` and `before`; the links repeat `query`."""
    limit, keys = parse_limit(position.get("limit")), list(items)
    page = page_of(keys, limit, position.get("after"), position.get("before"))
    if page is None:
        return {"data": []}
    data = [render(items[key]) for key in keys[page.start : page.end]]
    return {"data": data, "paging": paging(page, base, query, limit)}
