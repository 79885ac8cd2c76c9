"""Waiting for a server that is away: a retry of what is idempotent, never a loss and never a skip."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

Result = TypeVar("Result")

log = structlog.get_logger()


async def retry_until_stopped(call: Callable[[], Awaitable[Result]], *transient: type[Exception]) -> Result:
    """Makes `call` again, for ever and with jittered back-off up to 5 s, while it fails in one of these ways.

    Only cancellation ends it: the caller's offset or lease is held meanwhile.
    """

    async def attempt() -> Result:
        return await call()

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(transient),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        before_sleep=_tell,
    )
    return await retrying(attempt)


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("server_away", error=type(error).__name__, attempt=state.attempt_number)
