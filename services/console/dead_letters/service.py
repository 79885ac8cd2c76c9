"""Lists, finds and replays dead letters, for the pages and the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.console.overview.system_status import SystemStatus
from shared.bus.dead_letter_queue import DeadLetterQueue, DeadLetterSummary
from shared.bus.dead_letter_replay import Replay
from shared.bus.producer import KafkaError
from shared.contract.dead_letters import DeadLetter
from shared.contract.failures import Reason, UnreachableError

BROKER_TIMEOUT_SECONDS = 20.0
MAX_SHOWN_LETTERS = 200


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Ids of letters. Those in `stay` are still not understood and stay parked."""

    done: tuple[str, ...]
    stay: tuple[str, ...]


class DeadLetterService:
    """Raises UnreachableError when the broker does not answer in time."""

    def __init__(self, letters: DeadLetterQueue, replay: Replay, system_status: SystemStatus) -> None:
        self._letters = letters
        self._replay = replay
        self._system_status = system_status

    async def parked(self) -> list[DeadLetterSummary]:
        """Return the parked letters, newest first."""
        async with _broker_timeout():
            parked = await self._letters.parked()
        self._system_status.dead_letters = tuple(parked.values())
        return list(reversed(parked.values()))

    async def find(self, letter_id: str) -> DeadLetter | None:
        async with _broker_timeout():
            return await self._letters.find(letter_id)

    async def replay(self, letter_ids: Collection[str] | None, reason: Reason | None) -> ReplayResult:
        """Replay the letters of these ids and of this reason. `None` means no filter."""
        done: list[str] = []
        stay: list[str] = []

        def record(letter: DeadLetter, is_replayed: bool) -> None:
            (done if is_replayed else stay).append(letter.letter_id)

        async with _broker_timeout(done):
            await self._replay.run(letter_ids, reason, record)
        return ReplayResult(tuple(done), tuple(stay))


@asynccontextmanager
async def _broker_timeout(replayed: Sequence[str] = ()) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(BROKER_TIMEOUT_SECONDS):
            yield
    except (TimeoutError, KafkaError):
        progress = f"; {len(replayed)} letters were replayed, try again for the rest" if replayed else ""
        raise UnreachableError(f"the broker does not answer{progress}") from None
