"""The receiver over HTTP, with a publisher that fails the way a broker does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import orjson
import pytest
from aiohttp.test_utils import RawTestServer, TestClient
from aiohttp.web import BaseRequest
from structlog.testing import capture_logs

from services.receiver.app import create_handler
from services.receiver.http.body import MAX_BODY_BYTES, BodyReader
from services.receiver.publish.group_publisher import GroupPublisher
from services.receiver.publish.spool import SpoolError
from shared.bus.producer import KafkaError, Record, Topics
from shared.runtime.crypto import webhook_signature
from shared.runtime.metrics import ReceiverMetrics

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
BODY = orjson.dumps(
    {
        "object": "page",
        "entry": [
            {"id": "1", "messaging": [{"sender": {"id": "2"}, "recipient": {"id": "1"}, "message": {"mid": "m_1"}}]}
        ],
    }
)
TRACE = f"00-{'a1' * 16}-{'b2' * 8}-01"
Client = TestClient[BaseRequest, None]


class FakePublisher:
    def __init__(self) -> None:
        self.published: list[Record] = []
        self.failure: Exception | None = None

    async def store(self, records: Sequence[Record]) -> bool:
        if self.failure:
            raise self.failure
        self.published += records
        return True

    @property
    def ids(self) -> list[str]:
        return [dict(record.headers)["ce_id"].decode() for record in self.published]

    @property
    def traces(self) -> list[str]:
        return [dict(record.headers)["traceparent"].decode() for record in self.published]


@pytest.fixture
def publisher() -> FakePublisher:
    return FakePublisher()


@pytest.fixture
def allowed() -> set[str]:
    """Paths that a client without a certificate may call, as the check sees them."""
    return {"/webhook"}


@pytest.fixture
def metrics() -> ReceiverMetrics:
    return ReceiverMetrics()


@pytest.fixture
async def client(publisher: FakePublisher, allowed: set[str], metrics: ReceiverMetrics) -> AsyncIterator[Client]:
    publish = GroupPublisher(publisher.store, Topics(), metrics, lambda: NOW).publish
    handler = create_handler(
        publish, ["old", "new"], ["letmein", "letmein2"], metrics, BodyReader(60),
        lambda request: request.path in allowed,
    )  # fmt: skip
    client: Client = TestClient(RawTestServer(handler))
    async with client:
        yield client


async def post(client: Client, body: bytes, secret: str = "new", **headers: str) -> int:
    signed = {"X-Hub-Signature-256": webhook_signature(secret, body), "Content-Type": "application/json", **headers}
    async with client.post("/webhook", data=BytesIO(body), headers=signed) as answer:
        return answer.status


async def test_the_handshake_echoes_the_challenge_as_plain_text(client: Client) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "letmein", "hub.challenge": "<script>1158201444"}
    async with client.get("/webhook", params=query) as answer:
        assert (answer.status, await answer.text()) == (200, "<script>1158201444")
        assert answer.content_type == "text/plain"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_every_configured_verify_token_is_accepted(client: Client) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "letmein2", "hub.challenge": "1"}
    async with client.get("/webhook", params=query) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"hub.mode": "subscribe", "hub.challenge": "1"},
        {"hub.mode": "subscribe", "hub.verify_token": "", "hub.challenge": "1"},
        {"hub.mode": "subscribe", "hub.verify_token": "wrong", "hub.challenge": "1"},
        {"hub.mode": "subscribe", "hub.verify_token": "letmein,letmein2", "hub.challenge": "1"},
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
    assert publisher.ids == ["message:messenger:1:1"]


async def test_a_body_with_another_signature_is_forbidden_and_not_published(
    client: Client, publisher: FakePublisher
) -> None:
    assert await post(client, BODY, "guess") == 403
    assert publisher.published == []


async def test_a_body_that_is_not_signed_is_forbidden(client: Client, publisher: FakePublisher) -> None:
    async with client.post("/webhook", data=BODY) as answer:
        assert (answer.status, await answer.text()) == (403, "signature does not match")
    assert publisher.published == []


async def test_a_body_of_four_mebibytes_is_read_and_one_byte_more_is_too_large(client: Client) -> None:
    padding = MAX_BODY_BYTES - len(BODY)
    assert await post(client, BODY + b" " * padding) == 200
    assert await post(client, BODY + b" " * (padding + 1)) == 413


async def test_a_body_of_unknown_length_is_read_up_to_the_limit(client: Client) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 65536 + 1):
            yield b" " * 65536

    async with client.post("/webhook", data=chunks()) as answer:
        assert answer.status == 413


async def test_a_webhook_that_could_not_be_stored_is_never_answered_200(
    client: Client, publisher: FakePublisher
) -> None:
    publisher.failure = SpoolError("the spool is full")
    assert await post(client, BODY) == 503


@pytest.mark.parametrize("failure", [KafkaError("secret of the broker"), KeyError("secret of ours"), TimeoutError()])
async def test_an_unexpected_error_is_a_500_without_details(
    client: Client, publisher: FakePublisher, failure: Exception
) -> None:
    publisher.failure = failure
    with capture_logs() as logs:
        headers = {"X-Hub-Signature-256": webhook_signature("new", BODY), "traceparent": TRACE, "Accept": "text/html"}
        async with client.post("/webhook", data=BODY, headers=headers) as answer:
            assert (answer.status, answer.content_type, await answer.text()) == (500, "text/plain", "internal error")
    (line,) = logs
    assert (line["event"], line["request_id"], line["error"]) == (
        "request_failed", "a1" * 16, type(failure).__name__,
    )  # fmt: skip
    assert "secret of" not in json.dumps(line)
    publisher.failure = None
    assert await post(client, BODY) == 200


async def test_a_signed_body_that_is_not_json_is_answered_200_and_a_dead_letter(
    client: Client, publisher: FakePublisher
) -> None:
    assert await post(client, b"not json") == 200
    (record,) = publisher.published
    assert (record.topic, dict(record.headers)["reason"]) == (Topics().dead_letters, b"not_json")


async def test_a_requests_trace_is_in_its_records_and_log_lines(client: Client, publisher: FakePublisher) -> None:
    with capture_logs() as logs:
        assert await post(client, b"not json", traceparent=TRACE) == 200
    assert publisher.traces == [TRACE]
    assert [(line["event"], line["request_id"]) for line in logs] == [("parked", "a1" * 16)]


@pytest.mark.parametrize("given", ["", "nonsense", TRACE.upper(), TRACE + "-more"])
async def test_a_request_without_a_valid_trace_gets_a_new_one(
    client: Client, publisher: FakePublisher, given: str
) -> None:
    await post(client, BODY, traceparent=given)
    await post(client, BODY)
    first, second = publisher.traces
    assert len(first) == len(second) == len(TRACE)
    assert len({first, second, given}) == 3


async def test_a_refused_body_is_reported_with_its_network_alone(client: Client) -> None:
    with capture_logs() as logs:
        assert await post(client, b"a text of a customer", "guess", traceparent=TRACE) == 403
    assert logs == [
        {"event": "signature_refused", "log_level": "warning", "network": "127.0.0.0/24", "request_id": "a1" * 16}
    ]


async def test_a_wrong_verify_token_is_reported_without_it(client: Client) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "wrong", "hub.challenge": "1"}
    with capture_logs() as logs:
        async with client.get("/webhook", params=query) as answer:
            assert answer.status == 403
    assert logs == [{"event": "verify_token_refused", "log_level": "warning", "network": "127.0.0.0/24"}]


@pytest.mark.parametrize("path", ["/", "/webhook/", "/nothing", "/WEBHOOK", "/webhook%00"])
async def test_an_unknown_path_is_404_and_not_quoted(client: Client, path: str) -> None:
    async with client.get(path + "?<script>") as answer:
        assert (answer.status, await answer.text()) == (404, "not found")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("PUT", "/webhook", "GET, POST"), ("DELETE", "/webhook", "GET, POST"), ("POST", "/live", "GET")],
)
async def test_another_method_is_405_with_the_allowed_ones(client: Client, method: str, path: str, allow: str) -> None:
    async with client.request(method, path) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, allow)


async def test_a_client_that_may_not_call_the_webhook_may_still_ask_for_life(
    client: Client, allowed: set[str], publisher: FakePublisher
) -> None:
    allowed.clear()
    assert await post(client, BODY) == 403
    query = {"hub.mode": "subscribe", "hub.verify_token": "letmein", "hub.challenge": "1"}
    async with client.get("/webhook", params=query) as answer:
        assert answer.status == 403
    async with client.get("/live") as answer:
        assert (answer.status, await answer.text()) == (200, "live")
    assert publisher.published == []


@pytest.mark.parametrize("path", ["/ready", "/version", "/metrics"])
async def test_operations_are_not_public(client: Client, path: str) -> None:
    async with client.get(path) as answer:
        assert answer.status == 404


async def test_metrics_count_events_dead_letters_and_responses(client: Client, metrics: ReceiverMetrics) -> None:
    await post(client, BODY)
    await post(client, b"not json")
    await post(client, BODY, "guess")
    text = metrics.render()[0].decode()
    assert 'leadstream_receiver_events_total{kind="message"} 1.0' in text
    assert 'leadstream_receiver_parked_total{reason="not_json"} 1.0' in text
    assert 'leadstream_receiver_answers_total{status="200"} 2.0' in text
    assert 'leadstream_receiver_answers_total{status="403"} 1.0' in text


async def test_webhooks_are_counted_by_outcome_and_timed(
    client: Client, publisher: FakePublisher, metrics: ReceiverMetrics
) -> None:
    await post(client, BODY)
    await post(client, BODY)
    await post(client, BODY, "guess")
    await post(client, b" " * (MAX_BODY_BYTES + 1))
    publisher.failure = SpoolError("the spool is full")
    await post(client, BODY)
    publisher.failure = KeyError("unexpected")
    await post(client, BODY)
    text = metrics.render()[0].decode()
    expected = {"accepted": 2, "unsigned": 1, "unreadable": 1, "not_stored": 1, "failed": 1}
    for outcome, number in expected.items():
        assert f'leadstream_receiver_webhooks_total{{outcome="{outcome}"}} {number}.0' in text
    assert "leadstream_receiver_request_seconds_count 6.0" in text
    assert 'leadstream_receiver_acknowledged_seconds_count{via="broker"} 2.0' in text


@pytest.mark.parametrize(("path", "status"), [("/live", 200), ("/nothing", 404), ("/webhook", 403)])
async def test_every_response_is_counted(client: Client, metrics: ReceiverMetrics, path: str, status: int) -> None:
    async with client.get(path):
        pass
    assert f'leadstream_receiver_answers_total{{status="{status}"}} 1.0' in metrics.render()[0].decode()


async def exchange(client: Client, *lines: str) -> str:
    """What is answered to a request written by hand, up to the end of the connection."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write("\r\n".join([*lines, "", ""]).encode())
    told = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return told.decode()


async def test_a_response_has_the_same_headers_with_and_without_keep_alive(client: Client) -> None:
    async def headers(**more: Any) -> dict[str, str]:
        async with client.get("/live", **more) as answer:
            assert (answer.status, await answer.text()) == (200, "live")
            return {name: value for name, value in answer.headers.items() if name not in {"Date", "Connection"}}

    assert await headers() == await headers(headers={"Connection": "close"})


async def test_an_http_1_0_client_gets_a_response_and_its_connection_is_closed(client: Client) -> None:
    told = await exchange(client, "GET /live HTTP/1.0")
    assert told.startswith("HTTP/1.0 200 OK\r\n")
    assert told.endswith("\r\n\r\nlive")


async def test_an_absolute_url_is_understood(client: Client) -> None:
    told = await exchange(client, "GET http://example.org/live?a=b HTTP/1.1", "Host: example.org", "Connection: close")
    assert told.startswith("HTTP/1.1 200 OK\r\n")


async def test_a_client_that_expects_100_continue_gets_it(client: Client, publisher: FakePublisher) -> None:
    signed = {"X-Hub-Signature-256": webhook_signature("new", BODY)}
    async with client.post("/webhook", data=BODY, headers=signed, expect100=True) as answer:
        assert answer.status == 200
    assert len(publisher.published) == 1
