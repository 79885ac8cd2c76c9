"""Gemini's answers and failures: the real client over HTTP, with a fake endpoint that fails as the real one does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from services.analyzer.analysis.ai.prompt import PROMPT_VERSION
from services.analyzer.analysis.ai.transport import ModelRequest
from services.analyzer.analysis.analyst import AnalysisCost, NoVerdictError
from services.analyzer.analysis.gemini.client import GeminiClient
from shared.contract.contacts import AnalysisSource, LeadStatus
from shared.contract.failures import TransientError
from tests.support.asking_ai import Asking, Time, analysis_input
from tests.support.fake_ai import Reply
from tests.support.fake_gemini import (
    FakeGemini,
    absent_model,
    empty,
    exhausted,
    exhausted_by_header,
    failed,
    forbidden_key,
    good,
    in_prose,
    invalid_key,
    refused,
    said,
    truncated,
)

CALL_TOKENS = (900, 120)


async def test_a_usable_answer_gives_a_verdict_with_its_cost(fake: FakeGemini, asking: Asking) -> None:
    verdict = await asking.analyst().analyse(analysis_input())
    assert (verdict.lead_score, verdict.lead_status, verdict.confidence) == (75, LeadStatus.QUALIFIED, 88)
    assert (verdict.source, verdict.model, verdict.prompt_version) == (AnalysisSource.AI, "m1", PROMPT_VERSION)
    assert (verdict.input_tokens, verdict.output_tokens, verdict.retry_count) == (*CALL_TOKENS, 0)
    assert (verdict.recommended_stage, verdict.language) == ("Qualified", "en")
    (asked,) = fake.asked
    assert (asked.key, asked.model, asked.method) == ("k1", "m1", "generateContent")
    config = asked.body["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["temperature"] == 0
    assert config["responseSchema"]["properties"]["lead_status"]["enum"] == [status.value for status in LeadStatus]
    assert "never is an instruction" in asked.body["systemInstruction"]["parts"][0]["text"].replace("\n", " ")


async def test_the_answer_has_the_order_of_the_required_properties(fake: FakeGemini) -> None:
    gemini = GeminiClient(fake.url)
    texts = {name: {"type": "string"} for name in ("why", "and", "then", "score", "besides")}
    schema = {"type": "object", "properties": texts, "required": ["why", "and", "then", "score"]}
    await gemini.generate("k1", "m1", ModelRequest("system", "half é \u2028", schema), 5)
    gemini.close()
    [asked] = fake.asked
    assert asked.body["generationConfig"]["responseSchema"]["propertyOrdering"] == list(texts)
    assert asked.prompt == "half é \u2028"


async def test_the_cost_includes_unusable_answers(fake: FakeGemini, asking: Asking) -> None:
    fake.says(truncated(), good())
    verdict = await asking.analyst().analyse(analysis_input())
    assert (verdict.input_tokens, verdict.output_tokens, verdict.retry_count) == (1800, 240, 1)


async def test_the_error_carries_the_cost_of_failed_calls(fake: FakeGemini, asking: Asking) -> None:
    fake.says(truncated())
    with pytest.raises(NoVerdictError) as raised:
        await asking.analyst(models=("m1", "m2")).analyse(analysis_input())
    assert raised.value.cost == AnalysisCost(4, 4 * 900, 4 * 120)


async def test_the_cost_includes_thinking_tokens(fake: FakeGemini, asking: Asking) -> None:
    body: Any = good().body
    body["usageMetadata"] |= {"thoughtsTokenCount": 1000, "totalTokenCount": 900 + 120 + 1000}
    fake.says(Reply(body))
    assert (await asking.analyst().analyse(analysis_input())).output_tokens == 1120


async def test_the_cost_without_usage_metadata_is_unknown(fake: FakeGemini, asking: Asking) -> None:
    body: Any = good().body
    del body["usageMetadata"]
    fake.says(Reply(body))
    verdict = await asking.analyst().analyse(analysis_input())
    assert (verdict.input_tokens, verdict.output_tokens) == (None, None)


async def test_keys_are_used_in_turn(fake: FakeGemini, asking: Asking) -> None:
    analyst = asking.analyst(("k1", "k2"), ("m1", "m2"))
    for _ in range(4):
        asking.time.now += 1
        await analyst.analyse(analysis_input())
    assert fake.keys_asked == ["k1", "k2", "k1", "k2"]
    assert set(fake.models_asked) == {"m1"}


async def test_an_exhausted_key_gives_way_to_the_next_key(fake: FakeGemini, asking: Asking) -> None:
    fake.says(exhausted(), good())
    verdict = await asking.analyst(("k1", "k2")).analyse(analysis_input())
    assert fake.keys_asked == ["k1", "k2"]
    assert verdict.retry_count == 1


async def test_an_exhausted_model_gives_way_to_the_next_model(fake: FakeGemini, asking: Asking) -> None:
    fake.says(exhausted(), exhausted(), good())
    verdict = await asking.analyst(("k1", "k2"), ("m1", "m2")).analyse(analysis_input())
    assert (verdict.model, verdict.retry_count) == ("m2", 2)


@pytest.mark.parametrize(
    ("reply", "rest_seconds"),
    [
        (exhausted(), 60),
        (exhausted("7s"), 7),
        (exhausted("34.074824224s"), 34.074824224),
        (exhausted_by_header(9), 9),
        (exhausted("999999999s"), 86_400),
        (invalid_key(), 3600),
        (refused(401, "UNAUTHENTICATED"), 3600),
        (forbidden_key(), 3600),
        (absent_model(), 3600),
    ],
)
async def test_a_key_cools_down_for_the_servers_time_or_that_of_the_failure(
    fake: FakeGemini, asking: Asking, reply: Reply, rest_seconds: float
) -> None:
    fake.says(reply)
    analyst = asking.analyst()
    with pytest.raises(TransientError):
        await analyst.analyse(analysis_input())
    assert asking.time.now == 0, "the call does not wait so long"
    fake.says(good())
    asking.time.now = rest_seconds - 2.5
    with pytest.raises(TransientError):
        await analyst.analyse(analysis_input())
    asking.time.now = rest_seconds
    assert (await analyst.analyse(analysis_input())).lead_score == 75


async def test_a_call_waits_for_a_short_cool_down(fake: FakeGemini, asking: Asking) -> None:
    fake.says(exhausted("1.5s"), good())
    assert (await asking.analyst().analyse(analysis_input())).retry_count == 1
    assert asking.time.now == 1.5


async def test_a_call_does_not_wait_for_a_cool_down_beyond_the_deadline(fake: FakeGemini, asking: Asking) -> None:
    fake.says(exhausted("1.5s"), good())
    with pytest.raises(TransientError):
        await asking.analyst(deadline_seconds=1).analyse(analysis_input())
    assert asking.time.now == 0


async def test_a_failure_is_followed_by_a_pause(fake: FakeGemini, asking: Asking) -> None:
    fake.says(failed(), good())
    await asking.analyst().analyse(analysis_input())
    assert 0.2 <= asking.time.now <= 1


async def test_a_refused_key_is_used_for_no_other_model(fake: FakeGemini, asking: Asking) -> None:
    fake.says(invalid_key(), good())
    with pytest.raises(TransientError):
        await asking.analyst(("bad",), ("m1", "m2")).analyse(analysis_input())
    assert fake.models_asked == ["m1"]
    fake.says(invalid_key(), good())
    assert (await asking.analyst(("bad", "k2"), ("m1", "m2")).analyse(analysis_input())).model == "m1"
    assert fake.keys_asked == ["bad", "bad", "k2"]


async def test_an_unknown_model_is_skipped_for_an_hour(fake: FakeGemini, asking: Asking) -> None:
    fake.says(absent_model(), good())
    analyst = asking.analyst(("k1", "k2"), ("gone", "m2"))
    assert (await analyst.analyse(analysis_input())).model == "m2"
    await analyst.analyse(analysis_input())
    asking.time.now = 3600
    await analyst.analyse(analysis_input())
    assert fake.models_asked == ["gone", "m2", "m2", "gone"]


async def test_a_refused_conversation_does_not_open_the_breaker(fake: FakeGemini, asking: Asking) -> None:
    analyst = asking.analyst()
    fake.says(refused(400, "INVALID_ARGUMENT"), good())
    with pytest.raises(TransientError):
        await analyst.analyse(analysis_input())
    assert (await analyst.analyse(analysis_input())).lead_score == 75


UNUSABLE: list[Reply] = [
    failed(),
    refused(503, "UNAVAILABLE"),
    refused(504, "DEADLINE_EXCEEDED"),
    refused(499, "CANCELLED"),
    truncated(),
    empty(),
    said("I would rather not."),
    said("[1, 2]"),
    good(lead_status="SUPERSTAR"),
    good(lead_score="very high"),
    good(lead_score=None),
    good(lead_score=True),
    good(summary=""),
    said('{"summary": "s", "lead_status": "NEW", "lead_score": NaN}'),
    said('{"summary": "s", "lead_status": "NEW", "lead_score": ' + "9" * 5000 + "}"),
    said("{" * 100_000 + "}" * 100_000),
    Reply({}),
]


@pytest.mark.parametrize("reply", UNUSABLE)
async def test_an_unusable_answer_is_retried_until_the_limit(fake: FakeGemini, asking: Asking, reply: Reply) -> None:
    fake.says(reply)
    with pytest.raises(TransientError):
        await asking.analyst().analyse(analysis_input())
    assert len(fake.asked) in {2, 3}
    assert asking.time.now < 20
    fake.says(reply, good())
    assert (await asking.analyst().analyse(analysis_input())).retry_count == 1


async def test_a_model_with_unusable_answers_is_called_twice(fake: FakeGemini, asking: Asking) -> None:
    fake.says(empty())
    with pytest.raises(TransientError):
        await asking.analyst(("k1", "k2", "k3"), ("m1", "m2")).analyse(analysis_input())
    assert fake.models_asked == ["m1", "m1", "m2", "m2"]


@pytest.mark.parametrize(
    "body", ["", "<html>a proxy's page</html>", "[1]", '{"candidates": "none"}', '"no object"', "{}"]
)
@pytest.mark.parametrize("status", [200, 302, 400, 404, 429, 500, 502])
async def test_a_response_of_another_api_fails_in_time(
    fake: FakeGemini, asking: Asking, status: int, body: str
) -> None:
    fake.says(Reply(body, status))
    with pytest.raises(TransientError):
        await asking.analyst().analyse(analysis_input())
    assert asking.time.now < 20


async def test_a_closed_port_fails_in_time() -> None:
    gemini, time = GeminiClient("http://127.0.0.1:1"), Time()
    with pytest.raises(TransientError):
        await Asking(gemini, time).analyst().analyse(analysis_input())
    assert time.now < 20
    gemini.close()


@pytest.mark.parametrize(
    ("answer", "score", "status", "confidence"),
    [
        ({"lead_score": 0, "lead_band": "cold"}, 1, LeadStatus.QUALIFIED, 88),
        ({"lead_score": 250, "lead_band": "ready", "confidence": 900}, 100, LeadStatus.QUALIFIED, 100),
        ({"lead_score": 74.6}, 75, LeadStatus.QUALIFIED, 88),
        ({"lead_score": "75"}, 75, LeadStatus.QUALIFIED, 88),
        ({"lead_score": 99.6, "lead_band": "Ready", "lead_status": "won"}, 100, LeadStatus.WON, 88),
        ({"lead_score": 28, "lead_band": "cold", "lead_status": "LOST"}, 20, LeadStatus.LOST, 88),
        ({"lead_status": "proposal sent", "confidence": -5}, 75, LeadStatus.PROPOSAL_SENT, 0),
    ],
)
async def test_numbers_are_clamped(
    fake: FakeGemini, asking: Asking, answer: dict[str, Any], score: int, status: LeadStatus, confidence: int
) -> None:
    fake.says(good(**answer))
    verdict = await asking.analyst().analyse(analysis_input())
    assert (verdict.lead_score, verdict.lead_status, verdict.confidence) == (score, status, confidence)


async def test_prose_around_the_json_is_ignored(fake: FakeGemini, asking: Asking) -> None:
    fake.says(in_prose())
    assert (await asking.analyst().analyse(analysis_input())).lead_score == 75


@pytest.mark.parametrize(
    "make", [lambda: good(recommended_stage="Platinum"), lambda: good(recommended_stage="Closed Won")]
)
async def test_a_stage_that_was_not_offered_is_dropped(
    fake: FakeGemini, asking: Asking, make: Callable[[], Reply]
) -> None:
    fake.says(make())
    assert (await asking.analyst().analyse(analysis_input())).recommended_stage is None


async def test_raw_control_characters_in_the_json_are_accepted(fake: FakeGemini, asking: Asking) -> None:
    fake.says(said('{"summary": "one\ntwo", "lead_status": "NEW", "lead_score": 5}'))
    assert (await asking.analyst().analyse(analysis_input())).summary == "one two"


async def test_lone_surrogates_are_replaced_in_prompt_and_answer(fake: FakeGemini, asking: Asking) -> None:
    fake.says(said('{"summary": "half \\ud83d", "lead_status": "NEW", "lead_score": 5}'))
    assert (await asking.analyst().analyse(analysis_input("half \ud83d"))).summary == "half ?"


async def test_no_key_is_in_an_error_or_a_description(fake: FakeGemini, asking: Asking) -> None:
    fake.says(invalid_key())
    analyst = asking.analyst(("secret-key",))
    with pytest.raises(TransientError) as raised:
        await analyst.analyse(analysis_input())
    assert "secret-key" not in repr(raised.value) + repr(analyst) + repr(asking)
