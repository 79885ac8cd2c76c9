"""The Graph API that the backfill is measured against."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from services.backfill.crawl.normalise_messages import RunConversation
from services.backfill.crawl.parse_listing import Listed, read_listed
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.graph_api.client import read_page
from shared.graph_api.errors import GraphError
from shared.runtime.clock import utc_now
from tests.bench.pages import PAGE_ID, Api, Corpus, Pages

CORPUS = Corpus(conversations=7, messages=5, large=12)


def all_of(api: Api, path: str, limit: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    following: dict[str, str] | None = {}
    while following is not None:
        query = "&".join(f"{name}={value}" for name, value in {"limit": str(limit), **following}.items())
        status, body, _ = api.answer(f"{path}?{query}")
        page = read_page(orjson.loads(body))
        assert status == 200
        assert not isinstance(page, GraphError)
        items, following = items + page.items, page.following
    return items


@pytest.mark.parametrize("limit", [1, 4, 5, 100])
def test_every_message_of_every_conversation_is_listed_once_and_readable(limit: int) -> None:
    api = Api(CORPUS, Pages(CORPUS))
    account = Account(
        platform=Platform.MESSENGER, account_id=PAGE_ID, page_id=PAGE_ID, name="Shop", encrypted_token="-"
    )  # fmt: skip
    mids, counts, times = set[str](), list[int](), list[str]()
    for item in all_of(api, f"/v26.0/{PAGE_ID}/conversations", limit):
        listed = read_listed(item, account)
        assert isinstance(listed, Listed)
        messages = all_of(api, f"/v26.0/{listed.thread_id}/messages", limit)
        events = [RunConversation(account, listed, "run").message_event(each, utc_now()) for each in messages]
        mids |= {event.value["mid"] for event in events if event}
        counts.append(len(messages))
        times.append(item["updated_time"])
        assert listed.message_count == len(messages)
    assert counts == [12, *[5] * 7]
    assert len(mids) == sum(counts)
    assert times == sorted(times, reverse=True)
    assert api.calls["conversations"] == -(-8 // limit)


def test_the_limit_of_two_calls_a_second_holds_on_instagram_only() -> None:
    for platform, is_refused in (("instagram", True), ("messenger", False)):
        api = Api(Corpus(1, 1, platform=platform), Pages(CORPUS))
        answers = [api.answer(f"/v26.0/{PAGE_ID}/conversations")[0] for _ in range(5)]
        assert (400 in answers) is is_refused
        stats = orjson.loads(api.answer("/stats")[1])
        assert bool(stats["throttled"] and stats["crowded"] and stats["while_throttled"]) is is_refused
        assert stats["conversations"] == 5
