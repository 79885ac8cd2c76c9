"""The client of the Gemini API: the only module that imports Google's library, whose support has ended (ADR 0001)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from google.ai import generativelanguage as glm
from google.api_core import exceptions as google_errors
from google.api_core.client_options import ClientOptions
from google.auth.exceptions import GoogleAuthError
from google.protobuf.json_format import ParseError
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from services.analyzer.analysis.ai.transport import FailureKind, ModelAnswer, ModelCallError, ModelRequest
from services.analyzer.analysis.gemini.failures import REFUSALS, call_error

MAX_PARALLEL_CALLS = 512
"""In one process. Threads and connections are made on demand, so a high limit costs nothing."""
LIBRARY_KEYWORDS = {
    "type": "type_", "format": "format_", "description": "description", "enum": "enum", "items": "items",
    "maxItems": "max_items", "minItems": "min_items", "properties": "properties", "required": "required",
}  # fmt: skip
"""The library's names for the keywords of JSON Schema that it knows."""
LIBRARY_REFUSALS = frozenset(getattr(glm.Candidate.FinishReason, name) for name in REFUSALS)

Result = TypeVar("Result")


class GeminiClient:
    """The API over REST. Google's client blocks, so each call runs in a thread.

    Each key has a client that keeps its connections, as the library's global configuration holds a single key.
    """

    def __init__(self, endpoint: str = "") -> None:
        self._endpoint = endpoint or None
        self._clients: dict[str, Any] = {}
        self._threads = ThreadPoolExecutor(MAX_PARALLEL_CALLS, thread_name_prefix="gemini")

    async def generate(self, key: str, model: str, request: ModelRequest, timeout_seconds: float) -> ModelAnswer:
        """Ask in JSON mode with a response schema, at temperature 0 (ai.google.dev/api/generate-content)."""
        request_message, client = _content(model, request), self._client(key)
        response = await self._call(
            lambda: client.generate_content(request_message, timeout=timeout_seconds, retry=None), timeout_seconds
        )
        return _answer(response, model)

    async def count_tokens(self, key: str, model: str, request: ModelRequest, timeout_seconds: float) -> int:
        name, client = f"models/{model}", self._client(key)
        request_message = glm.CountTokensRequest(model=name, generate_content_request=_content(model, request))
        response = await self._call(
            lambda: client.count_tokens(request_message, timeout=timeout_seconds, retry=None), timeout_seconds
        )
        return int(response.total_tokens)

    def close(self) -> None:
        """Close the connections without waiting for running calls."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.transport.close()

    def _client(self, key: str) -> Any:
        if key not in self._clients:
            options = ClientOptions(api_key=key, api_endpoint=self._endpoint)
            client: Any = glm.GenerativeServiceClient(transport="rest", client_options=options)
            for scheme in ("https://", "http://"):  # requests keeps 10 connections by itself
                client.transport._session.mount(scheme, _OrderingAdapter(pool_maxsize=MAX_PARALLEL_CALLS))
            self._clients[key] = client
        return self._clients[key]

    async def _call(self, call: Callable[[], Result], timeout_seconds: float) -> Result:
        """Run `call` in a thread and map Google's errors to ModelCallError.

        The client's timeout limits only the silence between two bytes, so a second one limits the whole call. The
        thread of an abandoned call ends when the client's timeout expires.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except google_errors.GoogleAPICallError as error:
            headers = error.response.headers if error.response is not None else None
            name, message = type(error).__name__, str(error.message)
            raise call_error(int(error.code or 500), name, message, list(error.details), headers) from None
        except (ParseError, AttributeError):  # the library raises AttributeError for an error body that is no object
            raise ModelCallError(FailureKind.FAILED, "the response is not of this API") from None
        except (google_errors.GoogleAPIError, GoogleAuthError, OSError) as error:  # TimeoutError is an OSError
            raise ModelCallError(FailureKind.FAILED, type(error).__name__) from None


class _OrderingAdapter(HTTPAdapter):
    """Adds `propertyOrdering` to the schema of an answer, which the library is too old to know.

    The library sends properties in no order, so the order is that of `required`
    (ai.google.dev/gemini-api/docs/structured-output#property-ordering).
    """

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        body = json.loads(request.body) if isinstance(request.body, str) else {}
        if schema := body.get("generationConfig", {}).get("responseSchema"):
            required = schema.get("required", [])
            schema["propertyOrdering"] = [*required, *sorted(schema["properties"].keys() - set(required))]
            request.prepare_body(json.dumps(body), None)
        return super().send(request, *args, **kwargs)


def _content(model: str, request: ModelRequest) -> Any:
    return glm.GenerateContentRequest(
        model=f"models/{model}",
        system_instruction=glm.Content(parts=[glm.Part(text=request.system)]),
        contents=[glm.Content(role="user", parts=[glm.Part(text=request.prompt)])],
        generation_config=glm.GenerationConfig(
            temperature=0, response_mime_type="application/json", response_schema=glm.Schema(_schema(request.schema))
        ),
    )


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Spell a JSON Schema as the library does, without the keywords that it does not know."""
    made = {LIBRARY_KEYWORDS[key]: value for key, value in schema.items() if key in LIBRARY_KEYWORDS}
    made["type_"] = made["type_"].upper()
    if "properties" in made:
        made["properties"] = {name: _schema(value) for name, value in made["properties"].items()}
    if "items" in made:
        made["items"] = _schema(made["items"])
    return made


def _answer(response: Any, model: str) -> ModelAnswer:
    """Read text and tokens. A blocked prompt has no candidate, a blocked answer one with a reason of REFUSALS.

    Thinking tokens are billed as output, but this client is older than thinking: they are in the total only
    (ai.google.dev/api/generate-content#UsageMetadata).
    """
    text = "".join(part.text for candidate in response.candidates[:1] for part in candidate.content.parts)
    refused = response.prompt_feedback.block_reason or any(
        candidate.finish_reason in LIBRARY_REFUSALS for candidate in response.candidates[:1]
    )
    usage = response.usage_metadata
    output_tokens = max(usage.candidates_token_count, usage.total_token_count - usage.prompt_token_count)
    input_tokens = usage.prompt_token_count or None
    return ModelAnswer(text, model, input_tokens, output_tokens if output_tokens > 0 else None, bool(refused))
