"""A client library written for the real Graph API can read the simulated one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientSession
from pyfacebook.api.graph import GraphAPI


@pytest.mark.parametrize(("place", "longest"), [(0, 87), (1, 43)])
async def test_python_facebook_api_reads_all_conversations_and_messages(
    simulator: dict[str, Any], place: int, longest: int
) -> None:
    account, url = simulator["accounts"][place], simulator["graph_url"] + "/"
    no_limit = {"instagram_per_second": 0}
    async with ClientSession() as session, session.post(f"{url}_simulator/configure", json=no_limit) as answer:
        assert answer.status == 200
    api = GraphAPI(
        app_id="1", app_secret=simulator["app_secret"], access_token=account["token"], base_url=url, version="v24.0"
    )
    conversations = await asyncio.to_thread(
        api.get_full_connections, account["page_id"], "conversations",
        fields="id,updated_time", limit=12, count=None, platform=account["platform"],
    )  # fmt: skip
    async with ClientSession() as session, session.get(f"{url}_simulator/messages") as answer:
        oracle = {each["thread_id"]: each["ids"] for each in await answer.json() if each["account_id"] == account["id"]}
    assert {each["id"] for each in conversations["data"]} == set(oracle)
    thread = max(oracle, key=lambda each: len(oracle[each]))
    messages = await asyncio.to_thread(
        api.get_full_connections, thread, "messages", fields="id,message,from,created_time", limit=25, count=None
    )
    assert [each["id"] for each in messages["data"]] == oracle[thread]
    assert len(oracle[thread]) == longest
