"""The analyzer as a process with an AI's settings, against a local endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.contract.contacts import AnalysisSource
from shared.contract.events import Event
from shared.store.mongo import Database
from tests.conftest import Stack, Start
from tests.support.fake_ai import FakeAI
from tests.support.fake_gemini import FakeGemini, exhausted, serving_gemini
from tests.support.fake_openai import serving_openai
from tests.support.making import said
from tests.support.outcome import customers, settled, story
from tests.support.processes import Leadstream
from tests.support.topics import publish_events
from tests.support.waiting import eventually


@pytest.fixture
async def gemini() -> AsyncIterator[FakeGemini]:
    async with serving_gemini() as fake:
        yield fake


async def output_of(process: Leadstream) -> str:
    return process.output


def keys(gemini: FakeGemini) -> dict[str, str]:
    return {"LEADSTREAM_GEMINI_API_KEYS": "key-one,key-two", "LEADSTREAM_GEMINI_ENDPOINT": gemini.url}


@pytest.fixture(params=["gemini", "genai", "openai"])
async def ai(request: pytest.FixtureRequest) -> AsyncIterator[tuple[FakeAI, dict[str, str]]]:
    """Yield a fake of each provider, and the settings that choose it."""
    async with serving_gemini() as gemini, serving_openai() as openai:
        endpoint = {"LEADSTREAM_AI_ENDPOINT": f"{openai.url}/v1", "LEADSTREAM_AI_API_KEYS": "key-one,key-two"}
        yield {
            "gemini": (gemini, keys(gemini)),
            "genai": (gemini, {**keys(gemini), "LEADSTREAM_GEMINI_LIBRARY": "google-genai"}),
            "openai": (openai, {**keys(gemini), **endpoint, "LEADSTREAM_AI_MODELS": "model"}),
        }[request.param]


async def test_an_ai_analyses_once_if_it_is_set(
    stack: Stack, database: Database, leadstream: Start, ai: tuple[FakeAI, dict[str, str]]
) -> None:
    fake, settings = ai
    events = [event for who in customers(6) for event in story(who)]
    await publish_events(stack.kafka, stack.topics.message_events, events)
    process = leadstream("analyzer", **settings)
    contacts = await settled(database, events)
    assert {contact.analysis and contact.analysis.source for contact in contacts.values()} == {AnalysisSource.AI}
    assert {contact.analysis and contact.analysis.lead_score for contact in contacts.values()} == {75}
    asked, looked = len(fake.asked), process.output.count("conversation_analysed")
    await publish_events(stack.kafka, stack.topics.message_events, events)
    await eventually(lambda: output_of(process), lambda output: output.count("conversation_analysed") >= looked + 6)
    assert process.terminate() == 0
    assert len(fake.asked) == asked
    assert {asked.key for asked in fake.asked} == {"key-one", "key-two"}
    assert "key-one" not in process.output
    assert not any("4111" in asked.prompt for asked in fake.asked), "a deleted message is not sent to the model"


async def test_the_parallelism_of_gemini_calls_is_as_set(
    stack: Stack, database: Database, leadstream: Start, gemini: FakeGemini
) -> None:
    gemini.answers_together = 64
    events: list[Event] = [said("How much?", 1, mid=f"m_{who.customer_id}", who=who) for who in customers(64)]
    await publish_events(stack.kafka, stack.topics.message_events, events)
    leadstream("analyzer", LEADSTREAM_ANALYSIS_PARALLELISM="64", **keys(gemini))
    contacts = await settled(database, events)
    assert {contact.analysis and contact.analysis.source for contact in contacts.values()} == {AnalysisSource.AI}


async def test_the_fallback_scores_and_is_marked_when_gemini_fails(
    stack: Stack, database: Database, leadstream: Start, gemini: FakeGemini
) -> None:
    gemini.says(exhausted())
    events = [event for who in customers(6) for event in story(who)]
    await publish_events(stack.kafka, stack.topics.message_events, events)
    leadstream("analyzer", **keys(gemini))
    contacts = await settled(database, events)
    assert {contact.analysis and contact.analysis.source for contact in contacts.values()} == {AnalysisSource.FALLBACK}
    asked = len(gemini.asked)
    events = [event for who in customers(7) for event in story(who)]
    await publish_events(stack.kafka, stack.topics.message_events, events)
    await settled(database, events)
    assert len(gemini.asked) == asked, "two keys at two models, all cooling down"
