"""What the receiver is measured against: `python -m tests.bench.handlers bare|obvious`."""

from __future__ import annotations

import asyncio
import json
import os
import sys

import uvloop
from aiohttp import web

from services.receiver.signature import is_signed
from shared.kafka import open_producer


async def bare(request: web.Request) -> web.Response:
    """Only reads the body."""
    await request.read()
    return web.Response(text="EVENT_RECEIVED")


async def serve(name: str) -> None:
    env = os.environ
    app = web.Application(client_max_size=4 * 1024 * 1024)
    app.add_routes([web.get("/live", bare)])
    if name == "bare":
        app.add_routes([web.post("/webhook", bare)])
        await run(app)
    async with open_producer(env["LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS"]) as producer:

        async def obvious(request: web.Request) -> web.Response:
            """Verifies, parses with the standard library, and waits for each event by itself."""
            body = await request.read()
            signature = request.headers.get("X-Hub-Signature-256", "")
            if not is_signed(body, signature, [env["LEADSTREAM_APP_SECRETS"]]):
                return web.Response(status=403)
            for entry in json.loads(body)["entry"]:
                for item in entry["messaging"]:
                    key = f"messenger:{entry['id']}:{item['sender']['id']}".encode()
                    await producer.send_and_wait("message-events", json.dumps(item).encode(), key=key)
            return web.Response(text="EVENT_RECEIVED")

        app.add_routes([web.post("/webhook", obvious)])
        await run(app)


async def run(app: web.Application) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(os.environ["LEADSTREAM_RECEIVER_PORT"])).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
