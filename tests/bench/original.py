"""The way of the program that this one replaced: one conversation at a time, and its sleeps between.

Only what it can be held to without its code: 100 ms behind every page, 500 ms behind every contact, and the model's
answer between where the model is of the comparison. What it did besides (profiles, writing) is left out, in its favour.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiohttp import ClientSession

PAGE_SECONDS, CONTACT_SECONDS, PAGE_SIZE = 0.1, 0.5, 100


async def seconds_for(url: str, page_id: str, conversations: int, *, model_seconds: float = 0.0) -> tuple[float, float]:
    """For all pages of the listing, and for so many conversations, with one answer of a model for each."""
    async with ClientSession(url) as session:
        began = time.perf_counter()
        threads = await _all(session, f"/v26.0/{page_id}/conversations")
        listed = time.perf_counter()
        for thread in threads[:conversations]:
            await _all(session, f"/v26.0/{thread['id']}/messages")
            await asyncio.sleep(model_seconds + CONTACT_SECONDS)
        return listed - began, time.perf_counter() - listed


async def _all(session: ClientSession, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    query = {"limit": str(PAGE_SIZE)}
    while True:
        async with session.get(path, params=query) as answer:
            page = await answer.json()
        await asyncio.sleep(PAGE_SECONDS)
        items += page["data"]
        if "next" not in page["paging"]:
            return items
        query["after"] = page["paging"]["cursors"]["after"]
