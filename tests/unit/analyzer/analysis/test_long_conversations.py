"""Conversations near and beyond a model's context: all lines reach a model, or the fallback scores."""

from __future__ import annotations

import pytest

from services.analyzer.analysis.ai.analyst import AIAnalyst
from services.analyzer.analysis.ai.prompt import transcript_rows
from services.analyzer.analysis.analyst import AnalysisInput, NoVerdictError
from shared.contract.failures import TransientError
from tests.support.asking_ai import Asking, analysis_input
from tests.support.fake_ai import Asked, Reply, hanging
from tests.support.fake_gemini import FakeGemini, counted, digest, failed, truncated

CONTEXT = 4000


def long_brief(lines: int = 1000) -> AnalysisInput:
    return analysis_input(*(f"line {number} of a long conversation" for number in range(lines)))


def analyst(asking: Asking, deadline_seconds: float = 20) -> AIAnalyst:
    return asking.analyst(context_tokens=CONTEXT, deadline_seconds=deadline_seconds)


def generated(fake: FakeGemini) -> list[Asked]:
    return [asked for asked in fake.asked if asked.method == "generateContent"]


def rows(asked: Asked) -> list[str]:
    return [line for line in asked.prompt.splitlines() if line.startswith("[")]


async def test_a_short_transcript_is_sent_without_counting_tokens(fake: FakeGemini, asking: Asking) -> None:
    await analyst(asking).analyse(analysis_input("short"))
    assert [asked.method for asked in fake.asked] == ["generateContent"]


async def test_a_transcript_that_fits_by_tokens_is_sent_whole(fake: FakeGemini, asking: Asking) -> None:
    fake.counts.append(counted(CONTEXT))
    told = long_brief()
    await analyst(asking).analyse(told)
    assert [asked.method for asked in fake.asked] == ["countTokens", "generateContent"]
    assert fake.asked[0].system == fake.asked[1].system
    assert rows(fake.asked[1]) == transcript_rows(told)


async def test_instructions_that_leave_no_room_for_lines_end_without_digests(fake: FakeGemini, asking: Asking) -> None:
    fake.counts.append(counted(1_000_000))
    with pytest.raises(NoVerdictError, match="too long"):
        await analyst(asking).analyse(long_brief())
    assert generated(fake) == []


async def test_the_oldest_part_of_a_long_transcript_is_summed_up(fake: FakeGemini, asking: Asking) -> None:
    told = long_brief()
    verdict = await analyst(asking).analyse(told)
    *digested, last = generated(fake)
    assert all(asked.wants_digest for asked in digested)
    assert not last.wants_digest
    digests = [row for row in rows(last) if row.startswith('["digest"')]
    newest = rows(last)[len(digests) :]
    older = [row for asked in digested for row in rows(asked)]
    assert sorted(older + newest) == sorted(transcript_rows(told))
    assert newest == transcript_rows(told)[-len(newest) :]
    assert len(digests) == len(digested)
    assert len(last.prompt) > CONTEXT * 4 // 2, "most of the context is used word for word"
    calls = len(digested) + 1
    assert (verdict.input_tokens, verdict.output_tokens) == (900 * calls, 120 * calls)


async def test_digests_keep_the_order_of_their_lines(fake: FakeGemini, asking: Asking) -> None:
    fake.echoes = True
    told = long_brief()
    await analyst(asking).analyse(told)
    firsts = [row.split("line ")[1].split(" ")[0] for row in rows(generated(fake)[-1]) if row.startswith('["digest"')]
    assert [int(first) for first in firsts] == sorted(int(first) for first in firsts)
    assert len(firsts) > 1


async def test_digests_that_do_not_fit_are_summed_up_again(fake: FakeGemini, asking: Asking) -> None:
    fake.counts += [counted(8 * CONTEXT), counted(2 * CONTEXT), counted(CONTEXT)]
    await analyst(asking).analyse(long_brief())
    again = [asked for asked in generated(fake) if asked.wants_digest and '["digest"' in asked.prompt]
    assert again


@pytest.mark.parametrize("reply", [failed(), truncated(), digest(""), digest("x" * 6_001)])
async def test_a_failed_digest_fails_the_analysis(fake: FakeGemini, asking: Asking, reply: Reply) -> None:
    fake.says(reply)
    with pytest.raises(TransientError):
        await analyst(asking).analyse(long_brief())
    assert all(asked.wants_digest for asked in generated(fake))


async def test_nothing_is_sent_if_tokens_cannot_be_counted(fake: FakeGemini, asking: Asking) -> None:
    fake.counts.append(failed())
    with pytest.raises(TransientError):
        await analyst(asking).analyse(long_brief())
    assert generated(fake) == []


async def test_digests_end_at_the_deadline(fake: FakeGemini, asking: Asking) -> None:
    fake.says(hanging())
    with pytest.raises(TransientError):
        await analyst(asking, deadline_seconds=0.3).analyse(long_brief())


async def test_a_million_characters_are_counted_and_sent_whole(fake: FakeGemini, asking: Asking) -> None:
    told = analysis_input("word " * 220_000)
    await asking.analyst().analyse(told)
    assert [asked.method for asked in fake.asked] == ["countTokens", "generateContent"]
    assert rows(fake.asked[1]) == transcript_rows(told)
