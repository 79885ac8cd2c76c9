"""The handlers that the receiver is compared with: `python -m tests.bench.handlers bare|obvious`."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack

import uvloop
from aiohttp import web
from aiohttp.typedefs import Handler

from services.receiver.http.signature import is_signed
from shared.bus.connection import kafka_connection
from shared.bus.producer import AIOKafkaProducer, Topics, open_producer
from shared.runtime.settings import ReceiverSettings


async def bare(request: web.Request) -> web.Response:
    """Read the body and respond."""
    await request.read()
    return web.Response(text="EVENT_RECEIVED")


def obvious(producer: AIOKafkaProducer, topic: str, secret: str) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        """Verify, parse with the standard library, and wait for each event separately."""
        body = await request.read()
        if not is_signed(body, request.headers.get("X-Hub-Signature-256", ""), [secret]):
            return web.Response(status=403)
        for entry in json.loads(body)["entry"]:
            for item in entry["messaging"]:
                key = f"messenger:{entry['id']}:{item['sender']['id']}".encode()
                await producer.send_and_wait(topic, json.dumps(item).encode(), key=key)
        return web.Response(text="EVENT_RECEIVED")

    return handle


async def serve(name: str, settings: ReceiverSettings) -> None:
    async with AsyncExitStack() as stack:
        handler: Handler = bare
        if name == "obvious":
            producer = await stack.enter_async_context(open_producer(kafka_connection(settings)))
            topic = Topics(settings.topic_prefix).message_events
            handler = obvious(producer, topic, settings.app_secrets[0].get_secret_value())
        app = web.Application(client_max_size=4 * 1024 * 1024)
        app.add_routes([web.get("/live", bare), web.post("/webhook", handler)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, settings.receiver_host, settings.receiver_port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], ReceiverSettings()))
