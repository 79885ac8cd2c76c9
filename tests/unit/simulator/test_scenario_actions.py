"""Actions change the simulator's state, and each sends a signed webhook."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from services.receiver.http.signature import is_signed
from services.simulator.app import APP_SECRET, VERIFY_TOKEN, create_app
from services.simulator.corpus import INSTAGRAM_ID, PAGE_ID, generate
from shared.contract.events import DeletionEvent, EditEvent, Event, MessageEvent, PostbackEvent, ReactionEvent
from tests.support.making import events_in
from tests.unit.simulator.conftest import NOW, Client, control, get


@dataclass
class Callback:
    """An app's callback that records what it receives and responds with `status`."""

    status: int = 200
    received: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            matches = request.query["hub.verify_token"] == VERIFY_TOKEN
            return web.Response(text=request.query["hub.challenge"], status=200 if matches else 403)
        self.received.append((await request.read(), dict(request.headers)))
        return web.Response(status=self.status)

    def events(self) -> list[Event]:
        return [event for raw, _ in self.received for event in events_in(raw, NOW)]

    def is_genuine(self, place: int) -> bool:
        raw, headers = self.received[place]
        sha1 = hmac.new(APP_SECRET.encode(), raw, hashlib.sha1).hexdigest()
        return (
            is_signed(raw, headers["X-Hub-Signature-256"], [APP_SECRET])
            and headers["X-Hub-Signature"] == f"sha1={sha1}"
        )


@pytest.fixture
async def callback() -> AsyncIterator[tuple[Callback, Client]]:
    kept, app = Callback(), web.Application()
    app.router.add_route("*", "/webhook", kept.take)
    async with (
        TestServer(app) as server,
        ClientSession() as session,
        TestClient(TestServer(create_app(generate(7, NOW), session))) as client,
    ):
        await control(client, "configure", {"callback": str(server.make_url("/webhook")), "instagram_per_second": 0})
        yield kept, client


async def act(client: Client, status: int = 200, **what: Any) -> dict[str, Any]:
    done: dict[str, Any] = await control(client, "act", what, status)
    return done


async def test_every_action_sends_a_webhook_in_facebooks_shape(callback: tuple[Callback, Client]) -> None:
    kept, client = callback
    said = await act(client, act="say", who="Maria Santos", text="Magkano po? 😃 a/b me@example.com 50% <b>")
    await act(client, act="say", who="Maria Santos", text="₱500 po", echo=True)
    await act(client, act="postback", who="Maria Santos", text="Get Started")
    await act(client, act="edit", message_id=said["message_id"], text="How much?")
    await act(client, act="react", message_id=said["message_id"])
    await act(client, act="unsend", message_id=said["message_id"])
    assert all(kept.is_genuine(place) for place in range(6))
    assert all(
        raw.isascii() and not set(raw) & set(b"<%@") and b"a\\/b" in kept.received[0][0] for raw, _ in kept.received
    )
    kinds = [type(event) for event in kept.events()]
    assert kinds == [MessageEvent, MessageEvent, PostbackEvent, EditEvent, ReactionEvent, DeletionEvent]
    assert {str(event.conversation) for event in kept.events()} == {said["contact_id"]}
    assert [event.direction for event in kept.events()][:2] == ["inbound", "outbound"]


@pytest.mark.parametrize(
    ("platform", "kind", "account_id"), [("messenger", "page", PAGE_ID), ("instagram", "instagram", INSTAGRAM_ID)]
)
async def test_a_webhook_has_facebooks_envelope(
    callback: tuple[Callback, Client], platform: str, kind: str, account_id: str
) -> None:
    kept, client = callback
    said = await act(client, act="say", platform=platform, who="Nobody Before", attachment="voice", echo=True)
    body = json.loads(kept.received[0][0])
    (entry,) = body["entry"]
    (item,) = entry["messaging"]
    assert (body["object"], entry["id"], item["sender"]["id"]) == (kind, account_id, account_id)
    assert entry["time"] > item["timestamp"] > 10**12
    assert (item["message"]["mid"], item["message"]["is_echo"]) == (said["message_id"], True)
    assert [each["type"] for each in item["message"]["attachments"]] == ["audio"]
    assert "text" not in item["message"]


async def test_the_graph_api_shows_the_result_of_every_action(
    callback: tuple[Callback, Client],
) -> None:
    _, client = callback
    kept = await act(client, act="say", platform="instagram", who="Nobody Before", text="hi")
    gone = await act(client, act="say", platform="instagram", who="Nobody Before", text="oops")
    button = await act(client, act="postback", platform="instagram", who="Nobody Before", text="Get Started")
    await act(client, act="edit", message_id=kept["message_id"], text="hello")
    await act(client, act="react", message_id=kept["message_id"])
    await act(client, act="unsend", message_id=gone["message_id"])
    path = f"/v26.0/{PAGE_ID}/conversations"
    _, page = await get(client, path, platform="instagram", limit="1", fields="messages{message,reactions}")
    messages = page["data"][0]["messages"]["data"]
    assert [(each["id"], each["message"]) for each in messages] == [
        (button["message_id"], "Get Started"), (kept["message_id"], "hello")
    ]  # fmt: skip
    assert messages[1]["reactions"]["data"][0]["reaction"] == "love"
    assert (await get(client, f"/v26.0/{gone['message_id']}"))[0] == 400
    (told,) = [each for each in await control(client, "messages") if each["name"] == "Nobody Before"]
    assert told["ids"] == [button["message_id"], kept["message_id"]]


async def test_a_duplicate_is_another_webhook_with_the_same_event(callback: tuple[Callback, Client]) -> None:
    kept, client = callback
    first = await act(client, act="say", who="Maria Santos", text="hi")
    await act(client, act="say", who="Maria Santos", text="there")
    await act(client, act="resend", message_id=first["message_id"])
    assert kept.events()[0].event_id == kept.events()[2].event_id
    assert kept.received[0][0] != kept.received[2][0]
    assert kept.is_genuine(2)


async def test_a_forged_webhook_has_a_wrong_signature_and_changes_nothing(callback: tuple[Callback, Client]) -> None:
    kept, client = callback
    before = await control(client, "messages")
    await act(client, act="forge", text="give me a discount")
    assert not kept.is_genuine(0)
    assert await control(client, "messages") == before
    assert "error" in await act(client, 400, act="resend")


async def test_an_action_returns_the_callbacks_status_and_happens_in_any_case(
    callback: tuple[Callback, Client],
) -> None:
    kept, client = callback
    kept.status = 503
    said = await act(client, act="say", who="Maria Santos", text="hi")
    assert said["status"] == 503
    assert (await get(client, f"/v26.0/{said['message_id']}", fields="message"))[1]["message"] == "hi"
    await control(client, "configure", {"callback": ""})
    assert (await act(client, act="say", who="Maria Santos", text="hi"))["status"] is None


async def test_a_callback_that_fails_the_handshake_is_refused(
    callback: tuple[Callback, Client],
) -> None:
    kept, client = callback
    await control(client, "configure", {"callback": "http://127.0.0.1:9/webhook"}, 400)
    await act(client, act="say", who="Maria Santos", text="hi")
    assert len(kept.received) == 1


@pytest.mark.parametrize(
    "what",
    [
        {"act": "dance"}, {"act": "edit", "message_id": "m_none"}, {}, {"act": "say", "text": "hi"}, {"act": "unsend"},
        {"act": "postback", "who": "A B"}, {"act": "say", "who": "A B", "attachment": "bomb"},
        {"act": "say", "who": "A B", "platform": "whatsapp"},
    ],
)  # fmt: skip
async def test_an_invalid_action_is_refused(callback: tuple[Callback, Client], what: dict[str, str]) -> None:
    kept, client = callback
    assert "error" in await control(client, "act", what, 400)
    assert kept.received == []
