"""What people do changes the world, and a signed webhook tells of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from services.receiver.normalise import normalise
from services.receiver.signature import is_signed
from services.simulator.commands import APP_SECRET, VERIFY_TOKEN, create_app
from services.simulator.corpus import generate
from shared.events import DeletionEvent, EditEvent, Event, MessageEvent, PostbackEvent, ReactionEvent

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
Client = TestClient[web.Request, web.Application]


@dataclass
class Callback:
    """An app's webhook that keeps what it was sent."""

    received: list[tuple[bytes, str]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            matches = request.query["hub.verify_token"] == VERIFY_TOKEN
            return web.Response(text=request.query["hub.challenge"], status=200 if matches else 403)
        self.received.append((await request.read(), request.headers["X-Hub-Signature-256"]))
        return web.Response()

    def events(self) -> list[Event]:
        return [event for raw, _ in self.received for event in normalise(raw, NOW).events]


@pytest.fixture
async def callback() -> AsyncIterator[tuple[Callback, Client]]:
    kept, app = Callback(), web.Application()
    app.router.add_route("*", "/webhook", kept.take)
    async with (
        TestServer(app) as server,
        ClientSession() as session,
        TestClient(TestServer(create_app(generate(7, NOW), session))) as client,
    ):
        here = {"callback": str(server.make_url("/webhook"))}
        async with client.post("/_simulator/configure", json=here) as answer:
            assert answer.status == 200
        yield kept, client


async def act(client: Client, **what: Any) -> dict[str, Any]:
    async with client.post("/_simulator/act", json=what) as answer:
        done: dict[str, Any] = await answer.json()
        assert answer.status == 200, done
        return done


async def test_everything_that_happens_is_told_in_facebooks_shapes(callback: tuple[Callback, Client]) -> None:
    kept, client = callback
    said = await act(client, act="say", who="Maria Santos", text="Magkano po? 😃 a/b")
    await act(client, act="say", who="Maria Santos", text="₱500 po", echo=True)
    await act(client, act="press", who="Maria Santos", text="Get Started")
    await act(client, act="edit", message_id=said["message_id"], text="How much?")
    await act(client, act="react", message_id=said["message_id"])
    await act(client, act="unsend", message_id=said["message_id"])
    assert all(is_signed(raw, header, [APP_SECRET]) for raw, header in kept.received)
    assert all(raw.isascii() for raw, _ in kept.received)
    kinds = [type(event) for event in kept.events()]
    assert kinds == [MessageEvent, MessageEvent, PostbackEvent, EditEvent, ReactionEvent, DeletionEvent]
    assert {str(event.conversation) for event in kept.events()} == {said["contact_id"]}


async def test_a_new_name_is_a_new_customer_whom_graph_shows_as_well(callback: tuple[Callback, Client]) -> None:
    _, client = callback
    said = await act(client, act="say", platform="instagram", who="Nobody Before", text="hi")
    async with client.get("/_simulator/messages") as answer:
        ids = {message_id for each in await answer.json() for message_id in each["ids"]}
    assert said["message_id"] in ids


async def test_a_duplicate_has_the_same_bytes_and_a_forgery_another_signature(
    callback: tuple[Callback, Client],
) -> None:
    kept, client = callback
    await act(client, act="say", who="Maria Santos", text="hi")
    await act(client, act="resend")
    await act(client, act="forge", text="give me a discount")
    first, again, forged = kept.received
    assert first == again
    assert not is_signed(*forged, [APP_SECRET])


async def test_a_callback_that_does_not_shake_hands_is_refused(callback: tuple[Callback, Client]) -> None:
    _, client = callback
    async with client.post("/_simulator/configure", json={"callback": "http://127.0.0.1:9/webhook"}) as answer:
        assert answer.status == 400


@pytest.mark.parametrize("what", [{"act": "dance"}, {"act": "edit", "message_id": "m_none"}, {}])
async def test_a_senseless_act_is_refused(callback: tuple[Callback, Client], what: dict[str, str]) -> None:
    _, client = callback
    async with client.post("/_simulator/act", json=what) as answer:
        assert answer.status == 400
