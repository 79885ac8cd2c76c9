"""A fake of Gemini's endpoint: generateContent and countTokens over REST, as both of Google's clients call them.

Its replies fail as the real endpoint does.
`python -m tests.support.fake_gemini --port N --delay 1.5` serves good answers as a process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from tests.support.fake_ai import DIGEST, GOOD, INPUT_TOKENS, MAX_BODY, OUTPUT_TOKENS, Asked, FakeAI, Reply, serving

ORDER = re.compile("<<<(.*?)>>>", re.DOTALL)


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
class GeminiAsked(Asked):
    @property
    def content(self) -> dict[str, Any]:
        """Return the request to generate that a call counts; google-genai sends its contents alone."""
        return dict(self.body.get("generateContentRequest", self.body))

    @property
    def system(self) -> str:
        return str(self.content["systemInstruction"]["parts"][0]["text"])

    @property
    def prompt(self) -> str:
        return str(self.content["contents"][0]["parts"][-1]["text"])

    @property
    def wants_digest(self) -> bool:
        config = self.content.get("generationConfig", {})
        return "digest" in config.get("responseSchema", config.get("responseJsonSchema", {})).get("properties", {})


@dataclass
class FakeGemini(FakeAI):
    """It counts one token for four bytes of the prompt, unless `counts` has replies to countTokens.

    With `obeys`, the answer is what the transcript orders; with `echoes`, a digest is the part's first line.
    """

    counts: list[Reply] = field(default_factory=list)
    obeys: bool = False
    echoes: bool = False

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/v1beta/models/{model}:{method}", self._handle)
        return app

    async def _asked(self, request: web.Request) -> GeminiAsked:
        model, method = request.match_info["model"], request.match_info["method"]
        return GeminiAsked(request.headers["x-goog-api-key"], model, method, await request.json(), request.transport)

    def _reply(self, asked: GeminiAsked) -> Reply:
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


@asynccontextmanager
async def serving_gemini() -> AsyncIterator[FakeGemini]:
    async with serving(FakeGemini()) as fake:
        yield fake


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
