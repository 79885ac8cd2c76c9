"""The receiver over HTTP, with a publisher that fails the way a broker does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from io import BytesIO

import orjson
import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from services.receiver.app import MAX_BODY_BYTES, create_app
from services.receiver.normalise import Batch
from services.receiver.spool import SpoolError
from shared.crypto import webhook_signature
from shared.metrics import ReceiverMetrics

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
BODY = orjson.dumps(
    {
        "object": "page",
        "entry": [
            {"id": "1", "messaging": [{"sender": {"id": "2"}, "recipient": {"id": "1"}, "message": {"mid": "m_1"}}]}
        ],
    }
)
Client = TestClient[Request, Application]


class FakePublisher:
    def __init__(self) -> None:
        self.published: list[Batch] = []
        self.failure: Exception | None = None

    async def publish(self, batch: Batch, _traceparent: str | None) -> None:
        if self.failure:
            raise self.failure
        self.published.append(batch)

    async def is_writable(self) -> bool:
        return self.failure is None


@pytest.fixture
def publisher() -> FakePublisher:
    return FakePublisher()


@pytest.fixture
async def client(publisher: FakePublisher) -> AsyncIterator[Client]:
    app = create_app(publisher, ["old", "new"], "letmein", ReceiverMetrics(), lambda: NOW)
    async with TestClient(TestServer(app)) as client:
        yield client


async def post(client: Client, body: bytes, secret: str = "new") -> int:
    headers = {"X-Hub-Signature-256": webhook_signature(secret, body), "Content-Type": "application/json"}
    async with client.post("/webhook", data=BytesIO(body), headers=headers) as answer:
        return answer.status


async def test_the_handshake_echoes_the_challenge_as_plain_text(client: Client) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "letmein", "hub.challenge": "<script>1158201444"}
    async with client.get("/webhook", params=query) as answer:
        assert (answer.status, await answer.text()) == (200, "<script>1158201444")
        assert answer.content_type == "text/plain"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"hub.mode": "subscribe", "hub.challenge": "1"},
        {"hub.mode": "subscribe", "hub.verify_token": "wrong", "hub.challenge": "1"},
        {"hub.mode": "unsubscribe", "hub.verify_token": "letmein", "hub.challenge": "1"},
        {"hub.mode": "subscribe", "hub.verify_token": "ñ", "hub.challenge": "1"},
    ],
)
async def test_any_other_handshake_is_forbidden(client: Client, query: dict[str, str]) -> None:
    async with client.get("/webhook", params=query) as answer:
        assert answer.status == 403


@pytest.mark.parametrize("secret", ["old", "new"])
async def test_a_body_signed_with_any_secret_is_published(
    client: Client, publisher: FakePublisher, secret: str
) -> None:
    assert await post(client, BODY, secret) == 200
    assert [event.event_id for event in publisher.published[0].events] == ["message:messenger:1:1"]


async def test_a_body_signed_by_someone_else_is_forbidden_and_not_read(
    client: Client, publisher: FakePublisher
) -> None:
    assert await post(client, BODY, "guess") == 403
    assert publisher.published == []


async def test_a_body_of_four_mebibytes_is_read_and_one_byte_more_is_too_large(client: Client) -> None:
    padding = MAX_BODY_BYTES - len(BODY)
    assert await post(client, BODY + b" " * padding) == 200
    assert await post(client, BODY + b" " * (padding + 1)) == 413


async def test_what_could_not_be_kept_is_never_answered_200(client: Client, publisher: FakePublisher) -> None:
    publisher.failure = SpoolError("the spool is full")
    assert await post(client, BODY) == 503
    async with client.get("/ready") as answer:
        assert answer.status == 503


async def test_signed_nonsense_is_answered_200_and_parked(client: Client, publisher: FakePublisher) -> None:
    assert await post(client, b"not json") == 200
    assert [letter.reason for letter in publisher.published[0].letters] == ["not_json"]


async def test_what_happened_can_be_read_from_metrics(client: Client) -> None:
    await post(client, BODY)
    await post(client, b"not json")
    async with client.get("/metrics") as answer:
        text = await answer.text()
    assert 'leadstream_receiver_events_total{kind="message"} 1.0' in text
    assert 'leadstream_receiver_parked_total{reason="not_json"} 1.0' in text
    assert 'leadstream_receiver_answers_total{status="200"} 2.0' in text


@pytest.mark.parametrize("path", ["/live", "/ready", "/version"])
async def test_the_pages_of_operation_answer(client: Client, path: str) -> None:
    async with client.get(path) as answer:
        assert answer.status == 200
