"""The corpus has the counts of the rules, and is the same every time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.simulator.corpus import INSTAGRAM_ID, PAGE_ID, generate

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(("account_id", "conversations", "longest"), [(PAGE_ID, 59, 87), (INSTAGRAM_ID, 25, 43)])
def test_it_has_as_many_conversations_as_the_rules_say(account_id: str, conversations: int, longest: int) -> None:
    lengths = [len(each.messages) for each in generate(7, NOW).conversations[account_id]]
    assert len(lengths) == conversations
    assert max(lengths) == longest
    assert lengths.count(longest) == 1


def test_it_has_more_than_two_thousand_messages_with_ids_of_their_own() -> None:
    corpus = generate(7, NOW)
    ids = [message.id for each in corpus.conversations.values() for c in each for message in c.messages]
    assert len(ids) >= 2000
    assert len(set(ids)) == len(ids)


def test_the_same_seed_and_time_give_the_same_corpus_and_another_seed_another() -> None:
    assert generate(7, NOW) == generate(7, NOW)
    assert generate(7, NOW) != generate(8, NOW)


def test_messages_lie_in_the_past_in_their_order() -> None:
    for conversations in generate(7, NOW).conversations.values():
        for conversation in conversations:
            times = [message.at for message in conversation.messages]
            assert times == sorted(times)
            assert NOW - timedelta(days=150) < times[0] <= times[-1] <= NOW


def test_no_slot_was_left_open() -> None:
    texts = [m.text for each in generate(7, NOW).conversations.values() for c in each for m in c.messages]
    assert not [text for text in texts if "{" in text or "[" in text]
    assert any("Magkano po" in text for text in texts)
    assert any("How much is it?" in text for text in texts)


def test_maria_santos_is_a_customer_of_the_page() -> None:
    assert "Maria Santos" in {each.customer.name for each in generate(7, NOW).conversations[PAGE_ID]}
