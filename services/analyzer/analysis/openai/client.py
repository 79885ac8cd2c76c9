"""The client of any endpoint with OpenAI's chat completions: OpenAI, OpenRouter, Ollama, vLLM, llama.cpp and others."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout
from yarl import URL

from services.analyzer.analysis.ai.transport import FailureKind, ModelAnswer, ModelCallError, ModelRequest
from services.analyzer.analysis.openai.chat import Abilities, chat_body, read_answer
from services.analyzer.analysis.openai.failures import call_error, is_failure, refused_parameter
from shared.runtime.clock import utc_now

BYTES_A_TOKEN = 2
"""There is no endpoint that counts tokens. Times, digits and scripts other than Latin have about 2 bytes a token."""

log = structlog.get_logger()


class OpenAIClient:
    """`endpoint` is the base URL, as OpenAI's own clients take it: `https://api.openai.com/v1`.

    The key goes nowhere but to the endpoint: no redirect is followed. An empty key is not sent.
    """

    def __init__(self, session: ClientSession, endpoint: str) -> None:
        self._session = session
        self._url = URL(endpoint) / "chat/completions"
        self._abilities: dict[str, Abilities] = {}

    async def generate(self, key: str, model: str, request: ModelRequest, timeout_seconds: float) -> ModelAnswer:
        """Ask for JSON by the schema. If the endpoint refuses a part of that, ask for less, from now on."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while True:
                    abilities = self._abilities.get(model, Abilities())
                    status, headers, body = await self._post(key, chat_body(model, request, abilities))
                    if not is_failure(status, body):
                        return read_answer(body, model)
                    fewer = abilities.without(refused_parameter(status, body))
                    if fewer is None:
                        raise call_error(status, headers, body, utc_now())
                    self._abilities[model] = fewer
                    log.info("ai_asked_for_less", model=model, format=fewer.format, temperature=fewer.temperature)
        except ValueError:
            raise ModelCallError(FailureKind.FAILED, "the response is not of this API") from None
        except (ClientError, OSError) as error:  # TimeoutError is an OSError
            raise ModelCallError(FailureKind.FAILED, type(error).__name__) from None

    async def count_tokens(self, key: str, model: str, request: ModelRequest, timeout_seconds: float) -> int:  # noqa: ARG002
        """Return an estimate. If it is too low, the endpoint answers TOO_LONG."""
        return len((request.system + request.prompt).encode()) // BYTES_A_TOKEN

    async def _post(self, key: str, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], object]:
        """Return status, headers and body: JSON under status 200 (else ValueError), otherwise JSON or text."""
        async with self._session.post(
            self._url,
            json=body,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=ClientTimeout(total=None),
            allow_redirects=False,
        ) as response:
            text = await response.text(errors="replace")
            try:
                return response.status, response.headers, json.loads(text)
            except (ValueError, RecursionError):
                if response.status == 200:
                    raise ValueError("the body is not JSON") from None
                return response.status, response.headers, text
