"""A client library that others wrote for the real Graph API can page the simulated one."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import ClientSession
from pyfacebook.api.graph import GraphAPI


async def test_python_facebook_api_pages_conversations_and_messages_to_the_end(simulator: dict[str, Any]) -> None:
    page = simulator["accounts"][0]
    url = simulator["graph_url"] + "/"
    api = GraphAPI(
        app_id="1", app_secret=simulator["app_secret"], access_token=page["token"], base_url=url, version="v24.0"
    )
    conversations = await asyncio.to_thread(
        api.get_full_connections, page["id"], "conversations", fields="id,updated_time", limit=10, count=None
    )
    async with ClientSession() as session, session.get(f"{url}_simulator/messages") as answer:
        oracle = {each["thread_id"]: each["ids"] for each in await answer.json() if each["account_id"] == page["id"]}
    assert {each["id"] for each in conversations["data"]} == set(oracle)
    longest = max(oracle, key=lambda thread: len(oracle[thread]))
    messages = await asyncio.to_thread(
        api.get_full_connections, longest, "messages", fields="id,message,from,created_time", limit=25, count=None
    )
    assert [each["id"] for each in messages["data"]] == oracle[longest]
    assert len(oracle[longest]) == 87
