"""A person asks for a new analysis while the AI is away: the AI makes it when it is back, whatever happens between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from services.analyzer.analysis.fallback.scorer import FallbackScorer
from services.analyzer.analysis.resilient import ResilientAnalyst
from services.analyzer.queue.analysis_pool import AnalysisPool
from shared.contract.contacts import Analysis, AnalysisSource
from shared.domain.contact_edits import ContactEdit
from shared.runtime.clock import utc_now
from shared.runtime.metrics import AnalyzerMetrics
from shared.store.ai_retry_queue import AIRetryQueue
from shared.store.contact_editing import edit_contact
from shared.store.conversations import Conversations
from shared.store.indexes import EPOCH
from shared.store.mongo import Database
from tests.integration.test_analyzer_worker import NoAi, Rig
from tests.support.making import MARIA, completed, listed, said
from tests.support.waiting import eventually

KEY = str(MARIA)


@dataclass
class Analyzer:
    rig: Rig
    ai: NoAi = field(default_factory=lambda: NoAi(is_back=True))

    @property
    def again(self) -> AIRetryQueue:
        return AIRetryQueue(self.rig.database, 60_000)

    @property
    def analyst(self) -> ResilientAnalyst:
        return ResilientAnalyst(self.ai, FallbackScorer())

    async def run(self, until: Callable[[], Awaitable[bool]]) -> None:
        """A pool until nothing is due, and that."""
        worker, stop = self.rig.worker(self.analyst), asyncio.Event()
        running = asyncio.create_task(
            AnalysisPool(self.rig.queue(), self.again, worker, 8, 60_000, AnalyzerMetrics()).run(stop)
        )
        await eventually(self.nothing_is_due, bool)
        await eventually(until, bool)
        stop.set()
        await running

    async def nothing_is_due(self) -> bool:
        return await self.rig.database.conversations.count_documents({"due_at": {"$gte": EPOCH}}) == 0

    async def is_left_to_the_ai(self) -> bool:
        return await self.rig.database.ai_retries.count_documents({"_id": KEY}) == 1

    async def is_left_to_nobody(self) -> bool:
        return not await self.is_left_to_the_ai()

    async def ask_in_vain(self) -> Analysis:
        """The analysis by the AI that stands meanwhile."""
        await self.rig.apply(said("How much?", 1))
        await self.run(self.is_left_to_nobody)
        self.ai.is_back = False
        await Conversations(self.rig.database).requeue([KEY], reanalyse=True)
        await self.run(self.is_left_to_the_ai)
        return await self.analysis()

    async def analysis(self) -> Analysis:
        contact = await self.rig.contact()
        assert contact is not None
        assert contact.analysis is not None
        return contact.analysis

    async def end_the_wait(self) -> None:
        await self.rig.database.ai_retries.update_one({"_id": KEY}, {"$set": {"at": EPOCH}})


@pytest.fixture
def analyzer(database: Database) -> Analyzer:
    return Analyzer(Rig(database))


async def nothing(_analyzer: Analyzer) -> None:
    pass


async def an_edit(analyzer: Analyzer) -> None:
    await edit_contact(analyzer.rig.database, KEY, ContactEdit(notes="called"), utc_now)


async def a_duplicate(analyzer: Analyzer) -> None:
    await analyzer.rig.apply(said("How much?", 1))


async def a_backfill(analyzer: Analyzer) -> None:
    await analyzer.rig.apply(listed(2), completed(3))


async def a_process_that_ends(analyzer: Analyzer) -> None:
    """Right behind its claim."""
    await analyzer.end_the_wait()
    dying = analyzer.rig.queue()
    assert await dying.claim_these(await analyzer.again.due(1))
    await dying.release_all()


async def a_process_that_ends_before_it_publishes(analyzer: Analyzer) -> None:
    await analyzer.end_the_wait()
    dying, worker = analyzer.rig.queue(), analyzer.rig.worker(analyzer.analyst)
    (held,) = await dying.claim_these(await analyzer.again.due(1))
    held.is_ai_retry = True
    await worker.record(await worker.read([held]) or [])
    await dying.release_all()


@pytest.mark.parametrize(
    "between",
    [nothing, an_edit, a_duplicate, a_backfill, a_process_that_ends, a_process_that_ends_before_it_publishes],
    ids=lambda between: between.__name__,
)
async def test_a_requested_analysis_survives_what_happens_until_the_ai_is_back(
    between: Callable[[Analyzer], Awaitable[None]], analyzer: Analyzer
) -> None:
    before = await analyzer.ask_in_vain()
    assert before.source is AnalysisSource.AI, "the fallback takes no verdict of the AI away"
    await between(analyzer)
    await analyzer.run(analyzer.is_left_to_the_ai)
    assert await analyzer.analysis() == before
    analyzer.ai.is_back = True
    await analyzer.end_the_wait()
    await analyzer.run(analyzer.is_left_to_nobody)
    after = await analyzer.analysis()
    assert after.analysed_at > before.analysed_at
    assert after.source is AnalysisSource.AI
    asked = analyzer.ai.asked
    await Conversations(analyzer.rig.database).requeue([KEY])
    await analyzer.run(analyzer.is_left_to_nobody)
    assert analyzer.ai.asked == asked, "it is answered"


async def test_a_failed_ai_retry_makes_no_new_version(
    analyzer: Analyzer,
) -> None:
    await analyzer.ask_in_vain()
    await analyzer.rig.apply(said("And delivery?", 5))
    await analyzer.run(analyzer.is_left_to_the_ai)
    first, asked = await analyzer.rig.contact(), analyzer.ai.asked
    assert (await analyzer.analysis()).source is AnalysisSource.FALLBACK

    async def is_asked() -> bool:
        return analyzer.ai.asked > asked

    await analyzer.end_the_wait()
    await analyzer.run(is_asked)
    assert await analyzer.rig.contact() == first
