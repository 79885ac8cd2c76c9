"""The simulated Graph API answers and refuses like the real one."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientError

from services.simulator.app import APP_SECRET
from services.simulator.corpus import INSTAGRAM_ID, PAGE_ID
from services.simulator.state import FOREIGN_PAGE
from shared.runtime.crypto import appsecret_proof
from tests.unit.simulator.conftest import TOKEN, Client, control, get

EDGE = f"/v26.0/{PAGE_ID}/conversations"


async def all_pages(client: Client, path: str, **query: str) -> list[list[dict[str, Any]]]:
    pages: list[list[dict[str, Any]]] = []
    cursor: dict[str, str] = {}
    while True:
        status, page = await get(client, path, **query, **cursor)
        assert status == 200, page
        pages.append(page["data"])
        if "next" not in page.get("paging", {}):
            return pages
        cursor = {"after": page["paging"]["cursors"]["after"]}


async def oracle(client: Client, platform: str = "messenger") -> list[dict[str, Any]]:
    return [each for each in await control(client, "messages") if each["platform"] == platform]


@pytest.mark.parametrize("platform", ["messenger", "instagram"])
async def test_paging_returns_every_conversation_once_newest_first(client: Client, platform: str) -> None:
    fields = "id,updated_time,message_count,participants"
    pages = await all_pages(client, EDGE, platform=platform, limit="10", fields=fields)
    found = [conversation for page in pages for conversation in page]
    expected = {each["thread_id"] for each in await oracle(client, platform)}
    assert len(found) == len(expected)
    assert {each["id"] for each in found} == expected
    times = [each["updated_time"] for each in found]
    assert times == sorted(times, reverse=True)


async def test_empty_and_short_pages_are_not_the_last(client: Client) -> None:
    pages = await all_pages(client, EDGE, platform="messenger", limit="5")
    assert [] in pages[:-1]
    assert any(0 < len(page) < 5 for page in pages[:-1])


@pytest.mark.parametrize("platform", ["messenger", "instagram"])
async def test_every_message_of_every_conversation_can_be_paged(client: Client, platform: str) -> None:
    for each in await oracle(client, platform):
        pages = await all_pages(client, f"/v26.0/{each['thread_id']}/messages", fields="id,created_time", limit="17")
        assert [message["id"] for page in pages for message in page] == each["ids"]


async def test_instagram_shows_the_details_of_the_twenty_newest_only(client: Client) -> None:
    longest = max(await oracle(client, "instagram"), key=lambda each: len(each["ids"]))
    _, page = await get(client, f"/v26.0/{longest['thread_id']}/messages", fields="id,from,message", limit="100")
    assert [("from" in message) for message in page["data"]] == [True] * 20 + [False] * (len(page["data"]) - 20)
    assert [message["id"] for message in page["data"] if "from" in message] == longest["readable"]
    status, error = await get(client, f"/v26.0/{longest['ids'][-1]}", fields="id,message")
    assert (status, error["error"]["message"]) == (400, "The message has been deleted.")
    assert (await get(client, f"/v26.0/{longest['ids'][0]}", fields="id,message"))[0] == 200


async def test_a_message_has_its_sides_time_and_attachments(client: Client) -> None:
    thread = (await oracle(client))[0]
    fields = "id,created_time,from,to,message,attachments{id,mime_type,image_data{url}},sticker"
    _, page = await get(client, f"/v26.0/{thread['thread_id']}/messages", fields=fields, limit="100")
    ours, theirs = {"id": PAGE_ID}.items(), {"id": thread["customer_id"], "name": "Maria Santos"}.items()
    for message in page["data"]:
        sides = message["from"].items(), message["to"]["data"][0].items()
        assert (ours <= sides[0] and theirs <= sides[1]) or (theirs <= sides[0] and ours <= sides[1])
        assert message["created_time"].endswith("+0000")
    images = [each for message in page["data"] for each in message.get("attachments", {}).get("data", [])]
    assert all(image.keys() <= {"id", "mime_type", "image_data"} for image in images)
    assert any(image["image_data"].keys() == {"url"} for image in images if "image_data" in image)
    assert any("attachments" not in message for message in page["data"])


async def test_instagram_participants_are_the_customer_and_the_account(client: Client) -> None:
    _, page = await get(client, EDGE, platform="instagram", fields="participants", limit="100")
    for conversation in page["data"]:
        customer, account = conversation["participants"]["data"]
        assert customer["username"]
        assert (account["id"], account["username"]) == (INSTAGRAM_ID, "casaaurora.home")


async def test_without_fields_there_is_only_an_id_and_a_time(client: Client) -> None:
    thread = (await oracle(client))[0]
    _, page = await get(client, EDGE)
    assert {tuple(sorted(each)) for each in page["data"]} == {("id", "updated_time")}
    assert 0 < len(page["data"]) <= 25
    _, page = await get(client, f"/v26.0/{thread['thread_id']}/messages")
    assert {tuple(sorted(each)) for each in page["data"]} == {("created_time", "id")}


async def test_an_expanded_edge_has_a_next_page(client: Client) -> None:
    thread = (await oracle(client))[0]
    fields = "participants,messages.limit(3){id,message}"
    query = {"fields": fields, "access_token": TOKEN, "appsecret_proof": appsecret_proof(APP_SECRET, TOKEN)}
    async with client.get(f"/v26.0/{thread['thread_id']}", params=query) as answer:
        messages = (await answer.json())["messages"]
    found = [message["id"] for message in messages["data"]]
    while "next" in messages["paging"]:
        following = urlsplit(messages["paging"]["next"])
        async with client.get(
            f"{following.path}?{following.query}&appsecret_proof={query['appsecret_proof']}"
        ) as answer:
            messages = await answer.json()
        found += [message["id"] for message in messages["data"]]
    assert found == thread["ids"]


async def test_a_conversation_is_found_by_the_customers_id(client: Client) -> None:
    thread = (await oracle(client, "instagram"))[3]
    query = {"platform": "instagram", "user_id": thread["customer_id"]}
    assert [each["id"] for each in (await get(client, EDGE, **query))[1]["data"]] == [thread["thread_id"]]
    assert await get(client, EDGE, platform="instagram", user_id="1") == (200, {"data": []})


async def test_pages_accounts_and_customers_have_profiles(client: Client) -> None:
    assert (await get(client, "/v26.0/me"))[1] == {"id": PAGE_ID, "name": "Casa Aurora Home"}
    _, page = await get(client, f"/v26.0/{PAGE_ID}", fields="name,instagram_business_account")
    assert page["instagram_business_account"] == {"id": INSTAGRAM_ID}
    assert (await get(client, f"/v26.0/{INSTAGRAM_ID}", fields="username"))[1]["username"] == "casaaurora.home"
    customer = (await oracle(client))[0]["customer_id"]
    _, profile = await get(client, f"/v26.0/{customer}", fields="first_name,last_name,profile_pic,locale,timezone")
    assert (profile["first_name"], profile["last_name"], profile["timezone"]) == ("Maria", "Santos", 8)
    customer = (await oracle(client, "instagram"))[0]["customer_id"]
    assert (await get(client, f"/v26.0/{customer}", fields="name,username,profile_pic"))[1]["username"]


REFUSALS: list[tuple[str, dict[str, str], int, int, int | None]] = [
    (f"/v26.0/{INSTAGRAM_ID}/conversations", {"platform": "instagram"}, 400, 3, None),
    (EDGE, {"since": "1"}, 400, 100, None),
    (EDGE, {"until": "1"}, 400, 100, None),
    (EDGE, {"platform": "whatsapp"}, 400, 100, None),
    (EDGE, {"fields": "id,nonsense"}, 400, 100, None),
    (EDGE, {"fields": "id,messages{nonsense}"}, 400, 100, None),
    (EDGE, {"fields": "id,messages{id"}, 400, 2500, None),
    (EDGE, {"limit": "0"}, 400, 100, None),
    (EDGE, {"limit": "many"}, 400, 100, None),
    (EDGE, {"after": "nonsense"}, 400, 100, None),
    (EDGE, {"appsecret_proof": "00"}, 400, 100, None),
    (EDGE, {"appsecret_proof": "ü"}, 400, 100, None),
    (f"/v26.0/{PAGE_ID}/nonsense", {}, 400, 100, None),
    (f"/v26.0/{FOREIGN_PAGE.id}/conversations", {}, 403, 200, None),
    ("/v26.0/me", {"ids": "1,2"}, 500, 100, None),
    ("/v26.0/12345", {}, 400, 100, 33),
    ("/v26.0/t_1/messages", {}, 400, 100, 33),
    ("/v26.0", {}, 400, 100, 33),
    ("/", {}, 400, 100, 33),
    ("/v99.0/me", {}, 400, 2500, None),
    ("/v22.5/me", {}, 400, 2500, None),
    (f"/v26.0/{PAGE_ID}/conversations/more", {}, 400, 2500, None),
]


@pytest.mark.parametrize(("path", "query", "status", "code", "subcode"), REFUSALS)
async def test_calls_that_the_real_api_refuses_are_refused(
    client: Client, path: str, query: dict[str, str], status: int, code: int, subcode: int | None
) -> None:
    answered, body = await get(client, path, **query)
    assert (answered, body["error"]["code"], body["error"].get("error_subcode")) == (status, code, subcode)
    assert body["error"].keys() >= {"message", "type", "fbtrace_id"}


@pytest.mark.parametrize(("token", "status", "code"), [(None, 400, 2500), ("EAAGwrong", 401, 190)])
async def test_a_valid_token_is_required(client: Client, token: str | None, status: int, code: int) -> None:
    answered, body = await get(client, "/v26.0/me", token)
    assert (answered, body["error"]["code"]) == (status, code)


async def test_a_revoked_token_is_refused_until_it_is_restored(client: Client) -> None:
    await control(client, "configure", {"revoked": True})
    assert (await get(client, EDGE))[1]["error"]["error_subcode"] == 463
    await control(client, "configure", {"revoked": False})
    assert (await get(client, EDGE))[0] == 200


async def test_another_pages_token_cannot_read_our_objects(client: Client) -> None:
    thread = (await oracle(client))[0]
    assert (await get(client, "/v26.0/me", FOREIGN_PAGE.token))[1]["id"] == FOREIGN_PAGE.id
    assert (await get(client, "/v26.0/me/conversations", FOREIGN_PAGE.token))[1] == {"data": []}
    for path in (thread["thread_id"], f"{thread['thread_id']}/messages", thread["ids"][0], thread["customer_id"]):
        assert (await get(client, f"/v26.0/{path}", FOREIGN_PAGE.token))[1]["error"]["error_subcode"] == 33
    assert (await get(client, EDGE, FOREIGN_PAGE.token))[1]["error"]["code"] == 200


async def test_a_proof_is_required_only_when_the_app_requires_it(client: Client) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with client.get("/v26.0/me", headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (400, 100)
    await control(client, "configure", {"require_proof": False})
    async with client.get("/v26.0/me", headers=headers) as answer:
        assert answer.status == 200


async def test_writes_are_refused(client: Client) -> None:
    async with client.post("/v26.0/me/messages", json={}) as answer:
        assert (answer.status, (await answer.json())["error"]["error_subcode"]) == (400, 33)


@pytest.mark.parametrize(
    ("asked", "served"), [("/v26.0", "v26.0"), ("/v22.0", "v22.0"), ("/v9.0", "v21.0"), ("", "v26.0")]
)
async def test_the_oldest_supported_version_answers_for_expired_ones(client: Client, asked: str, served: str) -> None:
    query = {"access_token": TOKEN, "appsecret_proof": appsecret_proof(APP_SECRET, TOKEN)}
    async with client.get(f"{asked}/me", params=query) as answer:
        assert (answer.status, answer.headers["facebook-api-version"]) == (200, served)


async def test_next_repeats_a_token_of_the_query_but_never_the_proof(client: Client) -> None:
    query = {"access_token": TOKEN, "appsecret_proof": appsecret_proof(APP_SECRET, TOKEN), "limit": "5"}
    async with client.get(EDGE, params=query) as answer:
        following = parse_qs(urlsplit((await answer.json())["paging"]["next"]).query)
    assert following["access_token"] == [TOKEN]
    assert "appsecret_proof" not in following
    _, page = await get(client, EDGE, limit="5")
    assert "access_token" not in page["paging"]["next"]


async def test_instagram_allows_two_calls_a_second(client: Client) -> None:
    await control(client, "configure", {"instagram_per_second": 0.01})
    codes = [(await get(client, EDGE, platform="instagram"))[1].get("error", {}).get("code") for _ in range(6)]
    assert codes == [None, None, None, 80002, 80002, 80002]
    stats = await control(client, "stats")
    assert (stats["throttled"], stats["while_throttled"], stats["crowded"]) == (3, 2, 4)
    assert (await get(client, EDGE, platform="messenger"))[0] == 200


async def test_the_headers_report_a_used_up_budget(client: Client) -> None:
    await control(client, "configure", {"budget_calls": 2, "budget_seconds": 600})
    assert [(await get(client, EDGE))[0] for _ in range(3)] == [200, 200, 400]
    query = {"access_token": TOKEN, "appsecret_proof": appsecret_proof(APP_SECRET, TOKEN)}
    async with client.get(EDGE, params=query) as answer:
        assert (await answer.json())["error"]["code"] == 80006
        (usage,) = json.loads(answer.headers["x-business-use-case-usage"])[PAGE_ID]
        assert json.loads(answer.headers["x-app-usage"])["call_count"] == 1
    assert (usage["type"], usage["call_count"], usage["estimated_time_to_regain_access"]) == ("messenger", 100, 10)


@pytest.mark.parametrize("effect", ["html", "truncate", "cut", "reset", "error_in_200", "error"])
async def test_a_fault_happens_the_requested_number_of_times(client: Client, effect: str) -> None:
    await control(client, "faults", [{"path": "/me", "effect": effect, "skip": 1, "times": 1}])
    assert await is_answered(client)
    assert not await is_answered(client)
    assert await is_answered(client)
    assert (await control(client, "stats"))["me"] == 3


@pytest.mark.parametrize(
    ("error", "status", "code", "subcode"),
    [("613/2018338", 400, 613, 2018338), ("rate_app", 400, 4, None), ("190/460", 400, 190, 460), ("1", 500, 1, None)],
)
async def test_a_fault_is_chosen_by_name_or_by_code(
    client: Client, error: str, status: int, code: int, subcode: int | None
) -> None:
    await control(client, "faults", [{"query": "platform=instagram", "error": error}])
    assert (await get(client, EDGE, platform="messenger"))[0] == 200
    answered, body = await get(client, EDGE, platform="instagram")
    assert (answered, body["error"]["code"], body["error"].get("error_subcode")) == (status, code, subcode)


async def test_a_limit_of_the_app_applies_to_every_account(client: Client) -> None:
    await control(client, "faults", [{"error": "rate_app", "regain_minutes": 5}])
    assert (await get(client, EDGE, platform="messenger"))[1]["error"]["code"] == 4
    assert (await get(client, EDGE, platform="instagram"))[0] == 200
    assert (await control(client, "stats"))["while_throttled"] == 1


async def test_calls_during_a_fault_of_a_rate_limit_are_counted(client: Client) -> None:
    await control(client, "faults", [{"error": "rate_messenger", "status": 429, "regain_minutes": 5, "times": 2}])
    assert [(await get(client, EDGE))[0] for _ in range(3)] == [429, 429, 200]
    assert (await control(client, "stats"))["while_throttled"] == 2


@pytest.mark.parametrize(
    "rules",
    ["nonsense", {"path": "/me"}, [{"error": "nonsense"}], [{"effect": "explode"}], [{"times": -1}], [{"x": 1}]],
)
async def test_invalid_faults_are_refused(client: Client, rules: object) -> None:
    assert "error" in await control(client, "faults", rules, 400)


async def is_answered(client: Client) -> bool:
    try:
        status, body = await get(client, "/v26.0/me")
    except (ClientError, ValueError):
        return False
    return status == 200 and "error" not in body
