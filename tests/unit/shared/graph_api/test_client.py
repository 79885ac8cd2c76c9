"""The Graph API client with a server that returns the real one's errors."""

from __future__ import annotations

import asyncio
import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from shared.graph_api import client as graph_module
from shared.graph_api.client import PAGES_BEFORE_GROWTH, GraphClient, GraphPage
from shared.graph_api.errors import ErrorKind, GraphError
from shared.graph_api.usage import Usage
from shared.runtime.crypto import appsecret_proof
from tests.unit.backfill.fake_graph import TOKEN, Answer, answering, error, ok, serving

PAYLOADS = Path(__file__).parents[2] / "payloads" / "graph"


def load(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_text())


def page(*ids: str, after: str | None = None) -> dict[str, Any]:
    """Return a page of the Graph API; with `after`, its `next` repeats our parameters and contains the token."""
    body: dict[str, Any] = {"data": [{"id": each} for each in ids]}
    if after:
        address = f"https://graph.facebook.com/v26.0/1/e?access_token={TOKEN}&fields=id&limit=25&path=x&after={after}"
        body["paging"] = {"cursors": {"before": "b", "after": after}, "next": address}
    return body


async def ids_of(client: GraphClient, limit: int = 100) -> list[str] | GraphError:
    found: list[str] = []
    async for each in client.pages("1/e", limit, {"fields": "id"}):
        if isinstance(each, GraphError):
            return each
        found += [item["id"] for item in each.items]
    return found


async def kind_of(client: GraphClient) -> ErrorKind | None:
    answer = await client.get("1", {})
    return answer.kind if isinstance(answer, GraphError) else None


async def test_the_token_is_sent_in_the_header_only() -> None:
    async with answering(ok(page("1"))) as (graph, client):
        client.app_secret = "app-secret"
        assert await ids_of(client) == ["1"]
        (request,) = graph.requests
    assert request.path == "/v26.0/1/e"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    proof = appsecret_proof("app-secret", TOKEN)
    assert dict(request.query) == {"fields": "id", "limit": "100", "appsecret_proof": proof}
    assert TOKEN not in str(request.url)
    assert TOKEN not in repr(client)
    assert "app-secret" not in repr(client)


async def test_paging_ends_only_without_a_next_page() -> None:
    last = load("derived_last_page_without_next")
    async with answering(ok(page("1", after="c1")), ok(page(after="c2")), ok(last)) as (graph, client):
        assert await ids_of(client, limit=2) == ["1", "t_1"]
    common = {"fields": "id", "limit": "2"}
    assert graph.queries == [common, common | {"after": "c1"}, common | {"after": "c2"}]
    assert client.calls == 3


async def test_paging_without_cursors_follows_next_without_its_token() -> None:
    first = load("restfb687_messages_time_paging")["messages"]
    async with answering(ok(first), ok(page())) as (graph, client):
        assert await ids_of(client) == ["m_mid.1488447453538:e313cc8368"]
    opaque = {"until": "1476721922", "__paging_token": "MASKED"}
    assert graph.queries[1] == {"fields": "id", "limit": "100", **opaque}


async def test_a_page_that_links_to_itself_is_an_error() -> None:
    async with answering(ok(page("1", after="c1"))) as (graph, client):
        assert isinstance(await ids_of(client), GraphError)
    assert len(graph.requests) == 2


async def test_a_page_without_a_usable_next_does_not_restart_the_list() -> None:
    lost = {**page("2"), "paging": {"next": "https://graph.facebook.com/"}}
    async with answering(ok(page("1", after="c1")), ok(lost), *[error(10)] * 2) as (graph, client):
        client.deadline_seconds = 0.0
        assert isinstance(await ids_of(client), GraphError)
    assert len(graph.requests) == 2


@pytest.mark.parametrize(
    "body", [{}, {"data": None}, {"data": {"id": "1"}}, {"success": True}, {"data": [], "paging": "x"}]
)
async def test_a_body_without_a_list_is_an_error(body: object) -> None:
    async with answering(ok(body)) as (_, client):
        assert isinstance(await ids_of(client), GraphError)


@pytest.mark.parametrize(
    ("paging", "following"),
    [
        ({"next": "http://["}, {}),
        ({"next": 5}, {}),
        ({"next": "x?a=1", "cursors": []}, {"a": "1"}),
        ({"next": "x?a=1", "cursors": {"after": None}}, {"a": "1"}),
        ({"next": "", "cursors": {"after": "c"}}, None),
        (None, None),
        ([], None),
    ],
)
async def test_malformed_paging_raises_no_exception(paging: object, following: dict[str, str] | None) -> None:
    async with answering(ok({"data": [None, {"id": "1"}], "paging": paging})) as (_, client):
        first = await anext(client.pages("1/e", 25, {"after": "x"}))
    if following == {}:
        assert isinstance(first, GraphError), "the first page again"
    else:
        assert first == GraphPage([{}, {"id": "1"}], following)


async def test_too_much_data_halves_the_page_down_to_one_item() -> None:
    reduce = error(1, 99)
    async with answering(reduce, reduce, ok(page("1", after="c1")), ok(page("2"))) as (graph, client):
        assert await ids_of(client) == ["1", "2"]
    assert [query["limit"] for query in graph.queries] == ["100", "50", "25", "25"]
    async with answering(reduce) as (graph, client):
        assert isinstance(await ids_of(client, limit=5), GraphError)
    assert [query["limit"] for query in graph.queries] == ["5", "2", "1"]


async def test_the_page_grows_again_after_too_much_data() -> None:
    reduce, more = error(1, 99), [ok(page("1", after=f"c{number}")) for number in range(3 * PAGES_BEFORE_GROWTH)]
    answers = [reduce, reduce, *more[:-1], reduce, more[-1], ok(page("2"))]
    async with answering(*answers) as (graph, client):
        assert await ids_of(client) == ["1"] * len(more) + ["2"]
    asked = [(limit, len(list(same))) for limit, same in groupby(query["limit"] for query in graph.queries)]
    at_each = PAGES_BEFORE_GROWTH
    assert asked == [("100", 1), ("50", 1), ("25", at_each), ("50", at_each), ("100", at_each), ("50", 2)]


TRANSIENT: dict[str, Answer] = {
    "HTML": (502, b"<html>Sorry, something went wrong.</html>", {}),
    "truncated JSON": (200, b'{"data":[{"id":"1"', {}),
    "a truncated body": (200, b'{"data":[]}', {"Content-Length": "5000"}),
    "nothing": (200, b"", {}),
    "a list": (200, [], {}),
    "an error in a 200": (200, {"error": {"code": 2, "is_transient": True}}, {}),
    "an error without a code": (500, {"error": "?"}, {}),
    "the old form": (400, {"error_type": "OAuthException", "code": 400, "error_message": "?"}, {}),
    "code 2": error(2),
    "a reset": (0, b"", {}),
    "a redirect": (302, b"", {"Location": "http://127.0.0.1:1/"}),
    "invalid UTF-8": (200, b'{"data":["\xff"]}', {}),
}


@pytest.mark.parametrize("name", TRANSIENT)
async def test_a_transient_error_is_retried(name: str) -> None:
    async with answering(TRANSIENT[name], TRANSIENT[name], ok(page("1"))) as (graph, client):
        assert await ids_of(client) == ["1"]
    assert len(graph.requests) == 3
    assert client.calls == len(graph.naps) + 1
    assert all(0 <= seconds <= 2 for seconds in graph.naps)


async def test_an_unanswered_call_is_retried() -> None:
    never = asyncio.Event()

    async def respond(_request: web.Request) -> Answer:
        if client.calls == 1:
            await never.wait()
        return ok(page("1"))

    async with serving(respond) as (_, client):
        client.timeout_seconds = 0.1
        assert await ids_of(client) == ["1"]
        never.set()
    assert client.calls == 2


async def test_an_unreachable_server_is_returned_as_an_error() -> None:
    async with answering(ok({})) as (_, client):
        client.base_url, client.deadline_seconds = "http://127.0.0.1:1", 0
        assert await kind_of(client) is ErrorKind.TRANSIENT


async def test_back_off_ends_at_the_deadline() -> None:
    async with answering(error(2)) as (graph, client):
        assert await kind_of(client) is ErrorKind.TRANSIENT
    assert client.deadline_seconds - 30 <= sum(graph.naps) <= client.deadline_seconds + 30


async def test_unanswered_calls_end_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    never = asyncio.Event()
    monkeypatch.setattr(graph_module, "BACK_OFF", lambda _state: 0.001)

    async def respond(_request: web.Request) -> Answer:
        await never.wait()
        return ok({})

    async with serving(respond) as (graph, client):
        client.timeout_seconds, client.deadline_seconds = 0.05, 0.15
        assert await kind_of(client) is ErrorKind.TRANSIENT
        never.set()
    assert len(graph.requests) <= 3


@pytest.mark.parametrize("refusal", [error(190, 463), error(10), error(3), error(368), error(613, 2018338), error(100)])
async def test_a_permanent_error_is_not_retried(refusal: Answer) -> None:
    async with answering(refusal) as (graph, client):
        answer = await client.get("1", {})
    assert isinstance(answer, GraphError)
    assert TOKEN not in repr(answer)
    assert (len(graph.requests), graph.naps) == (1, [])


async def test_throttling_waits_as_long_as_the_platform_says() -> None:
    header = load("headers_usage_throttled_doc")["x-business-use-case-usage"]
    throttled = error(80006, **{"X-Business-Use-Case-Usage": header})
    async with answering(throttled, ok({})) as (graph, client):
        assert await kind_of(client) is None
    assert graph.waits == [19 * 60]
    assert graph.seconds == 19 * 60


async def test_throttling_without_a_time_waits_from_a_minute_to_an_hour() -> None:
    async with answering(*[error(4)] * 8, ok({}), error(4), ok({})) as (graph, client):
        assert await kind_of(client) is None
        assert graph.waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]
        assert graph.seconds == sum(graph.waits)
        assert await kind_of(client) is None
        assert graph.waits[8:] == [60]


async def test_the_governor_admits_and_records_every_call_with_retries() -> None:
    class Listening:
        pressure = 0.0

        def __init__(self) -> None:
            self.said = list[object]()

        async def acquire(self) -> None:
            self.said.append("admitted")

        async def record_answer(self, usage: Usage, error: GraphError | None) -> None:
            self.said.append((usage.app, error and error.code))

    used = {"X-App-Usage": '{"call_count": 12, "total_cputime": 80}'}
    transient: Answer = 500, {"error": {"code": 2}}, used
    refused: Answer = 200, {"error": {"code": 10}}, used
    async with answering((0, b"", {}), transient, refused) as (_, client):
        governor = client.governor = Listening()
        assert await kind_of(client) is ErrorKind.PERMISSION
    assert governor.said == ["admitted", (None, None), "admitted", (0.8, 2), "admitted", (0.8, 10)]


async def test_a_requested_wait_is_kept_up_to_the_deadline() -> None:
    async with answering((503, b"", {"Retry-After": "7"}), (503, b"", {"Retry-After": "9000"}), ok({})) as (
        graph,
        client,
    ):
        assert await kind_of(client) is None
    (first, second) = graph.naps
    assert 7 < first <= 7.5, "calls that were refused together do not retry together"
    assert second == 300
