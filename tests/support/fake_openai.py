"""A fake of an OpenAI-compatible endpoint. The replies have the names of those in `fake_gemini.py`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from tests.support.fake_ai import (
    DIGEST,
    GOOD,
    INPUT_TOKENS,
    MAX_BODY,
    OUTPUT_TOKENS,
    Asked,
    FakeAI,
    Reply,
    serving,
)

USAGE = {
    "prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS
}  # fmt: skip


def said(text: str | None, finish_reason: str = "stop", **more: object) -> Reply:
    """Return a model's answer with this text."""
    message = {"role": "assistant", "content": text, **more}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return Reply({"id": "1", "object": "chat.completion", "choices": [choice], "usage": USAGE})


def good(**changed: object) -> Reply:
    return said(json.dumps({**GOOD, **changed}))


def digest(text: str = DIGEST) -> Reply:
    return said(json.dumps({"digest": text}))


def truncated() -> Reply:
    return said(json.dumps(GOOD)[:40], "length")


def in_prose() -> Reply:
    return said(f"Sure! Here you are:\n```json\n{json.dumps(GOOD)}\n```\nHope it helps.")


def empty() -> Reply:
    return said("")


def blocked_answer() -> Reply:
    return said(None, refusal="I'm sorry, I cannot assist with that request.")


def blocked_prompt() -> Reply:
    """Return what Azure says of a prompt that its filter refuses."""
    return refused(400, "content_filter", message="The response was filtered due to the prompt.")


def refused(status: int, code: str | int | None, message: str = "no", **more: object) -> Reply:
    """Return an error as OpenAI sends it."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code, **more}
    return Reply({"error": error}, status)


def exhausted(retry_after: str = "") -> Reply:
    """Return HTTP 429, with the seconds to wait (`7s`) as a header."""
    headers = {"retry-after": retry_after.removesuffix("s")} if retry_after else {}
    return replace(refused(429, "rate_limit_exceeded"), headers=headers)


def exhausted_by_header(seconds: int) -> Reply:
    return exhausted(str(seconds))


def failed() -> Reply:
    return refused(500, "server_error")


def overloaded() -> Reply:
    return refused(503, "server_is_overloaded")


def invalid_key() -> Reply:
    return refused(401, "invalid_api_key", message="Incorrect API key provided: secret-key.")


def absent_model() -> Reply:
    return refused(404, "model_not_found")


def too_long() -> Reply:
    message = "This model's maximum context length is 8192 tokens. However, your messages resulted in 8227 tokens."
    return refused(400, "context_length_exceeded", message, param="messages")


@dataclass(frozen=True)
class Chat(Asked):
    """A received request for a chat completion."""

    @property
    def system(self) -> str:
        return str(self.body["messages"][0]["content"])

    @property
    def prompt(self) -> str:
        return str(self.body["messages"][1]["content"])

    @property
    def format(self) -> str | None:
        said: Any = self.body.get("response_format")
        return str(said["type"]) if said else None

    @property
    def wants_digest(self) -> bool:
        return "- digest:" in self.system


@dataclass
class FakeOpenAI(FakeAI):
    """By default it gives good answers. It refuses response formats and parameters that it `lacks`, as servers do."""

    lacks: set[str] = field(default_factory=set)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/v1/chat/completions", self._handle)
        return app

    async def _asked(self, request: web.Request) -> Chat:
        key, body = request.headers.get("Authorization", "").removeprefix("Bearer "), await request.json()
        return Chat(key, body["model"], "chat", body, request.transport)

    def _reply(self, asked: Chat) -> Reply:
        if asked.format in self.lacks:
            return refused(400, "invalid_request_error", "This response_format type is unavailable now")
        if "temperature" in self.lacks & asked.body.keys():
            message = "'temperature' does not support 0 with this model."
            return refused(400, "unsupported_value", message, param="temperature")
        if self.answers:
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if len(asked.prompt.encode()) > self.reads_bytes:
            return too_long()
        return digest() if asked.wants_digest else good()


@asynccontextmanager
async def serving_openai() -> AsyncIterator[FakeOpenAI]:
    """Serve the fake. Its base URL is `url` and /v1."""
    async with serving(FakeOpenAI()) as fake:
        yield fake
