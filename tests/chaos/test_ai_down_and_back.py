"""The AI is down for a whole run and comes back: conversations are scored meanwhile, and then once by the AI."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from shared.contract.contacts import AnalysisSource, Contact
from shared.contract.events import Event
from shared.contract.ids import ConversationKey
from shared.store.mongo import Database
from tests.conftest import Stack, Start
from tests.support.fake_ai import hanging
from tests.support.fake_gemini import FakeGemini, exhausted, failed, good, serving_gemini
from tests.support.making import said
from tests.support.outcome import assert_versions_are_whole, contacts, customers, published, settled, story
from tests.support.topics import publish_events
from tests.support.waiting import eventually

AGAIN = {"LEADSTREAM_AI_AGAIN_SECONDS": "0.25", "LEADSTREAM_AI_AGAIN_PER_MINUTE": "6000"}


@pytest.fixture
async def gemini() -> AsyncIterator[FakeGemini]:
    async with serving_gemini() as fake:
        yield fake


def sources(found: dict[str, Contact]) -> set[AnalysisSource]:
    return {contact.analysis.source for contact in found.values() if contact.analysis}


def introduced(who: ConversationKey) -> Event:
    """Return a message that makes each conversation's prompt unique."""
    return said(f"I am {who.customer_id}", 5, mid=f"m_{who.customer_id}_name", who=who)


async def test_conversations_are_scored_while_the_ai_is_down_and_by_the_ai_afterwards(
    stack: Stack, database: Database, leadstream: Start, gemini: FakeGemini
) -> None:
    gemini.says(failed(), hanging(), exhausted("1s"))
    events = [event for who in customers(20) for event in (*story(who), introduced(who))]
    await publish_events(stack.kafka, stack.topics.message_events, events)
    process = leadstream(
        "analyzer",
        LEADSTREAM_GEMINI_API_KEYS="key",
        LEADSTREAM_GEMINI_MODELS="model",
        LEADSTREAM_GEMINI_ENDPOINT=gemini.url,
        LEADSTREAM_GEMINI_DEADLINE_SECONDS="1",
        **AGAIN,
    )
    found = await settled(database, events)
    assert sources(found) == {AnalysisSource.FALLBACK}
    assert all(contact.analysis and contact.analysis.lead_score >= 1 for contact in found.values())

    gemini.says(good())
    before = len(gemini.asked)
    await eventually(lambda: contacts(database), lambda found: sources(found) == {AnalysisSource.AI})
    found = await settled(database, events)
    assert sources(found) == {AnalysisSource.AI}
    assert {contact.analysis and contact.analysis.lead_score for contact in found.values()} == {75}
    asked = Counter(asked.prompt for asked in gemini.asked[before:])
    assert set(asked.values()) == {1}, "what the AI has analysed is not analysed again"
    assert len(asked) == len(found)
    assert await asyncio.to_thread(process.terminate) == 0
    assert_versions_are_whole(await published(stack), found)
