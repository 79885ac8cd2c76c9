"""The client of the Gemini API by google-genai, the successor of the library in `client.py` (extra `genai`)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from aiohttp import ClientError, ClientSession
from google import genai
from google.genai import errors, types

from services.analyzer.analysis.ai.transport import FailureKind, ModelAnswer, ModelCallError, ModelRequest
from services.analyzer.analysis.gemini.failures import REFUSALS, call_error

API_VERSION = "v1beta"
"""As of the other library; ai.google.dev/gemini-api/docs/api-versions."""
ONE_ATTEMPT = types.HttpRetryOptions(attempts=1)
"""The library's own retries know neither our keys nor our deadline."""

Result = TypeVar("Result")


class GenaiClient:
    """Each key has a client of the library; all share `session`."""

    def __init__(self, session: ClientSession, endpoint: str = "") -> None:
        self._options = types.HttpOptions(
            base_url=endpoint or None, api_version=API_VERSION, aiohttp_client=session, retry_options=ONE_ATTEMPT
        )
        self._clients: dict[str, Any] = {}

    async def generate(self, key: str, model: str, request: ModelRequest, timeout_seconds: float) -> ModelAnswer:
        """Ask in JSON mode with a JSON Schema, at temperature 0 (ai.google.dev/api/generate-content).

        Since Gemini 2.5 the answer has its properties in the order of the schema
        (ai.google.dev/gemini-api/docs/structured-output).
        """
        config = types.GenerateContentConfig(
            system_instruction=request.system,
            temperature=0,
            response_mime_type="application/json",
            response_json_schema=dict(request.schema),
        )
        models = self._models(key)
        call = models.generate_content(model=model, contents=request.prompt, config=config)
        return _answer(await self._call(call, timeout_seconds), model)

    async def count_tokens(self, key: str, model: str, request: ModelRequest, timeout_seconds: float) -> int:
        """Count the instructions as part of the prompt: the library sends none with this call."""
        contents = [request.system, request.prompt]
        call = self._models(key).count_tokens(model=model, contents=contents)
        return int((await self._call(call, timeout_seconds)).total_tokens or 0)

    def _models(self, key: str) -> Any:
        if key not in self._clients:
            self._clients[key] = genai.Client(api_key=key, vertexai=False, http_options=self._options)
        return self._clients[key].aio.models

    async def _call(self, call: Awaitable[Result], timeout_seconds: float) -> Result:
        try:
            async with asyncio.timeout(timeout_seconds):
                return await call
        except errors.APIError as error:
            name = error.status if isinstance(error.status, str) else ""
            raise call_error(error.code, name, str(error.message), _details(error), _headers(error)) from None
        except (ValueError, TypeError, AttributeError, errors.UnknownApiResponseError):
            raise ModelCallError(FailureKind.FAILED, "the response is not of this API") from None
        except (ClientError, OSError) as error:  # TimeoutError is an OSError
            raise ModelCallError(FailureKind.FAILED, type(error).__name__) from None


def _answer(response: Any, model: str) -> ModelAnswer:
    """Read text and tokens. A blocked prompt has no candidate, a blocked answer one with a reason of REFUSALS.

    Thinking tokens are billed as output (ai.google.dev/api/generate-content#UsageMetadata).
    """
    candidates, usage = (response.candidates or [])[:1], response.usage_metadata
    text = "".join(part.text or "" for each in candidates if each.content for part in each.content.parts or [])
    refused = bool(response.prompt_feedback and response.prompt_feedback.block_reason) or any(
        each.finish_reason is not None and each.finish_reason.name in REFUSALS for each in candidates
    )
    if usage is None:
        return ModelAnswer(text, model, refused=refused)
    output_tokens = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
    return ModelAnswer(text, model, usage.prompt_token_count or None, output_tokens or None, refused)


def _details(error: Any) -> object:
    said = error.details.get("error") if isinstance(error.details, dict) else None
    return said.get("details") if isinstance(said, dict) else None


def _headers(error: Any) -> Any:
    return getattr(error.response, "headers", None)
