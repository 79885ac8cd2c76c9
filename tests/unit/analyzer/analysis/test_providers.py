"""Every provider's client against a fake that misbehaves: what follows is the same whoever it is."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.analyzer.analysis.analyst import NoVerdictError
from services.analyzer.analysis.providers import Provider, open_transport, provider_of
from shared.contract.contacts import AnalysisSource
from shared.contract.failures import WrongSettingsError
from shared.runtime.settings import AnalyzerSettings
from tests.support import fake_gemini, fake_openai
from tests.support.asking_ai import Asking, Time, analysis_input
from tests.support.fake_ai import FakeAI, Reply, hanging
from tests.support.fake_gemini import serving_gemini
from tests.support.fake_openai import serving_openai

Make = Callable[[Any], Reply]
"""Takes the module with a provider's replies."""


@dataclass
class Asked:
    """A provider's client that asks a fake, and the replies in its dialect."""

    fake: FakeAI
    asking: Asking
    replies: ModuleType


@pytest.fixture(params=list(Provider))
async def ai(request: pytest.FixtureRequest) -> AsyncIterator[Asked]:
    provider: Provider = request.param
    async with AsyncExitStack() as stack:
        if provider is Provider.OPENAI:
            fake: FakeAI = await stack.enter_async_context(serving_openai())
            settings = openai_settings(f"{fake.url}/v1")
        else:
            fake = await stack.enter_async_context(serving_gemini())
            settings = AnalyzerSettings.model_validate({"gemini_api_keys": "k1", "gemini_endpoint": fake.url})
        transport = await stack.enter_async_context(open_transport(settings, provider))
        yield Asked(fake, Asking(transport, Time()), fake_openai if provider is Provider.OPENAI else fake_gemini)


def openai_settings(endpoint: str, **more: str) -> AnalyzerSettings:
    return AnalyzerSettings.model_validate({"ai_endpoint": endpoint, "ai_models": "m1", **more})


async def test_a_usable_answer_gives_a_verdict_with_its_cost(ai: Asked) -> None:
    verdict = await ai.asking.analyst().analyse(analysis_input())
    assert (verdict.source, verdict.model, verdict.lead_score) == (AnalysisSource.AI, "m1", 75)
    assert (verdict.input_tokens, verdict.output_tokens, verdict.retry_count) == (900, 120, 0)
    assert [(asked.key, asked.model) for asked in ai.fake.asked] == [("k1", "m1")]
    assert "How much is it?" in ai.fake.asked[0].prompt


IN_PASSING: dict[str, Make] = {
    "500": lambda of: of.failed(),
    "503": lambda of: of.overloaded(),
    "504": lambda of: of.refused(504, "timeout"),
    "499": lambda of: of.refused(499, "cancelled"),
    "cut short": lambda of: of.truncated(),
    "empty": lambda of: of.empty(),
    "prose": lambda of: of.said("I would rather not."),
    "a list": lambda of: of.said("[1, 2]"),
    "another schema": lambda of: of.said('{"score": 3}'),
    "a wrong status": lambda of: of.good(lead_status="SUPERSTAR"),
    "a wrong score": lambda of: of.good(lead_score="very high"),
    "not JSON": lambda of: Reply("<html>a proxy's page</html>"),
    "502 in HTML": lambda of: Reply("<html>bad gateway</html>", 502),
    "nothing": lambda of: Reply(""),
    "an empty object": lambda of: Reply({}),
    "a redirect": lambda of: Reply("", 302),
    "other types": lambda of: Reply({"candidates": "none", "choices": "none"}),
}


@pytest.mark.parametrize("make", IN_PASSING.values(), ids=IN_PASSING)
async def test_the_same_model_is_asked_again(ai: Asked, make: Make) -> None:
    reply = make(ai.replies)
    ai.fake.says(reply, ai.replies.good())
    assert (await ai.asking.analyst().analyse(analysis_input())).retry_count == 1
    ai.fake.says(reply)
    with pytest.raises(NoVerdictError):
        await ai.asking.analyst().analyse(analysis_input())
    assert ai.asking.time.now < 20


RESTS: dict[str, tuple[Make, float]] = {
    "429": (lambda of: of.exhausted(), 60),
    "429 with a hint": (lambda of: of.exhausted("7s"), 7),
    "429 with a header": (lambda of: of.exhausted_by_header(9), 9),
    "429 with a fraction": (lambda of: of.exhausted("34.5s"), 34.5),
    "429 with a hint of years": (lambda of: of.exhausted("999999999s"), 86_400),
    "429 in HTML": (lambda of: Reply("<html>slow down</html>", 429), 60),
    "wrong key": (lambda of: of.invalid_key(), 3600),
    "401": (lambda of: of.refused(401, "unauthenticated"), 3600),
    "403": (lambda of: of.refused(403, "permission_denied"), 3600),
    "404": (lambda of: of.absent_model(), 3600),
}


@pytest.mark.parametrize(("make", "seconds"), RESTS.values(), ids=RESTS)
async def test_a_key_rests_for_the_servers_time_or_that_of_the_failure(ai: Asked, make: Make, seconds: float) -> None:
    analyst = ai.asking.analyst()
    for reply, now in ((make(ai.replies), 0), (ai.replies.good(), seconds - 2.5)):
        ai.fake.says(reply)
        ai.asking.time.now = now
        with pytest.raises(NoVerdictError):
            await analyst.analyse(analysis_input())
    ai.asking.time.now = seconds
    assert (await analyst.analyse(analysis_input())).lead_score == 75


NEVER: dict[str, Make] = {
    "a refusal": lambda of: of.blocked_answer(),
    "a blocked prompt": lambda of: of.blocked_prompt(),
    "400": lambda of: of.refused(400, "invalid"),
}


@pytest.mark.parametrize("make", NEVER.values(), ids=NEVER)
async def test_a_refused_conversation_goes_to_the_next_model_and_rests_no_key(ai: Asked, make: Make) -> None:
    analyst = ai.asking.analyst(models=("m1", "m2"))
    ai.fake.says(make(ai.replies), ai.replies.good())
    assert (await analyst.analyse(analysis_input())).model == "m2"
    assert (await analyst.analyse(analysis_input())).model == "m1"
    assert ai.asking.time.now == 0


async def test_a_conversation_that_is_too_long_is_shortened(ai: Asked) -> None:
    ai.fake.reads_bytes = 9_000
    lines = [f"line {number} " + "x" * 50 for number in range(200)]
    verdict = await ai.asking.analyst(context_tokens=20_000).analyse(analysis_input(*lines))
    assert verdict.lead_score == 75
    assert lines[0] in ai.fake.asked[0].prompt
    assert lines[0] not in ai.fake.asked[-1].prompt
    assert lines[-1] in ai.fake.asked[-1].prompt
    assert any(asked.wants_digest for asked in ai.fake.asked)


async def test_a_short_conversation_that_is_too_long_is_sent_once(ai: Asked) -> None:
    ai.fake.reads_bytes = 10
    with pytest.raises(NoVerdictError, match="too long"):
        await ai.asking.analyst(context_tokens=20_000).analyse(analysis_input())
    assert len([asked for asked in ai.fake.asked if asked.method != "countTokens"]) == 1


async def test_a_call_that_hangs_ends_at_the_deadline(ai: Asked) -> None:
    ai.fake.says(hanging())
    with pytest.raises(NoVerdictError):
        await ai.asking.analyst(deadline_seconds=0.2).analyse(analysis_input())


async def test_nobody_listening_fails_in_time(ai: Asked) -> None:
    provider = Provider.OPENAI if ai.replies is fake_openai else Provider.GENAI
    settings = AnalyzerSettings.model_validate(
        {"gemini_api_keys": "k", "gemini_endpoint": "http://127.0.0.1:1", "ai_endpoint": "http://127.0.0.1:1"}
        | {"ai_models": "m"}
    )
    async with open_transport(settings, provider) as transport:
        with pytest.raises(NoVerdictError):
            await Asking(transport, Time()).analyst().analyse(analysis_input())


QUOTING: dict[str, Make] = {
    "the key": lambda of: of.refused(401, "invalid", message="Incorrect key provided: secret-key"),
    "the conversation": lambda of: of.refused(400, "invalid", message="cannot read: secret-text"),
    "the conversation in the answer": lambda of: of.said("You said: secret-text"),
    "both in HTML": lambda of: Reply("<html>secret-key secret-text</html>", 502),
}


@pytest.mark.parametrize("make", QUOTING.values(), ids=QUOTING)
async def test_no_key_and_nothing_of_the_conversation_is_logged(ai: Asked, make: Make) -> None:
    ai.fake.says(make(ai.replies))
    analyst = ai.asking.analyst(("secret-key",))
    with capture_logs() as logs, pytest.raises(NoVerdictError) as raised:
        await analyst.analyse(analysis_input("my secret-text"))
    assert logs
    assert "secret-" not in repr(logs) + repr(raised.value) + repr(analyst) + repr(ai.asking)


async def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.genai", None)
    monkeypatch.delitem(sys.modules, "services.analyzer.analysis.gemini.genai_client", raising=False)
    settings = AnalyzerSettings.model_validate({"gemini_api_keys": "k"})
    with pytest.raises(WrongSettingsError, match=r"leadstream\[genai\]"):
        async with open_transport(settings, Provider.GENAI):
            pass


def test_the_settings_choose_the_provider() -> None:
    def chosen(**given: str) -> Provider | None:
        return provider_of(AnalyzerSettings.model_validate(given))

    endpoint = {"ai_endpoint": "http://127.0.0.1:11434/v1", "ai_models": "llama"}
    assert chosen() is None
    assert chosen(gemini_api_keys="k") is Provider.GEMINI
    assert chosen(gemini_api_keys="k", gemini_library="google-genai") is Provider.GENAI
    assert chosen(**endpoint) is chosen(gemini_api_keys="k", **endpoint) is Provider.OPENAI
