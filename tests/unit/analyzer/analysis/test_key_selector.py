"""Parallel conversations with an AI that limits, fails, hangs and recovers: the real client over HTTP."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from services.analyzer.analysis.ai.analyst import AIAnalyst
from services.analyzer.analysis.ai.key_selector import KeySelector
from services.analyzer.analysis.ai.transport import ModelTransport
from services.analyzer.analysis.analyst import NoVerdictError
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from services.analyzer.analysis.gemini.client import GeminiClient
from services.analyzer.analysis.resilient import ResilientAnalyst
from shared.contract.contacts import AnalysisSource, Verdict
from shared.contract.failures import TransientError
from tests.support.asking_ai import Asking, analysis_input
from tests.support.fake_ai import hanging
from tests.support.fake_gemini import FakeGemini, exhausted, failed, good, in_prose
from tests.support.waiting import eventually


def by_the_clock(gemini: ModelTransport, deadline_seconds: float) -> AIAnalyst:
    return AIAnalyst(KeySelector(gemini, ("k1",), ("m1",), 1000), deadline_seconds, 100_000, "English")


async def many(analyst: AIAnalyst, number: int) -> list[Verdict | BaseException]:
    return await asyncio.gather(*(analyst.analyse(analysis_input()) for _ in range(number)), return_exceptions=True)


async def test_calls_run_in_parallel_beyond_the_default_thread_pool(fake: FakeGemini, asking: Asking) -> None:
    fake.answers_together = 96
    verdicts = await many(asking.analyst(deadline_seconds=30), 96)
    assert [verdict for verdict in verdicts if not isinstance(verdict, Verdict)] == []


async def test_connections_of_a_key_are_reused(fake: FakeGemini, asking: Asking) -> None:
    fake.answers_together = 20
    await many(asking.analyst(), 20)
    await many(asking.analyst(), 20)
    assert len({asked.connection for asked in fake.asked}) == 20


async def test_calls_over_the_limit_go_to_the_next_key_and_then_fail(fake: FakeGemini, asking: Asking) -> None:
    analyst = asking.analyst(("k1", "k2"), requests_per_minute=2)
    verdicts = await many(analyst, 5)
    assert sorted(fake.keys_asked) == ["k1", "k1", "k2", "k2"]
    assert [type(verdict) for verdict in verdicts].count(NoVerdictError) == 1
    assert asking.time.now == 0
    asking.time.now = 60
    assert (await analyst.analyse(analysis_input())).lead_score == 75


async def test_a_call_waits_for_a_key_that_is_free_soon(fake: FakeGemini, asking: Asking) -> None:
    analyst = asking.analyst(requests_per_minute=1)
    await analyst.analyse(analysis_input())
    asking.time.now = 58.5
    await analyst.analyse(analysis_input())
    assert asking.time.now == 60


async def test_one_conversation_at_a_time_probes_an_ai_that_is_down(fake: FakeGemini, asking: Asking) -> None:
    fake.says(failed())
    analyst = asking.analyst()
    with pytest.raises(TransientError):
        await analyst.analyse(analysis_input())
    tried = len(fake.asked)
    await many(analyst, 10)
    assert len(fake.asked) == tried, "every key cools down"
    asking.time.now += 5
    await many(analyst, 10)
    assert len(fake.asked) == tried + 1
    fake.says(good())
    asking.time.now += 10
    verdicts = await many(analyst, 10)
    assert len(fake.asked) == tried + 2
    assert [type(verdict) for verdict in verdicts].count(Verdict) == 1
    assert [type(verdict) for verdict in await many(analyst, 10)].count(Verdict) == 10


async def test_another_conversation_probes_after_a_cancelled_probe(fake: FakeGemini, asking: Asking) -> None:
    fake.says(exhausted(), hanging(), good())
    analyst = asking.analyst()
    with pytest.raises(TransientError):
        await analyst.analyse(analysis_input())
    asking.time.now = 60
    first = asyncio.create_task(analyst.analyse(analysis_input()))
    await eventually(lambda: asyncio.sleep(0, len(fake.asked)), lambda number: number == 2)
    first.cancel()
    await asyncio.wait([first])
    assert (await analyst.analyse(analysis_input())).lead_score == 75


async def test_a_hanging_call_delays_no_other_and_ends_at_its_deadline(fake: FakeGemini, asking: Asking) -> None:
    fake.says(hanging(), good())
    analyst = by_the_clock(asking.transport, 0.5)
    slow = asyncio.create_task(analyst.analyse(analysis_input()))
    await eventually(lambda: asyncio.sleep(0, fake.asked), bool)
    assert (await analyst.analyse(analysis_input())).lead_score == 75
    assert not slow.done()
    with pytest.raises(TransientError):
        await slow


async def test_a_slow_answer_ends_at_the_deadline() -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n")
        with suppress(OSError):
            while not given_up.is_set():
                writer.write(b" ")
                await writer.drain()
                sent.append(1)
                await asyncio.sleep(0.05)
        writer.close()

    given_up, sent = asyncio.Event(), list[int]()
    async with await asyncio.start_server(trickle, "127.0.0.1", 0) as server:
        gemini = GeminiClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(TransientError):
            await by_the_clock(gemini, 0.3).analyse(analysis_input())
        assert 0 < len(sent) < 60, "no analysis waited for the end of the answer"
        given_up.set()
        gemini.close()


async def test_every_behaviour_of_the_ai_gives_a_verdict_with_its_source(fake: FakeGemini, asking: Asking) -> None:
    analyst = ResilientAnalyst(asking.analyst(("k1", "k2"), ("m1", "m2")), FallbackScorer())
    fake.says(failed())
    assert (await analyst.analyse(analysis_input())).source is AnalysisSource.FALLBACK
    assert await analyst.analyse_by_ai(analysis_input()) is None
    fake.says(in_prose())
    asking.time.now += 3600
    assert (await analyst.analyse(analysis_input())).source is AnalysisSource.AI
    again = await analyst.analyse_by_ai(analysis_input())
    assert again
    assert again.source is AnalysisSource.AI
