"""The simulated Graph API has Pages, tokens, permissions and subscriptions like the real one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.simulator.app import APP_SECRET
from services.simulator.connections import SUBSCRIBED_FIELDS
from services.simulator.corpus import INSTAGRAM_ID, PAGE_ID
from services.simulator.state import FOREIGN_PAGE, OUTLET_PAGE, USER_TOKEN
from shared.runtime.crypto import appsecret_proof
from tests.unit.simulator.conftest import TOKEN, Client, control, get

SUBSCRIPTION = f"/v26.0/{PAGE_ID}/subscribed_apps"


async def debug(client: Client, token: str, access_token: str = TOKEN) -> dict[str, Any]:
    status, answer = await get(client, "/v26.0/debug_token", access_token, input_token=token)
    assert status == 200, answer
    data: dict[str, Any] = answer["data"]
    return data


async def subscribe(client: Client, fields: str, token: str = TOKEN) -> tuple[int, dict[str, Any]]:
    query = {"subscribed_fields": fields, "appsecret_proof": appsecret_proof(APP_SECRET, token)}
    headers = {"Authorization": f"Bearer {token}"}
    async with client.post(SUBSCRIPTION, params=query, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_the_users_pages_are_listed_with_tokens_and_instagram_accounts(client: Client) -> None:
    query = {"fields": "id,name,access_token,instagram_business_account{id,username}", "limit": "1"}
    _, first = await get(client, "/v26.0/me/accounts", USER_TOKEN, **query)
    _, second = await get(client, "/v26.0/me/accounts", USER_TOKEN, **query, after=first["paging"]["cursors"]["after"])
    found = [*first["data"], *second["data"]]
    if not second["data"]:
        _, third = await get(
            client, "/v26.0/me/accounts", USER_TOKEN, **query, after=second["paging"]["cursors"]["after"]
        )
        found += third["data"]
    assert [(page["id"], page["access_token"]) for page in found] == [
        (PAGE_ID, TOKEN),
        (OUTLET_PAGE.id, OUTLET_PAGE.token),
    ]
    assert found[0]["instagram_business_account"] == {"id": INSTAGRAM_ID, "username": "casaaurora.home"}
    assert "instagram_business_account" not in found[1]


async def test_an_unknown_edge_of_the_user_is_refused(client: Client) -> None:
    token = (await control(client, "user"))["token"]
    assert (await get(client, "/v26.0/me", token))[1]["name"] == "Aurora Villanueva"
    assert len((await get(client, "/v26.0/me/accounts", token))[1]["data"]) == 2


async def test_only_the_user_has_pages_and_permissions_and_only_a_page_has_conversations(client: Client) -> None:
    for edge in ("accounts", "permissions"):
        assert (await get(client, f"/v26.0/me/{edge}"))[1]["error"]["code"] == 100
    assert (await get(client, f"/v26.0/{PAGE_ID}/conversations", USER_TOKEN))[1]["error"]["code"] == 210


async def test_a_withheld_permission_is_declined_and_refused_where_needed(
    client: Client,
) -> None:
    await control(client, "configure", {"withheld": ["pages_messaging"]})
    _, told = await get(client, "/v26.0/me/permissions", USER_TOKEN)
    assert {"permission": "pages_messaging", "status": "declined"} in told["data"]
    assert "pages_messaging" not in (await debug(client, TOKEN))["scopes"]
    assert (await get(client, f"/v26.0/{PAGE_ID}/conversations"))[1]["error"]["code"] == 200
    assert (await get(client, f"/v26.0/{PAGE_ID}/conversations", platform="instagram"))[0] == 200


async def test_a_tokens_details_name_its_owner_and_expiry(client: Client) -> None:
    await control(client, "configure", {"expires_at": 1_800_000_000})
    page, user = await debug(client, TOKEN), await debug(client, USER_TOKEN)
    assert (page["type"], page["profile_id"], page["is_valid"]) == ("PAGE", PAGE_ID, True)
    assert (user["type"], page["expires_at"]) == ("USER", 1_800_000_000)
    assert (await debug(client, "EAAnonsense"))["is_valid"] is False


async def test_a_subscription_replaces_the_former_one(client: Client) -> None:
    assert (await get(client, SUBSCRIPTION))[1]["data"][0]["subscribed_fields"] == list(SUBSCRIBED_FIELDS)
    assert await subscribe(client, "messages,message_reads") == (200, {"success": True})
    assert (await get(client, SUBSCRIPTION))[1]["data"][0]["subscribed_fields"] == ["messages", "message_reads"]
    await control(client, "configure", {"subscribed": {}})
    assert (await get(client, SUBSCRIPTION))[1] == {"data": []}


@pytest.mark.parametrize(
    ("fields", "token", "code"), [("", TOKEN, 100), ("nonsense", TOKEN, 100), ("messages", FOREIGN_PAGE.token, 200)]
)
async def test_an_invalid_subscription_is_refused(client: Client, fields: str, token: str, code: int) -> None:
    assert (await subscribe(client, fields, token))[1]["error"]["code"] == code


async def test_each_call_of_a_batch_gets_its_own_answer(client: Client) -> None:
    parts = [{"method": "GET", "relative_url": url} for url in ("me", f"debug_token?input_token={TOKEN}", "ig_nobody")]
    query, headers = {"appsecret_proof": appsecret_proof(APP_SECRET, TOKEN)}, {"Authorization": f"Bearer {TOKEN}"}
    async with client.post("/v26.0/", params=query, headers=headers, data={"batch": json.dumps(parts)}) as answer:
        told = await answer.json()
    assert [each["code"] for each in told] == [200, 200, 400]
    assert json.loads(told[1]["body"])["data"]["is_valid"] is True
    async with client.post("/v26.0/", params=query, headers=headers, data={"batch": "{"}) as answer:
        assert answer.status == 400
