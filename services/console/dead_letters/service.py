"""Dead letters, whether a page or a program asks for them: what is parked, and another try of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType

from services.console.overview.system_status import SystemStatus
from shared.bus.dead_letter_queue import DeadLetterQueue, DeadLetterSummary
from shared.bus.dead_letter_replay import Replay
from shared.bus.producer import KafkaError
from shared.contract.dead_letters import DeadLetter
from shared.contract.failures import Reason, UnreachableError

BROKER_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Ids of letters: what is still not understood stays parked."""

    done: tuple[str, ...]
    stay: tuple[str, ...]


class DeadLetterService:
    """UnreachableError when the broker does not answer in time."""

    def __init__(self, letters: DeadLetterQueue, replay: Replay, system_status: SystemStatus) -> None:
        self._letters = letters
        self._replay = replay
        self._system_status = system_status

    async def parked(self) -> list[DeadLetterSummary]:
        """The newest first."""
        async with _in_time():
            parked = await self._letters.parked()
        self._system_status.dead_letters = tuple(parked.values())
        return list(reversed(parked.values()))

    async def one(self, letter_id: str) -> DeadLetter | None:
        async with _in_time():
            return await self._letters.find(letter_id)

    async def replay(self, letter_ids: Collection[str] | None, reason: Reason | None) -> ReplayResult:
        """Those of these ids, and of this reason; None leaves out none."""
        told: dict[str, bool] = {}

        def tell(letter: DeadLetter, is_replayed: bool) -> None:
            told[letter.letter_id] = is_replayed

        async with _in_time(told):
            await self._replay.run(letter_ids, reason, tell)
        stay = tuple(each for each, is_replayed in told.items() if not is_replayed)
        return ReplayResult(tuple(each for each in told if told[each]), stay)


@asynccontextmanager
async def _in_time(replayed: Mapping[str, bool] = MappingProxyType({})) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(BROKER_TIMEOUT_SECONDS):
            yield
    except (TimeoutError, KafkaError):
        done = sum(replayed.values())
        before = f"; {done} were replayed before, try again for the rest" if done else ""
        raise UnreachableError(f"the broker does not answer{before}") from None
