"""Retrying idempotent calls while a server is away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

Result = TypeVar("Result")

log = structlog.get_logger()


async def retry_until_stopped(call: Callable[[], Awaitable[Result]], *transient: type[Exception]) -> Result:
    """Retry `call` without limit, with jittered back-off up to 5 s, while it raises one of the `transient` errors.

    Only cancellation ends it. The caller holds its offset or lease meanwhile.
    """

    async def attempt() -> Result:
        return await call()

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(transient),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        before_sleep=_log_retry,
    )
    return await retrying(attempt)


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("server_away", error=type(error).__name__, attempt=state.attempt_number)
