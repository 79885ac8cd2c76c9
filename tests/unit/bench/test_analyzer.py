"""The load on the analyzer and the reading of its figures."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from services.analyzer.analysis.analyst import AnalysisInput
from services.receiver.parse.normalise_webhook import normalise
from shared.contract.encoded_events import EncodedEvent, dump_encoded_event
from shared.contract.events import Event, MessageEvent, load_event
from shared.domain.messages import fold_all
from tests.bench.analyzer_events import PARALLEL_CONVERSATIONS, STORIES, Traffic, key_of
from tests.bench.analyzer_ground import Reading, rate_of
from tests.bench.analyzer_memory import growth_percent
from tests.bench.backlog import change_of, grouped
from tests.bench.consumers import Count
from tests.bench.envelopes import CUSTOMERS, envelope
from tests.bench.freshness import contact_of, milliseconds
from tests.bench.scoring import LENGTHS, MESSAGES, STRIDE, USUAL, analysis_inputs
from tests.bench.wrk import BenchError

TRAFFIC = Traffic(conversations=PARALLEL_CONVERSATIONS + 7, messages=5)


def events(drafts: list[EncodedEvent]) -> list[Event]:
    return [load_event(dump_encoded_event(draft)) for draft in drafts]


def test_every_conversation_has_each_message_once_whatever_its_source() -> None:
    by_turns = events(list(TRAFFIC.drafts()))
    in_rows = events([draft for number in range(TRAFFIC.conversations) for draft in TRAFFIC.of_conversation(number)])
    messages = Counter(str(each.conversation) for each in by_turns if isinstance(each, MessageEvent))
    assert messages == {str(key_of(number)): 5 for number in range(TRAFFIC.conversations)}
    assert len({each.event_id for each in by_turns}) == len(by_turns)
    assert fold_all(by_turns) == fold_all(in_rows)


def test_conversations_interleave_and_some_messages_change_later() -> None:
    sent = events(list(TRAFFIC.drafts()))
    assert len({each.conversation for each in sent[:PARALLEL_CONVERSATIONS]}) > PARALLEL_CONVERSATIONS * 0.9
    kinds = Counter(each.kind for each in sent)
    assert set(kinds) == {"message", "reaction", "edit", "deletion"}
    assert 0.05 < 1 - kinds["message"] / len(sent) < 0.1


def test_no_two_messages_have_the_same_text() -> None:
    texts = [each.text for each in events(list(TRAFFIC.drafts())) if isinstance(each, MessageEvent)]
    assert len(set(texts)) == len(texts)


def test_a_rate_runs_from_the_first_result_to_the_last() -> None:
    seen = [(0.0, 0, 5.0), (2.0, 0, 6.0), (3.0, 100, 6.5), (4.0, 300, 7.0), (5.0, 500, 7.5), (9.0, 500, 8.0)]
    rate = rate_of([Reading(*each) for each in seen])
    assert (rate.per_second, rate.cpu_microseconds) == (200, 2500)


@pytest.mark.parametrize("readings", [[Reading(1, 0)], [Reading(1, 0), Reading(2, 500)]])
def test_results_between_two_readings_have_no_rate(readings: list[Reading]) -> None:
    with pytest.raises(BenchError, match="before two readings"):
        rate_of(readings)


def test_growth_runs_from_the_fourth_tenth_to_the_last_and_ignores_single_readings() -> None:
    rising = [10.0] * 30 + [100.0] * 10 + [900.0] * 50 + [110.0] * 10
    assert growth_percent(rising) == pytest.approx(10)
    assert growth_percent([*rising[:-1], 5_000.0]) == pytest.approx(10)


def test_conversations_of_any_length_differ_only_in_their_numbers() -> None:
    assert STRIDE % STORIES == 0
    assert STRIDE * USUAL > MESSAGES
    assert max(LENGTHS) <= MESSAGES
    said = {length: words(analysis_inputs(turn, length, 1_000)) for turn, length in enumerate((25, 100, 1_000))}
    assert len({tuple(line.rpartition(" #")[0] for line in each) for each in said.values()}) == 1
    assert len({line for each in said.values() for line in each}) == 3_000
    assert [len(each.transcript.lines) for each in analysis_inputs(1, 100, 1_000)] == [100] * 10


def words(conversations: list[AnalysisInput]) -> list[str]:
    return [line.text for each in conversations for line in each.transcript.lines]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"_id": 1, "a": 1, "b": 3, "c": 4}, {"$set": {"b": 3, "c": 4}, "$unset": {"due": ""}}),
        ({"_id": 1, "a": 1, "b": 2, "due": 0, "c": None}, {"$set": {"c": None}}),
        ({"_id": 1, "a": 1, "b": 2}, {"$unset": {"due": ""}}),
    ],
)
def test_a_raw_update_contains_only_the_differences(after: dict[str, Any], expected: dict[str, Any]) -> None:
    assert change_of({"_id": 1, "a": 1, "b": 2, "due": 0}, after) == expected


def test_equal_changes_share_one_update() -> None:
    alike, other = {"$set": {"fence": 1}}, {"$set": {"fence": 2}}
    updates = grouped([("a", alike), ("b", other), ("c", dict(alike))])
    assert [(each._filter["_id"]["$in"], each._doc) for each in updates] == [(["a", "c"], alike), (["b"], other)]


def test_the_delay_of_a_contact_counts_from_its_own_response() -> None:
    assert milliseconds({"a": 1.0, "b": 2.0}, {"b": 2.5, "a": 1.125, "c": 9.0}) == [125, 500]


@pytest.mark.parametrize("number", [0, 4_321, CUSTOMERS])
def test_a_request_leads_to_the_contact_of_its_customer(number: int) -> None:
    (draft,) = normalise(envelope(number), datetime(2026, 11, 24, tzinfo=UTC)).events
    assert contact_of(number) == draft.conversation


class Raw:
    def __init__(self, value: bytes) -> None:
        self.key, self.value = b"key", value


def test_a_reader_is_counted_up_to_the_batch_that_completes_the_count() -> None:
    values = [dump_encoded_event(draft) for draft in Traffic(6, 1).drafts()]
    count = Count(records=4)
    assert len(count.decode([Raw(value) for value in values[:3]])) == 3
    assert not count.done.is_set()
    count.decode([Raw(values[3]), Raw(b"none"), Raw(values[4])])
    assert count.done.is_set()
    assert count.decode([Raw(values[5])]) == []
    assert (count.told()["records"], count.told()["dead"]) == (6, 1)
    assert count.told()["seconds"] > 0
