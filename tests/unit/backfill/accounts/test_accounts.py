"""The calls of account checks and imports, and what is shown of the answers. No URL contains a token."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from aiohttp.typedefs import Handler
from cryptography.fernet import Fernet
from rich.console import Console

from services.backfill.accounts.check import Checker, refusing
from services.backfill.accounts.health import AccountHealth, health_json
from services.backfill.accounts.import_accounts import FoundAccount, find_accounts, merged, withheld_permissions
from services.backfill.accounts.permissions import WEBHOOK_FIELDS
from services.cli.account_views import health_view, show
from services.simulator.app import APP_SECRET, create_app
from services.simulator.corpus import INSTAGRAM_ID, PAGE_ID, generate
from services.simulator.state import OUTLET_PAGE, USER_TOKEN
from shared.contract.ids import Platform
from shared.domain.accounts import Account, format_every, parse_every
from shared.domain.pipelines import Mode
from shared.graph_api.client import GraphClient
from shared.graph_api.errors import ErrorKind, GraphError
from shared.runtime.crypto import TokenVault
from tests.support.governors import local_governor
from tests.unit.backfill.fake_graph import answering, ok

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
CORPUS = generate(7, NOW, messenger=3, instagram=3, messages=5)
TOKEN = CORPUS.accounts[0].token
DAY = 86_400
VAULT = TokenVault([Fernet.generate_key().decode()])


@dataclass
class Facebook:
    """The simulator in this process, and every URL that it was asked for."""

    session: ClientSession
    url: str = ""
    urls: list[str] = field(default_factory=list)

    def client(self, token: str = TOKEN, platform: Platform = Platform.MESSENGER) -> GraphClient:
        governor = local_governor(platform, refusing)
        return GraphClient(
            self.session, self.url, "v26.0", token, governor, APP_SECRET, deadline_seconds=0.0, timeout_seconds=10
        )

    async def configure(self, **changes: Any) -> None:
        async with self.session.post(f"{self.url}/_simulator/configure", json=changes) as answer:
            assert answer.status == 200, await answer.text()

    async def fail(self, path: str, error: str) -> None:
        rules = [{"path": path, "error": error, "times": 99}]
        async with self.session.post(f"{self.url}/_simulator/faults", json=rules) as answer:
            assert answer.status == 200, await answer.text()

    async def check(self, platform: Platform = Platform.MESSENGER, token: str = TOKEN, **more: bool) -> AccountHealth:
        ours = {Platform.MESSENGER: PAGE_ID, Platform.INSTAGRAM: INSTAGRAM_ID}[platform]
        account = Account(platform=platform, account_id=ours, page_id=PAGE_ID, name="The [Page]", encrypted_token="x")
        return await Checker(account, self.client(token, platform), lambda: NOW).check(**more)


@pytest.fixture
async def facebook() -> AsyncIterator[Facebook]:
    async with ClientSession() as session:
        facebook = Facebook(session)

        @web.middleware
        async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
            facebook.urls.append(str(request.rel_url))
            return await handler(request)

        app = create_app(CORPUS, session)
        app.middlewares.append(note)
        async with TestServer(app) as server:
            facebook.url = str(server.make_url("")).rstrip("/")
            await facebook.configure(data_access_expires_at=int(NOW.timestamp()) + 60 * DAY)
            yield facebook
        said = [url for url in facebook.urls if any(token in url for token in (TOKEN, USER_TOKEN, OUTLET_PAGE.token))]
        assert said == []


def shown(health: AccountHealth, width: int = 200) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    show(console, health_view(health))
    return console.export_text()


def test_a_schedule_is_parsed_as_it_is_shown() -> None:
    assert [parse_every(text) for text in ("30m", "6h", "1d")] == [1_800, 21_600, 86_400]
    assert [format_every(seconds) for seconds in (1_800, 21_600, 86_400, 129_600)] == ["30m", "6h", "1d", "36h"]


@pytest.mark.parametrize("text", ["", "0h", "6", "h", "-1h", "1.5h", "6 h", "6w", "999999d"])
def test_an_invalid_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="30m, 6h or 1d"):
        parse_every(text)


async def test_a_users_token_finds_every_page_and_instagram_account_with_the_pages_own_token(
    facebook: Facebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.backfill.accounts.import_accounts.PAGE_SIZE", 1)
    found = await find_accounts(facebook.client(USER_TOKEN))
    assert found == [
        FoundAccount(Platform.MESSENGER, PAGE_ID, PAGE_ID, "Casa Aurora Home", TOKEN),
        FoundAccount(Platform.INSTAGRAM, INSTAGRAM_ID, PAGE_ID, "casaaurora.home", TOKEN),
        FoundAccount(Platform.MESSENGER, OUTLET_PAGE.id, OUTLET_PAGE.id, OUTLET_PAGE.name, OUTLET_PAGE.token),
    ]
    assert TOKEN not in repr(found)
    assert sum("me/accounts" in url for url in facebook.urls) >= 2, "the Pages come on several pages"


async def test_a_pages_own_token_finds_that_page_and_its_instagram_account(facebook: Facebook) -> None:
    found = await find_accounts(facebook.client())
    assert isinstance(found, list)
    assert [(each.account_id, each.token) for each in found] == [(PAGE_ID, TOKEN), (INSTAGRAM_ID, TOKEN)]


async def test_a_token_that_is_refused_finds_nothing_and_says_why(facebook: Facebook) -> None:
    refusal = await find_accounts(facebook.client("EAAnonsense"))
    assert isinstance(refusal, GraphError)
    assert refusal.kind is ErrorKind.TOKEN


async def test_a_page_whose_token_the_user_may_not_have_is_left_out() -> None:
    pages = [{"id": "371", "name": "Theirs"}, {"id": "372", "access_token": "EAAours"}, {"name": "?"}, "?"]
    async with answering(ok({"data": pages})) as (_, client):
        assert await find_accounts(client) == [FoundAccount(Platform.MESSENGER, "372", "372", "372", "EAAours")]


async def test_withheld_permissions_are_named_for_the_platforms_that_need_them(facebook: Facebook) -> None:
    await facebook.configure(withheld=["pages_messaging", "instagram_basic"])
    client = facebook.client(USER_TOKEN)
    assert await withheld_permissions(client, [Platform.MESSENGER]) == ["pages_messaging"]
    assert await withheld_permissions(client, list(Platform)) == ["pages_messaging", "instagram_basic"]
    assert await withheld_permissions(facebook.client(), list(Platform)) == [], (
        "the platform does not say for a Page's token"
    )


def test_settings_of_an_account_survive_a_new_token() -> None:
    found = FoundAccount(Platform.INSTAGRAM, "1784", "372", "new.name", "EAAnew")
    known = Account(
        platform=Platform.INSTAGRAM, account_id="1784", page_id="371", name="Ours", encrypted_token="old",
        pipeline="Sales", mode=Mode.UPDATE_EXISTING, every_seconds=3_600, timezone="Asia/Manila",
    )  # fmt: skip
    renewed, new = merged(found, known, VAULT), merged(found, None, VAULT)
    assert VAULT.decrypt(renewed.encrypted_token) == VAULT.decrypt(new.encrypted_token) == "EAAnew"
    assert renewed == known.model_copy(update={"page_id": "372", "encrypted_token": renewed.encrypted_token})
    assert (new.name, new.pipeline, new.every_seconds, new.timezone) == ("new.name", None, None, "UTC")


@pytest.mark.parametrize("platform", list(Platform))
async def test_a_healthy_account_is_shown_with_everything_but_its_token(facebook: Facebook, platform: Platform) -> None:
    health = await facebook.check(platform)
    assert health.is_well
    assert health.token is not None
    assert (health.token.is_of_page, health.token.expires_at, health.missing_permissions) == (True, None, ())
    assert health.subscribed_fields == WEBHOOK_FIELDS
    seen, printed = shown(health), orjson.dumps(health_json(health)).decode()
    for fact in ("The [Page]", "well", "does not expire, data access until 2027-01-23", "pages_messaging"):
        assert fact in seen
    assert TOKEN not in seen + printed
    assert all(name in health_json(health)["permissions_granted"] for name in ("pages_messaging", "instagram_basic"))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"withheld": ["pages_show_list"]}, "permissions are missing: pages_show_list"),
        ({"withheld": ["pages_messaging"]}, "its conversations cannot be listed: permission 200"),
        ({"withheld": ["pages_manage_metadata"]}, "its webhooks cannot be checked: permission 200"),
        ({"expires_at": int(NOW.timestamp()) + 3 * DAY}, "the token ends 2026-11-27; connect the account again"),
        ({"data_access_expires_at": int(NOW.timestamp()) - DAY}, "data access has ended; connect the account again"),
        ({"subscribed": {}}, "its webhooks are not subscribed: messages, "),
        ({"subscribed": {PAGE_ID: ["messages"]}}, "its webhooks are not subscribed: message_echoes, "),
        ({"revoked": True}, "its conversations cannot be listed: token 190/463: the token has expired"),
    ],
)
async def test_problems_are_reported_with_advice(facebook: Facebook, changes: dict[str, Any], problem: str) -> None:
    await facebook.configure(**changes)
    health = await facebook.check()
    assert any(each.startswith(problem) for each in health.problems), health.problems
    assert f"! {problem}" in shown(health)
    assert health_json(health)["is_well"] is False


async def test_a_users_token_in_place_of_the_pages_is_reported(facebook: Facebook) -> None:
    health = await facebook.check(token=USER_TOKEN)
    assert any("page" in problem.lower() for problem in health.problems)
    assert not health.is_well


async def test_instagram_webhooks_arrive_when_the_page_is_subscribed_to_anything(facebook: Facebook) -> None:
    await facebook.configure(subscribed={PAGE_ID: ["feed"]})
    assert (await facebook.check(Platform.INSTAGRAM)).is_well
    assert not (await facebook.check()).is_well
    await facebook.configure(subscribed={})
    assert not (await facebook.check(Platform.INSTAGRAM)).is_well


async def test_subscribing_keeps_what_was_subscribed_and_is_seen_at_once(facebook: Facebook) -> None:
    await facebook.configure(subscribed={PAGE_ID: ["feed", "messages"]})
    health = await facebook.check(subscribe=True)
    assert health.is_well
    assert health.subscribed_fields == ("feed", *WEBHOOK_FIELDS)


async def test_unknown_token_facts_are_not_made_up(facebook: Facebook) -> None:
    await facebook.fail("debug_token", "100")
    health = await facebook.check()
    assert (health.is_well, health.token, health_json(health)["permissions_granted"]) == (True, None, None)
    assert "the platform gives no details" in shown(health)


async def test_a_check_does_not_wait_while_the_platform_throttles(facebook: Facebook) -> None:
    await facebook.fail("conversations", "rate_messenger")
    (problem,) = (await facebook.check()).problems
    assert problem.startswith("the platform makes calls wait for another ")


@pytest.mark.parametrize("error", ["transient", "unknown", "capability", "blocked", "missing", "abuse"])
async def test_a_refusal_is_a_problem_and_not_a_crash(facebook: Facebook, error: str) -> None:
    await facebook.fail("", error)
    assert not (await facebook.check()).is_well
