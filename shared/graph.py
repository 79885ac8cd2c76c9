"""The Graph API, read by a token that never leaves the `Authorization` header."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout
from aiolimiter import AsyncLimiter
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_delay, wait_random_exponential

from shared.crypto import appsecret_proof
from shared.graph_errors import ErrorKind, GraphError, classify, of_status

Json = dict[str, Any]
SECRET_PARAMETERS = frozenset({"access_token", "appsecret_proof"})
RETRIED = frozenset({ErrorKind.TRANSIENT, ErrorKind.THROTTLED})
FIRST_THROTTLE_SECONDS, LONGEST_THROTTLE_SECONDS = 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an edge. `following` are the parameters of the next one, None after the last."""

    items: list[Json]
    following: dict[str, str] | None


@dataclass(slots=True)
class GraphClient:
    """Reads for one account. A refusal is a value, a `GraphError`, never an exception.

    `calls` counts requests; `on_throttled` hears how many seconds are waited.
    """

    session: ClientSession
    base_url: str
    version: str
    token: str = field(repr=False)
    app_secret: str | None = field(default=None, repr=False)
    limiter: AsyncLimiter | None = None
    timeout_seconds: float = 30.0
    deadline_seconds: float = 300.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    on_throttled: Callable[[float], None] = lambda _seconds: None
    calls: int = 0

    async def get(self, path: str, **parameters: str) -> Json | GraphError:
        """The body, or the refusal that stood at the end of the retries."""
        retrying = AsyncRetrying(
            sleep=self.sleep,
            stop=stop_after_delay(self.deadline_seconds),
            wait=self._wait,
            retry=retry_if_result(_is_worth_retrying),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        answer: Json | GraphError = await retrying(self._once, path, parameters)
        return answer

    async def pages(self, path: str, limit: int, **parameters: str) -> AsyncIterator[Page | GraphError]:
        """Page after page until there is no `next`; an empty page is not the end. Ends behind a refusal.

        A page that is too much data is asked for again with half the limit, down to one item.
        """
        following: dict[str, str] | None = {}
        while following is not None:
            answer = await self.get(path, **parameters, **{"limit": str(limit), **following})
            if isinstance(answer, GraphError):
                if answer.kind is ErrorKind.REDUCE_DATA and limit > 1:
                    limit //= 2
                    following.pop("limit", None)
                    continue
                yield answer
                return
            page = read_page(answer)
            yield page
            following = page.following

    async def _once(self, path: str, parameters: dict[str, str]) -> Json | GraphError:
        query = dict(parameters)
        if self.app_secret:
            query["appsecret_proof"] = appsecret_proof(self.app_secret, self.token)
        url = f"{self.base_url.rstrip('/')}/{self.version}/{path}"
        headers = {"Authorization": f"Bearer {self.token}"}
        timeout = ClientTimeout(total=self.timeout_seconds)
        async with self.limiter or nullcontext():
            self.calls += 1
            try:
                async with self.session.get(url, params=query, headers=headers, timeout=timeout) as answer:
                    return _read(await answer.read(), answer.status, dict(answer.headers))
            except (ClientError, TimeoutError) as error:
                return GraphError(ErrorKind.TRANSIENT, detail=type(error).__name__)

    def _wait(self, state: RetryCallState) -> float:
        refusal = state.outcome.result() if state.outcome else None
        if isinstance(refusal, GraphError) and refusal.kind is ErrorKind.THROTTLED:
            grown = min(FIRST_THROTTLE_SECONDS * 2 ** (state.attempt_number - 1), LONGEST_THROTTLE_SECONDS)
            seconds = refusal.retry_after_seconds or grown
            self.on_throttled(seconds)
            return seconds
        return float(wait_random_exponential(multiplier=0.5, max=30)(state))


def read_page(body: Json) -> Page:
    """`cursors.after` made into a request of our own; without cursors, what `next` says less its secrets."""
    data = body.get("data")
    items = [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []
    paging = body.get("paging")
    following = paging.get("next") if isinstance(paging, dict) else None
    if not isinstance(paging, dict) or not isinstance(following, str):
        return Page(items, None)
    cursors = paging.get("cursors")
    after = cursors.get("after") if isinstance(cursors, dict) else None
    if isinstance(after, str):
        return Page(items, {"after": after})
    query = parse_qsl(urlsplit(following).query)
    return Page(items, {name: value for name, value in query if name not in SECRET_PARAMETERS})


def regain_seconds(headers: dict[str, str]) -> float | None:
    """The longest `estimated_time_to_regain_access` (minutes) of `X-Business-Use-Case-Usage`, else `Retry-After`.

    None where the platform says nothing: 0 means that as well. Whatever is malformed counts as nothing.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    try:
        usage = json.loads(lowered.get("x-business-use-case-usage", "{}"))
        entries = [entry for entries in usage.values() for entry in entries]
        minutes = max((float(entry["estimated_time_to_regain_access"]) for entry in entries), default=0.0)
    except (ValueError, TypeError, KeyError, AttributeError):
        minutes = 0.0
    if minutes > 0:
        return minutes * 60
    after = lowered.get("retry-after", "")
    return float(after) if after.isdecimal() and int(after) > 0 else None


def _read(raw: bytes, status: int, headers: dict[str, str]) -> Json | GraphError:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return of_status(status)
    if not isinstance(body, dict):
        return of_status(status)
    if "error" in body or status >= 400:
        refusal = classify(body.get("error"), status)
        if refusal.kind is ErrorKind.THROTTLED:
            return GraphError(refusal.kind, refusal.code, refusal.subcode, status, "", regain_seconds(headers))
        return refusal
    return body


def _is_worth_retrying(answer: Json | GraphError) -> bool:
    return isinstance(answer, GraphError) and answer.kind in RETRIED
