"""How Gemini is called: the only module that imports Google's client, past its makers' support (ADR 0001)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from google.ai import generativelanguage as glm
from google.api_core import exceptions as google_errors
from google.api_core.client_options import ClientOptions
from google.auth.exceptions import GoogleAuthError
from google.protobuf.json_format import ParseError
from requests.adapters import HTTPAdapter

from services.analyzer.analysis.gemini.calls import Answer, CallError, FailureKind, Request

MAX_CALLS = 512
"""At once, in a process. A thread and a connection are made when a call finds none idle, so this costs nothing."""

Got = TypeVar("Got")


class Gemini:
    """The API over REST: Google's client blocks, so each call has a thread of its own for as long as it takes.

    One client a key, which keeps its connections: the library's global configuration knows a single key.
    """

    def __init__(self, endpoint: str = "") -> None:
        self._endpoint = endpoint or None
        self._clients: dict[str, Any] = {}
        self._threads = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="gemini")

    async def generate(self, key: str, model: str, request: Request, timeout_seconds: float) -> Answer:
        """JSON mode with a response schema, temperature 0 (ai.google.dev/api/generate-content)."""
        asked, client = _content(model, request), self._client(key)
        response = await self._call(
            lambda: client.generate_content(asked, timeout=timeout_seconds, retry=None), timeout_seconds
        )
        return _answer(response, model)

    async def count_tokens(self, key: str, model: str, request: Request, timeout_seconds: float) -> int:
        name, client = f"models/{model}", self._client(key)
        asked = glm.CountTokensRequest(model=name, generate_content_request=_content(model, request))
        response = await self._call(
            lambda: client.count_tokens(asked, timeout=timeout_seconds, retry=None), timeout_seconds
        )
        return int(response.total_tokens)

    def close(self) -> None:
        """What still runs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.transport.close()

    def _client(self, key: str) -> Any:
        if key not in self._clients:
            options = ClientOptions(api_key=key, api_endpoint=self._endpoint)
            client: Any = glm.GenerativeServiceClient(transport="rest", client_options=options)
            for scheme in ("https://", "http://"):  # requests keeps 10 connections by itself
                client.transport._session.mount(scheme, HTTPAdapter(pool_maxsize=MAX_CALLS))
            self._clients[key] = client
        return self._clients[key]

    async def _call(self, call: Callable[[], Got], timeout_seconds: float) -> Got:
        """The one place where Google's errors become ours. The client's own timeout is for the silence between two
        bytes, hence one for the whole; a thread that was given up ends by that of the client."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except google_errors.GoogleAPICallError as error:
            raise _meaning(error) from None
        except (ParseError, AttributeError):  # the latter is how the library meets an error that is no object
            raise CallError(FailureKind.FAILED, "what came is not of this API") from None
        except (google_errors.GoogleAPIError, GoogleAuthError, OSError) as error:  # with a TimeoutError
            raise CallError(FailureKind.FAILED, type(error).__name__) from None


def _content(model: str, request: Request) -> Any:
    return glm.GenerateContentRequest(
        model=f"models/{model}",
        system_instruction=glm.Content(parts=[glm.Part(text=request.system)]),
        contents=[glm.Content(role="user", parts=[glm.Part(text=request.prompt)])],
        generation_config=glm.GenerationConfig(
            temperature=0, response_mime_type="application/json", response_schema=glm.Schema(_schema(request.schema))
        ),
    )


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The library's spelling of a schema."""
    made = {("type_" if key == "type" else key): value for key, value in schema.items()}
    if "properties" in made:
        made["properties"] = {name: _schema(value) for name, value in made["properties"].items()}
    return made


def _answer(response: Any, model: str) -> Answer:
    """What is blocked has no candidate, or one without parts. What a model thought is paid for as well: it is in the
    total only, as this client is older than thinking (ai.google.dev/api/generate-content#UsageMetadata)."""
    text = "".join(part.text for candidate in response.candidates[:1] for part in candidate.content.parts)
    usage = response.usage_metadata
    said = max(usage.candidates_token_count, usage.total_token_count - usage.prompt_token_count)
    return Answer(text, model, usage.prompt_token_count or None, said if said > 0 else None)


def _meaning(error: google_errors.GoogleAPICallError) -> CallError:
    """Also a 400 may be about the key (ai.google.dev/gemini-api/docs/troubleshooting); 408, 409 and 499 pass."""
    code, detail = int(error.code or 500), type(error).__name__
    reasons = {detail.get("reason") for detail in _details(error)}
    if code in {401, 403} or "API_KEY_INVALID" in reasons or "API key not valid" in str(error.message):
        fault = FailureKind.KEY_REFUSED
    elif code in {404, 429}:
        fault = FailureKind.NO_SUCH_MODEL if code == 404 else FailureKind.EXHAUSTED
    else:
        fault = FailureKind.REQUEST_REFUSED if 400 <= code < 500 and code not in {408, 409, 499} else FailureKind.FAILED
    return CallError(fault, detail, next(_hints(error), None))


def _hints(error: google_errors.GoogleAPICallError) -> Iterator[float]:
    """Seconds that the server asks to wait: `RetryInfo` of google.rpc (`"retryDelay": "7s"`), or a header."""
    told = [str(detail.get("retryDelay", "")).removesuffix("s") for detail in _details(error)]
    if error.response is not None:
        told.append(error.response.headers.get("retry-after", ""))
    yield from (float(number) for number in told if number.replace(".", "", 1).isdecimal())


def _details(error: google_errors.GoogleAPICallError) -> list[dict[str, Any]]:
    """Over REST the library hands them on as the JSON that they came as."""
    return [detail for detail in error.details if isinstance(detail, dict)]
