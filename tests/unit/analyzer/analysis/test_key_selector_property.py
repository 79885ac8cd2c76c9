"""For any answers in any order, no call starts before its cool-down ends, and every analysis ends in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from services.analyzer.analysis.ai.analyst import AIAnalyst
from services.analyzer.analysis.ai.key_breaker import MINUTE_SECONDS
from services.analyzer.analysis.ai.key_selector import KeySelector
from services.analyzer.analysis.ai.transport import FailureKind, ModelAnswer, ModelCallError, ModelRequest
from services.analyzer.analysis.analyst import NoVerdictError
from tests.support.asking_ai import Time, analysis_input

VERDICT = '{"summary": "s", "lead_score": 50, "lead_status": "NEW"}'
DEADLINE_SECONDS = 20
REQUESTS_PER_MINUTE = 4
replies = st.one_of(
    st.just(VERDICT),
    st.just("no JSON"),
    st.builds(ModelCallError, st.sampled_from(FailureKind), st.just(""), st.none() | st.floats(0.1, 100)),
)


@dataclass
class Scripted:
    """A transport that takes `seconds` a call."""

    time: Time
    script: Iterator[str | ModelCallError]
    seconds: float
    calls: list[tuple[str, str, float]] = field(default_factory=list)
    shut_until: dict[tuple[str, str], float] = field(default_factory=dict)

    async def generate(self, key: str, model: str, request: ModelRequest, timeout_seconds: float) -> ModelAnswer:
        assert self.time.now >= self.shut_until.get((key, model), 0), "called during the cool-down"
        assert timeout_seconds > 0
        self.calls.append((key, model, self.time.now))
        self.time.now += min(self.seconds, timeout_seconds)
        reply = next(self.script, VERDICT)
        if isinstance(reply, str):
            return ModelAnswer(reply, model, 1, 1)
        if reply.kind not in {FailureKind.REQUEST_REFUSED, FailureKind.TOO_LONG}:
            self.shut_until[key, model] = self.time.now + (reply.retry_after_seconds or 0)
        raise reply

    async def count_tokens(self, key: str, model: str, request: ModelRequest, timeout_seconds: float) -> int:
        return 1


@given(
    st.lists(replies, max_size=40),
    st.lists(st.floats(0, 40), min_size=1, max_size=10),
    st.sampled_from([0.0, 1.5, 30.0]),
)
async def test_calls_respect_cool_downs_and_deadlines(
    script: list[str | ModelCallError], pauses: list[float], seconds: float
) -> None:
    time = Time()
    transport = Scripted(time, iter(script), seconds)
    selector = KeySelector(transport, ("k1", "k2"), ("m1", "m2"), REQUESTS_PER_MINUTE, lambda: time.now, time.sleep)
    analyst = AIAnalyst(selector, DEADLINE_SECONDS, context_tokens=100_000, summary_language="English")
    for pause in pauses:
        time.now += pause
        began, calls = time.now, len(transport.calls)
        try:
            told = (await analyst.analyse(analysis_input())).retry_count + 1
        except NoVerdictError as error:
            told = error.cost.retry_count
        assert told == len(transport.calls) - calls
        assert time.now <= began + DEADLINE_SECONDS
    for pair in {call[:2] for call in transport.calls}:
        times = [at for *of, at in transport.calls if tuple(of) == pair]
        assert all(b - a >= MINUTE_SECONDS - 1e-6 for a, b in zip(times, times[REQUESTS_PER_MINUTE:], strict=False))
