"""A client of the Graph API. The token is sent only in the `Authorization` header."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import (
    ClientError,
    ClientHandlerType,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ServerDisconnectedError,
)
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, wait_random_exponential

from shared.graph_api.errors import ErrorKind, GraphError, classify, error_of_status
from shared.graph_api.rate_governor import Governor, Sleep
from shared.graph_api.usage import Usage, read_usage, retry_after_seconds
from shared.runtime.crypto import appsecret_proof
from shared.runtime.settings import GraphSettings

Json = dict[str, Any]
SECRET_PARAMETERS = frozenset({"access_token", "appsecret_proof"})
BACK_OFF = wait_random_exponential(multiplier=0.5, max=30)
PAGES_BEFORE_GROWTH = 8
"""The page limit doubles after this many pages without a "reduce the amount of data" error, which costs a call too."""


@dataclass(frozen=True, slots=True)
class GraphPage:
    """One page of an edge. `following` has the parameters of the next page, None after the last."""

    items: list[Json]
    following: dict[str, str] | None


class _UnansweredError(ClientError):
    """The connection ended before the answer."""


@dataclass(slots=True)
class GraphClient:
    """Calls for one account. An error is returned as a `GraphError`, never raised.

    `calls` counts requests. `governor` admits every call and gets every answer. Transient errors are retried until
    waiting for answers and backing off have taken `deadline_seconds`; waiting for the governor does not count.
    """

    session: ClientSession
    base_url: str
    version: str
    token: str = field(repr=False)
    governor: Governor
    app_secret: str | None = field(default=None, repr=False)
    timeout_seconds: float = 30.0
    deadline_seconds: float = 300.0
    sleep: Sleep = asyncio.sleep
    calls: int = 0

    async def get(self, path: str, parameters: Mapping[str, str]) -> Json | GraphError:
        """Return the body, or the error after the last retry. A throttled call waits without limit."""
        return await self._call("GET", path, parameters)

    async def post(
        self, path: str, parameters: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Json | GraphError:
        """Post with the retries of `get`, so only idempotent calls. A list as answer to a `form` is put into `data`."""
        return await self._call("POST", path, parameters, form)

    async def _call(
        self, method: str, path: str, parameters: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Json | GraphError:
        while True:
            answer = await self._call_with_retries(method, path, parameters, form)
            if _kind(answer) is not ErrorKind.THROTTLED:
                return answer

    async def pages(
        self, path: str, limit: int, parameters: Mapping[str, str]
    ) -> AsyncGenerator[GraphPage | GraphError, None]:
        """Yield pages until there is no `next`, or until an error, which is yielded last. An empty page is not the end.

        A page that is too much data is requested again with half the limit, down to one item. The limit grows again
        later, so that one large item does not make all further pages small.
        """
        following: dict[str, str] | None = {}
        max_limit, pages_since_halving = limit, 0
        while following is not None:
            answer = await self.get(path, {**parameters, **following, "limit": str(limit)})
            if isinstance(answer, GraphError) and answer.kind is ErrorKind.REDUCE_DATA and limit > 1:
                limit, pages_since_halving = limit // 2, 0
                continue
            page = answer if isinstance(answer, GraphError) else read_page(answer)
            pages_since_halving += 1
            if pages_since_halving % PAGES_BEFORE_GROWTH == 0:
                limit = min(max_limit, 2 * limit)
            if isinstance(page, GraphPage) and page.following == following:
                page = _unreadable("the page links to itself as the next one")
            yield page
            following = page.following if isinstance(page, GraphPage) else None

    async def _call_with_retries(
        self, method: str, path: str, parameters: Mapping[str, str], form: Mapping[str, str] | None
    ) -> Json | GraphError:
        unanswered_seconds = 0.0

        async def call() -> Json | GraphError:
            nonlocal unanswered_seconds
            answer, seconds = await self._call_once(method, path, parameters, form)
            unanswered_seconds += seconds
            return answer

        retrying = AsyncRetrying(
            sleep=self.sleep,
            stop=lambda state: state.idle_for + unanswered_seconds >= self.deadline_seconds,
            wait=self._pause_seconds,
            retry=retry_if_result(lambda answer: _kind(answer) is ErrorKind.TRANSIENT),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        answer: Json | GraphError = await retrying(call)
        return answer

    async def _call_once(
        self, method: str, path: str, parameters: Mapping[str, str], form: Mapping[str, str] | None
    ) -> tuple[Json | GraphError, float]:
        """Return the answer and how many seconds it took."""
        proof = {"appsecret_proof": appsecret_proof(self.app_secret, self.token)} if self.app_secret else {}
        await self.governor.acquire()
        self.calls += 1
        usage, began = Usage(), time.monotonic()
        try:
            async with self.session.request(
                method,
                f"{self.base_url.rstrip('/')}/{self.version}/{path}",
                data=form,
                params={**parameters, **proof},
                headers={"Authorization": f"Bearer {self.token}"},
                timeout=ClientTimeout(total=self.timeout_seconds),
                allow_redirects=False,
                middlewares=(_send_once,),
            ) as response:
                usage = read_usage(response.headers)
                answer = _read(await response.read(), response.status, response.headers, may_be_list=form is not None)
        except (ClientError, TimeoutError) as error:
            answer = _unreadable(str(error) if isinstance(error, _UnansweredError) else type(error).__name__)
        seconds = time.monotonic() - began
        await self.governor.record_answer(usage, answer if isinstance(answer, GraphError) else None)
        return answer, seconds

    def _pause_seconds(self, state: RetryCallState) -> float:
        error = state.outcome.result() if state.outcome else None
        requested = error.retry_after_seconds if isinstance(error, GraphError) else None
        return min((requested or 0.0) + float(BACK_OFF(state)), self.deadline_seconds)


def graph_client(
    settings: GraphSettings, session: ClientSession, governor: Governor, token: str, *,
    timeout_seconds: float, deadline_seconds: float,
) -> GraphClient:  # fmt: skip
    """Return a client for the settings' URL and version that signs its calls with the first app secret."""
    return GraphClient(
        session=session,
        base_url=settings.graph_url,
        version=settings.graph_version,
        token=token,
        governor=governor,
        app_secret=next((secret.get_secret_value() for secret in settings.app_secrets), None),
        timeout_seconds=timeout_seconds,
        deadline_seconds=deadline_seconds,
    )


async def _send_once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Prevent aiohttp's own retry after a lost connection: no budget would count that call."""
    try:
        return await handler(request)
    except (ClientOSError, ServerDisconnectedError) as error:
        raise _UnansweredError(type(error).__name__) from error


def read_page(body: Json) -> GraphPage | GraphError:
    """Return the page. The next one is by `cursors.after`, or without cursors by `next` without its secrets.

    Source: https://developers.facebook.com/docs/graph-api/results. A body without a list is an error and not an empty
    page, and an item that is not an object is kept as an empty object, so that nothing is skipped silently.
    """
    data, paging = body.get("data"), body.get("paging") or {}
    if not isinstance(data, list) or not isinstance(paging, dict):
        return _unreadable("a page without a list of items")
    items = [item if isinstance(item, dict) else {} for item in data]
    following, cursors = paging.get("next"), paging.get("cursors")
    if not following:
        return GraphPage(items, None)
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if isinstance(after, str) and after:
        return GraphPage(items, {"after": after})
    opaque = dict(parse_qsl(str(following).partition("?")[2]))
    parameters = {name: value for name, value in opaque.items() if name not in SECRET_PARAMETERS}
    return GraphPage(items, parameters) if parameters else _unreadable("a page without usable parameters of the next")


def _read(raw: bytes, status: int, headers: Mapping[str, str], *, may_be_list: bool) -> Json | GraphError:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        body = None
    if isinstance(body, list) and may_be_list:
        body = {"data": body}
    if not isinstance(body, dict):
        return error_of_status(status, retry_after_seconds(headers))
    if "error" in body or "error_type" in body or status >= 300:
        return classify(body.get("error", body), status, retry_after_seconds(headers))
    return body


def _kind(answer: Json | GraphError) -> ErrorKind | None:
    return answer.kind if isinstance(answer, GraphError) else None


def _unreadable(detail: str) -> GraphError:
    return GraphError(ErrorKind.TRANSIENT, detail=detail)
