"""How the app is connected to Pages: the user's Pages, token details and permissions, webhook subscriptions.

Shapes: developers.facebook.com/docs/graph-api/reference/user/accounts, .../reference/debug_token,
.../reference/user/permissions and .../reference/page/subscribed_apps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.simulator import nodes
from services.simulator.access import GraphCall
from services.simulator.corpus import SimulatedAccount
from services.simulator.errors import refused, unknown_field
from services.simulator.fields import parse_fields, project
from services.simulator.paging import page_of, paging, parse_limit
from services.simulator.state import OUTLET_PAGE, USER_ID, USER_NAME, USER_TOKEN, SimulatorState
from shared.contract.ids import Platform

Json = dict[str, Any]
APP_ID, APP_NAME = "1517776481860111", "leadstream"
PERMISSIONS = (
    "pages_show_list", "pages_messaging", "pages_manage_metadata", "pages_read_engagement", "business_management",
    "instagram_basic", "instagram_manage_messages", "public_profile",
)  # fmt: skip
NEEDED_PERMISSIONS = {Platform.MESSENGER: "pages_messaging", Platform.INSTAGRAM: "instagram_manage_messages"}
TOKENS_ISSUED_AT = 1_790_000_000
SUBSCRIBED_FIELDS = (
    "messages", "message_echoes", "message_edits", "message_reactions", "messaging_postbacks", "messaging_referrals",
)  # fmt: skip
PAGE_DEFAULT_FIELDS = ("access_token", "category", "category_list", "name", "id", "tasks")


@dataclass(slots=True)
class PageConnections:
    """`withheld` are permissions that the user did not grant. Tokens expire at `expires_at`, 0 for never."""

    state: SimulatorState
    withheld: Sequence[str] = ()
    expires_at: int = 0
    data_access_expires_at: int = TOKENS_ISSUED_AT + 90 * 86_400
    subscribed: dict[str, list[str]] = field(
        default_factory=dict
    )  # fields by Page id; a Page without fields is not subscribed

    def __post_init__(self) -> None:
        self.subscribed[self.state.page.id] = list(SUBSCRIBED_FIELDS)

    def answer(self, call: GraphCall, page: SimulatedAccount | None) -> Json | None:
        """Return the answer, None for a call of another module. `page` is the token's Page, None for a user token."""
        match call.path:
            case ("debug_token",):
                return {"data": self._debug(call.query.get("input_token", ""))}
            case ("me",) if page is None:
                return {"id": USER_ID, "name": USER_NAME}
            case ("me", "accounts") if page is None:
                return self._pages(call)
            case ("me", "permissions") if page is None:
                return {"data": [self._permission(name) for name in PERMISSIONS]}
            case (_, "accounts" | "permissions" as edge):
                raise unknown_field(edge)
            case (node, "subscribed_apps") if page:
                self._require_own_page(page, node)
                return self._subscription(call, page)
            case (_, "conversations"):
                self._require_permission(call)
        return None

    def page(self, page: SimulatedAccount, text: str, default: tuple[str, ...] = ("id", "name")) -> Json:
        """Return a Page's fields in `text`. Its Instagram account has only an id unless its fields are requested."""
        asked = parse_fields(text, nodes.PAGE | USER_PAGE)
        instagram = self.state.account(Platform.INSTAGRAM)
        node = nodes.page_node(page, instagram)
        if "instagram_business_account" in node and any(each.inner for each in asked):
            node["instagram_business_account"] = nodes.instagram_node(instagram)
        kind = {"id": "2201", "name": "Home Decor"}
        tasks = ["ADVERTISE", "ANALYZE", "CREATE_CONTENT", "MESSAGING", "MODERATE", "MANAGE"]
        more = {"access_token": page.token, "category": kind["name"], "category_list": [kind], "tasks": tasks}
        return project({**node, **more}, asked, default)

    def _pages(self, call: GraphCall) -> Json:
        pages = {(-number, page.id): page for number, page in enumerate((self.state.page, OUTLET_PAGE))}
        keys, limit = list(pages), parse_limit(call.query.get("limit"))
        part = page_of(keys, limit, call.query.get("after"), call.query.get("before"))
        if part is None:
            return {"data": []}
        text = call.query.get("fields", "")
        data = [self.page(pages[key], text, PAGE_DEFAULT_FIELDS) for key in keys[part.start : part.end]]
        return {
            "data": data,
            "paging": paging(part, f"{call.url}/{call.version}/{USER_ID}/accounts", call.query, limit),
        }

    def _permission(self, name: str) -> Json:
        return {"permission": name, "status": "declined" if name in self.withheld else "granted"}

    def _debug(self, token: str) -> Json:
        """Return the details of a Page's or the user's token, or the reason why any other token is invalid."""
        page = self.state.pages.get(token)
        if page is None and token != USER_TOKEN:
            error = {"code": 190, "message": "Malformed access token", "subcode": 0}
            return {"error": error, "is_valid": False, "scopes": []}
        scopes = [name for name in PERMISSIONS if name not in self.withheld]
        whose = {"type": "PAGE", "profile_id": page.id} if page else {"type": "USER"}
        return {
            "app_id": APP_ID, **whose, "application": APP_NAME, "data_access_expires_at": self.data_access_expires_at,
            "expires_at": self.expires_at, "is_valid": True, "issued_at": TOKENS_ISSUED_AT, "scopes": scopes,
            "granular_scopes": [{"scope": name} for name in scopes], "user_id": USER_ID,
        }  # fmt: skip

    def _subscription(self, call: GraphCall, page: SimulatedAccount) -> Json:
        """Return or replace the Page's subscribed fields. Only the calling app is listed."""
        if "pages_manage_metadata" in self.withheld:
            raise refused("permission")
        if call.method == "POST":
            names = [name for name in call.query.get("subscribed_fields", "").split(",") if name]
            if not names or not set(names) <= KNOWN_FIELDS:
                raise refused("bad_subscribed_fields")
            self.subscribed[page.id] = names
            return {"success": True}
        app: Mapping[str, object] = {"link": "https://example.com/", "name": APP_NAME, "id": APP_ID}
        fields = self.subscribed.get(page.id)
        return {"data": [{**app, "subscribed_fields": fields}] if fields else []}

    def _require_own_page(self, page: SimulatedAccount, node: str) -> None:
        if node not in ("me", page.id):
            raise refused("permission" if node in {each.id for each in self.state.pages.values()} else "missing")

    def _require_permission(self, call: GraphCall) -> None:
        platform = call.query.get("platform", "messenger").lower()
        if any(platform == name and needed in self.withheld for name, needed in NEEDED_PERMISSIONS.items()):
            raise refused("permission")


USER_PAGE = {
    "access_token": None, "tasks": None, "category_list": {"id": None, "name": None},
    "instagram_business_account": nodes.INSTAGRAM_ACCOUNT,
}  # fmt: skip
KNOWN_FIELDS = frozenset(
    "feed inbox_labels leadgen message_deliveries message_echoes message_edits message_mention message_reactions "
    "message_reads messages messaging_account_linking messaging_customer_information messaging_feedback "
    "messaging_game_plays messaging_handovers messaging_optins messaging_policy_enforcement messaging_postbacks "
    "messaging_referrals response_feedback send_cart standby".split()
)
