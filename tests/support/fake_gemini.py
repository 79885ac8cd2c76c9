"""A fake of Gemini's endpoint: generateContent and countTokens over REST, as both of Google's clients call them.

A test sets the replies, each used once and the last repeated, so that it fails as the real endpoint does.
`python -m tests.support.fake_gemini --port N --delay 1.5` serves good answers as a process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.test_utils import TestServer

GOOD: dict[str, Any] = {
    "evidence": [1], "last_act": "asks how to pay", "reasoning": "Asked how to pay.", "lead_band": "hot",
    "lead_score": 75, "lead_status": "QUALIFIED", "confidence": 88, "recommended_stage": "Qualified",
    "summary": "Asked for a price. Wants it on Friday. Ready to pay.", "language": "EN",
    "next_action": "Send the account number.",
}  # fmt: skip
DIGEST = "Asked for a price."
INPUT_TOKENS, OUTPUT_TOKENS = 900, 120
"""The cost of every answer."""
MAX_BODY = 64 << 20
ORDER = re.compile("<<<(.*?)>>>", re.DOTALL)


@dataclass(frozen=True)
class Reply:
    """A body, sent as JSON unless it is text, after `delay_seconds`. With `hangs` it is never sent."""

    body: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    hangs: bool = False

    def response(self) -> web.Response:
        if isinstance(self.body, str):
            return web.Response(status=self.status, text=self.body, content_type="text/html", headers=self.headers)
        return web.json_response(self.body, status=self.status, headers=self.headers)


def said(text: str, finish_reason: str = "STOP") -> Reply:
    """Return a model's answer with this text."""
    candidate = {"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": finish_reason}
    return Reply({"candidates": [candidate], **_usage(OUTPUT_TOKENS)})


def good(**changed: object) -> Reply:
    return said(json.dumps({**GOOD, **changed}))


def digest(text: str = DIGEST) -> Reply:
    return said(json.dumps({"digest": text}))


def truncated() -> Reply:
    """Return an answer cut at the limit of output tokens."""
    return said(json.dumps(GOOD)[:40], "MAX_TOKENS")


def in_prose() -> Reply:
    return said(f"Sure! Here you are:\n```json\n{json.dumps(GOOD)}\n```\nHope it helps.")


def too_long() -> Reply:
    message = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
    return refused(400, "INVALID_ARGUMENT", message=message)


def blocked_prompt() -> Reply:
    return Reply({"promptFeedback": {"blockReason": "SAFETY"}, **_usage(0)})


def blocked_answer() -> Reply:
    return Reply({"candidates": [{"finishReason": "SAFETY", "index": 0}], **_usage(0)})


def empty() -> Reply:
    return said("")


def counted(tokens: int) -> Reply:
    return Reply({"totalTokens": tokens})


def refused(status: int, name: str, *details: dict[str, Any], message: str = "no") -> Reply:
    """Return an error as Google sends it (google.rpc.Status in JSON)."""
    return Reply({"error": {"code": status, "message": message, "status": name, "details": list(details)}}, status)


def exhausted(retry_delay: str = "") -> Reply:
    hint = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry_delay}
    return refused(429, "RESOURCE_EXHAUSTED", *([hint] if retry_delay else []))


def exhausted_by_header(seconds: int) -> Reply:
    return replace(exhausted(), headers={"Retry-After": str(seconds)})


def failed() -> Reply:
    return refused(500, "INTERNAL")


def overloaded() -> Reply:
    return refused(503, "UNAVAILABLE")


def hanging() -> Reply:
    return Reply({}, hangs=True)


def invalid_key() -> Reply:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    return refused(400, "INVALID_ARGUMENT", info, message="API key not valid. Please pass a valid API key.")


def forbidden_key() -> Reply:
    return refused(403, "PERMISSION_DENIED")


def absent_model() -> Reply:
    return refused(404, "NOT_FOUND")


def _usage(output: int) -> dict[str, Any]:
    total = INPUT_TOKENS + output
    return {
        "usageMetadata": {"promptTokenCount": INPUT_TOKENS, "candidatesTokenCount": output, "totalTokenCount": total}
    }


@dataclass(frozen=True)
class Asked:
    """A received request."""

    key: str
    model: str
    method: str
    body: dict[str, Any]
    connection: object

    @property
    def content(self) -> dict[str, Any]:
        """Return the request to generate that a call counts; google-genai sends its contents alone."""
        return dict(self.body.get("generateContentRequest", self.body))

    @property
    def prompt(self) -> str:
        return str(self.content["contents"][0]["parts"][-1]["text"])

    @property
    def wants_digest(self) -> bool:
        config = self.content.get("generationConfig", {})
        return "digest" in config.get("responseSchema", config.get("responseJsonSchema", {})).get("properties", {})


@dataclass
class FakeGemini:
    """By default it gives good answers and counts one token for four bytes of the prompt.

    `answers` reply to generateContent and `counts` to countTokens, in order, the last one repeated. With
    `answers_together`, no call is answered before so many have arrived. With `obeys`, the answer is what the transcript
    orders; with `echoes`, a digest is the part's first line. A prompt of more than `reads_bytes` is too long. `asked`
    has the requests, if `remembers`.
    """

    url: str = ""
    answers: list[Reply] = field(default_factory=list)
    counts: list[Reply] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    delay_seconds: float = 0.0
    answers_together: int = 1
    obeys: bool = False
    echoes: bool = False
    reads_bytes: int = MAX_BODY
    remembers: bool = True
    _waiting: int = 0
    _together: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)

    def says(self, *replies: Reply) -> None:
        """Replace the answers."""
        self.answers[:] = replies

    @property
    def models_asked(self) -> list[str]:
        return [asked.model for asked in self.asked]

    @property
    def keys_asked(self) -> list[str]:
        return [asked.key for asked in self.asked]

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/v1beta/models/{model}:{method}", self._handle)
        return app

    def close(self) -> None:
        """End the calls that hang."""
        self._closed.set()

    async def _handle(self, request: web.Request) -> web.Response:
        asked = await self._asked(request)
        if self.remembers:
            self.asked.append(asked)
        reply = self._reply(asked)
        if reply.hangs:
            await self._closed.wait()
        await self._others()
        await asyncio.sleep(self.delay_seconds + reply.delay_seconds)
        return reply.response()

    async def _asked(self, request: web.Request) -> Asked:
        model, method = request.match_info["model"], request.match_info["method"]
        return Asked(request.headers["x-goog-api-key"], model, method, await request.json(), request.transport)

    async def _others(self) -> None:
        self._waiting += 1
        together = self._together
        if self._waiting >= self.answers_together:
            self._waiting, self._together = 0, asyncio.Event()
            together.set()
        await together.wait()

    def _reply(self, asked: Asked) -> Reply:
        """Return the reply; with `obeys`, what stands between <<< and >>> in the transcript."""
        replies = self.counts if asked.method == "countTokens" else self.answers
        if replies:
            return replies.pop(0) if len(replies) > 1 else replies[0]
        if asked.method == "countTokens":
            return counted(len(asked.prompt.encode()) // 4)
        if len(asked.prompt.encode()) > self.reads_bytes:
            return too_long()
        if self.obeys and (order := ORDER.search(asked.prompt)):
            return said(json.loads(f'"{order[1]}"'))
        if not asked.wants_digest:
            return good()
        return digest(asked.prompt.splitlines()[1] if self.echoes else DIGEST)


Fake = TypeVar("Fake", bound=FakeGemini)


@asynccontextmanager
async def serving_gemini() -> AsyncIterator[FakeGemini]:
    async with serving(FakeGemini()) as fake:
        yield fake


@asynccontextmanager
async def serving(fake: Fake) -> AsyncIterator[Fake]:
    async with TestServer(fake.app()) as server:
        fake.url = str(server.make_url("")).rstrip("/")
        try:
            yield fake
        finally:
            fake.close()


async def _serve(port: int, delay_seconds: float) -> None:
    fake = FakeGemini(delay_seconds=delay_seconds, remembers=False)
    runner = web.AppRunner(fake.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
    await site.start()
    print(json.dumps({"gemini_endpoint": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve, and print one JSON line with the URL for LEADSTREAM_GEMINI_ENDPOINT. Port 0 takes a free port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds a call")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port, arguments.delay))


if __name__ == "__main__":
    main()
