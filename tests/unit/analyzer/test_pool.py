"""The pool works on groups at once: none waits for the AI, the broker or a lease of another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.analyzer.contact.conversation_loader import LoadedConversation
from services.analyzer.contact.merge import Placement
from services.analyzer.conversation import Conversation
from services.analyzer.queue import analysis_pool as pools
from services.analyzer.queue.analysis_pool import MAX_GROUP_SIZE, MAX_GROUPS, AnalysisPool
from services.analyzer.queue.analysis_worker import AnalysisOutcome, AnalysisWorker, ConversationSnapshot
from services.analyzer.queue.claim_queue import Claim, ClaimQueue
from shared.contract.contacts import AnalysisSource
from shared.contract.ids import Platform
from shared.runtime.metrics import AnalyzerMetrics
from shared.store.ai_retry_queue import AIRetryQueue
from shared.store.mongo import ConnectionFailure

Step = Callable[[Claim], Awaitable[None]]


async def at_once(_claim: Claim) -> None:
    pass


class FakeQueue:
    """Hands out `names`, then `again`, whose list it is as well; done when each is finished or given up."""

    lease_seconds = 0.06

    def __init__(self, *names: str, again: Sequence[str] = ()) -> None:
        self.waiting = [claim(name) for name in names]
        self.again = list(again)
        self.held_claims: list[Claim] = []
        self.asked: list[int] = []
        self.finished: list[str] = []
        self.for_ai: list[tuple[str, bool]] = []
        self.unanswered: list[str] = []
        self.dropped: list[str] = []
        self.renewed = asyncio.Event()
        self.stop = asyncio.Event()
        self.left = len(names) + len(again)

    @property
    def held(self) -> int:
        return len(self.held_claims)

    async def claim(self, limit: int) -> list[Claim]:
        self.asked.append(limit)
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        for each in taken:
            each.group = taken[0].contact_id
        self.held_claims += taken
        return taken

    def notify_written(self, keys: Iterable[str]) -> None:
        self.waiting += map(claim, keys)

    async def due(self, limit: int) -> list[str]:
        return self.again[:limit]

    async def claim_these(self, keys: Sequence[str]) -> list[Claim]:
        self.again = [name for name in self.again if name not in keys]
        taken = [claim(name) for name in keys]
        self.held_claims += taken
        return taken

    async def renew(self) -> None:
        self.renewed.set()

    async def finish_all(self, claims: Sequence[Claim], *, is_answered: bool) -> None:
        keys = [each.contact_id for each in claims]
        self.finished += keys
        self.unanswered += [] if is_answered else keys

    async def put(self, keys: Sequence[str], *, has_failed: bool) -> None:
        self.for_ai += [(key, has_failed) for key in keys]

    async def drop(self, keys: Sequence[str]) -> None:
        self.dropped += keys

    def forget_claims(self, claims: Sequence[Claim]) -> None:
        gone = [each for each in claims if each in self.held_claims]
        self.held_claims = [each for each in self.held_claims if each not in gone]
        self.left -= len(gone)
        if not self.left:
            self.stop.set()


@dataclass
class FakeWorker:
    """Those of a group that are `slow` go on alone. `too_large` cannot be read with others."""

    analyse: Step = at_once
    on_publish: Step = at_once
    has_ai: bool = False
    too_large: frozenset[str] = frozenset()
    fallback: frozenset[str] = frozenset()
    unanswered: frozenset[str] = frozenset()
    groups: list[list[str]] = field(default_factory=list)

    async def read(self, claims: Sequence[Claim], limit: int | None = 1) -> list[ConversationSnapshot] | None:
        if limit and self.too_large & {each.contact_id for each in claims}:
            return None
        return [
            ConversationSnapshot(each, None, LoadedConversation(each.conversation, ()), Placement()) for each in claims
        ]

    def waits_for_ai(self, _look: ConversationSnapshot) -> bool:
        return self.has_ai

    async def record(self, snapshots: Sequence[ConversationSnapshot]) -> list[AnalysisOutcome]:
        self.groups.append([look.claim.contact_id for look in snapshots])
        for look in snapshots:
            await self.analyse(look.claim)
        return [self.recorded(look.claim) for look in snapshots]

    async def publish(self, recorded: Sequence[AnalysisOutcome]) -> list[AnalysisOutcome]:
        for each in recorded:
            await self.on_publish(each.claim)
        return list(recorded)

    def recorded(self, of: Claim) -> AnalysisOutcome:
        return AnalysisOutcome(of, 1, "created", self.contact(of), (), is_unanswered=of.contact_id in self.unanswered)

    def contact(self, of: Claim) -> Any:
        source = AnalysisSource.FALLBACK if of.contact_id in self.fallback else AnalysisSource.AI
        return SimpleNamespace(analysis=SimpleNamespace(source=source, messages_read=1))


def claim(name: str) -> Claim:
    return Claim(Conversation(name, Platform.MESSENGER, "371", name), 1, 1, float("inf"))


def pool_of(queue: FakeQueue, worker: FakeWorker, parallelism: int = 2, per_minute: float = 60_000) -> AnalysisPool:
    again, metrics = cast("AIRetryQueue", queue), AnalyzerMetrics()
    return AnalysisPool(
        cast("ClaimQueue", queue), again, cast("AnalysisWorker", worker), parallelism, per_minute, metrics
    )


async def run(queue: FakeQueue, worker: FakeWorker, parallelism: int = 2, per_minute: float = 60_000) -> None:
    async with asyncio.timeout(10):
        await pool_of(queue, worker, parallelism, per_minute).run(queue.stop)


async def test_due_conversations_are_worked_on_as_a_group() -> None:
    names = [f"{number:03}" for number in range(MAX_GROUP_SIZE + 5)]
    queue, worker = FakeQueue(*names), FakeWorker()
    await run(queue, worker)
    assert worker.groups == [names[:MAX_GROUP_SIZE], names[MAX_GROUP_SIZE:]]
    assert sorted(queue.finished) == names


async def test_a_conversation_that_waits_for_the_ai_delays_no_other() -> None:
    queue = FakeQueue("slow", "a", "b", "c")

    async def analyse(held: Claim) -> None:
        while held.contact_id == "slow" and len(queue.finished) < 3:
            await asyncio.sleep(0)

    await run(queue, FakeWorker(analyse, has_ai=True))
    assert queue.finished[-1] == "slow"
    assert sorted(queue.finished) == ["a", "b", "c", "slow"]


async def test_the_ai_gets_no_more_calls_at_once_than_allowed() -> None:
    queue, now, most = FakeQueue(*"abcdefgh"), 0, 0

    async def analyse(_held: Claim) -> None:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0.001)
        now -= 1

    await run(queue, FakeWorker(analyse, has_ai=True), parallelism=3)
    assert most == 3
    assert sorted(queue.finished) == list("abcdefgh")


async def test_analyses_continue_while_the_broker_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for what one process has at the most."""
    monkeypatch.setattr(pools, "MAX_HELD", 2 * MAX_GROUP_SIZE * MAX_GROUPS)
    names = [f"{number:03}" for number in range(3 * MAX_GROUP_SIZE * MAX_GROUPS)]
    queue, analysed = FakeQueue(*names), set[str]()

    async def analyse(held: Claim) -> None:
        analysed.add(held.contact_id)

    async def publish(_held: Claim) -> None:
        while len(analysed) < 2 * MAX_GROUP_SIZE * MAX_GROUPS:
            await asyncio.sleep(0)
        assert len(queue.finished) or len(analysed) == 2 * MAX_GROUP_SIZE * MAX_GROUPS

    await run(queue, FakeWorker(analyse, publish))
    assert sorted(queue.finished) == names


async def test_conversations_too_large_to_be_read_together_are_read_one_by_one() -> None:
    queue, worker = FakeQueue("a", "large", "b"), FakeWorker(too_large=frozenset({"large"}))
    await run(queue, worker)
    assert worker.groups == [["a"], ["large"], ["b"]]
    assert queue.finished == ["a", "large", "b"]


async def test_only_fallback_verdicts_are_queued_for_the_ai() -> None:
    queue = FakeQueue("a", "b", again=["c"])
    await run(queue, FakeWorker(has_ai=True, fallback=frozenset({"b", "c"})))
    assert sorted(queue.finished) == ["a", "b", "c"]
    assert (queue.for_ai, queue.dropped) == ([("b", False), ("c", True)], ["a"])


async def test_an_unanswered_request_is_queued_for_the_ai_and_stays_requested() -> None:
    queue = FakeQueue("a", "b", again=["c"])
    await run(queue, FakeWorker(has_ai=True, unanswered=frozenset({"b", "c"})))
    assert (queue.for_ai, queue.dropped) == ([("b", False), ("c", True)], ["a"])
    assert (sorted(queue.finished), sorted(queue.unanswered)) == (["a", "b", "c"], ["b", "c"])


async def test_without_an_ai_nothing_is_queued_for_it() -> None:
    queue, worker = FakeQueue("a", "b"), FakeWorker(fallback=frozenset({"b"}))
    await run(queue, worker)
    assert (queue.finished, queue.for_ai) == (["a", "b"], [])


async def test_ai_retries_wait_until_fresh_work_is_done() -> None:
    queue, begun = FakeQueue(*"abcdef", again="xy"), list[str]()

    async def analyse(held: Claim) -> None:
        begun.append(held.contact_id)

    await run(queue, FakeWorker(analyse, has_ai=True))
    assert begun[-2:] == ["x", "y"]


async def test_leases_are_renewed_during_long_work() -> None:
    queue = FakeQueue("a")

    async def analyse(_held: Claim) -> None:
        await queue.renewed.wait()

    await run(queue, FakeWorker(analyse, has_ai=True))
    assert queue.finished == ["a"]


async def test_a_server_that_is_away_ends_the_attempt_but_not_the_pool() -> None:
    queue = FakeQueue("a", "b")

    async def analyse(held: Claim) -> None:
        if held.contact_id == "a":
            raise ConnectionFailure("away")

    await run(queue, FakeWorker(analyse, has_ai=True))
    assert queue.finished == ["b"]


async def test_an_unexpected_error_ends_the_process() -> None:
    async def analyse(_held: Claim) -> None:
        raise KeyError("bug")

    with pytest.raises(ExceptionGroup) as raised:
        await run(FakeQueue("a"), FakeWorker(analyse))
    assert raised.group_contains(KeyError)


async def test_a_written_conversation_ends_the_pause_of_an_idle_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "IDLE_SECONDS", 1_000)
    queue, worker = FakeQueue("first"), FakeWorker()
    queue.left += 1

    async def tell_of_another(_claim: Claim) -> None:
        if queue.left == 2:
            asyncio.get_running_loop().call_later(0.05, pool.notify_written, ["second"])

    worker.on_publish = tell_of_another
    pool = pool_of(queue, worker)
    async with asyncio.timeout(10):
        running = asyncio.create_task(pool.run(queue.stop))
        await queue.stop.wait()
        pool.notify_written([])
        await running
    assert queue.finished == ["first", "second"]


async def test_a_pool_is_idle_when_everything_written_is_done() -> None:
    queue, worker = FakeQueue("first"), FakeWorker()
    order: list[str] = []

    async def publish(of: Claim) -> None:
        await asyncio.sleep(0.01)
        order.append(of.contact_id)

    worker.on_publish = publish
    pool = pool_of(queue, worker)
    queue.left += 2
    async with asyncio.timeout(10):
        running = asyncio.create_task(pool.run(queue.stop))
        await pool.until_idle()
        order.append("idle")
        pool.notify_written(["second", "third"])
        await pool.until_idle()
        order.append("idle again")
        await running
    assert order == ["first", "idle", "second", "third", "idle again"]


async def test_a_pool_is_not_idle_while_a_claim_is_in_flight() -> None:
    queue, worker = FakeQueue("first"), FakeWorker()
    claiming, finishing = asyncio.Event(), asyncio.Event()
    claim_now = queue.claim

    async def claim_slowly(limit: int) -> list[Claim]:
        if queue.waiting and queue.waiting[0].contact_id == "second":
            finishing.set()
            await claiming.wait()
        return await claim_now(limit)

    async def publish(_of: Claim) -> None:
        if not finishing.is_set():
            pool.notify_written(["second"])
            await finishing.wait()

    worker.on_publish = publish
    queue.claim = claim_slowly  # type: ignore[method-assign]
    queue.left += 1
    pool = pool_of(queue, worker)
    async with asyncio.timeout(10):
        running = asyncio.create_task(pool.run(queue.stop))
        idle = asyncio.create_task(pool.until_idle())
        await finishing.wait()
        while queue.held_claims:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not idle.done()
        claiming.set()
        await asyncio.gather(running, idle)


async def test_a_pool_with_an_ai_never_delays_the_intake() -> None:
    async with asyncio.timeout(10):
        await pool_of(FakeQueue("first"), FakeWorker(has_ai=True)).until_idle()


async def test_a_short_claim_is_the_last_until_something_is_written() -> None:
    queue = FakeQueue(*(f"{number:03}" for number in range(MAX_GROUP_SIZE + 5)))
    await run(queue, FakeWorker())
    assert queue.asked == [MAX_GROUP_SIZE, MAX_GROUP_SIZE]
