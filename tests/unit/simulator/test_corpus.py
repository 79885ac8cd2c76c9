"""The corpus has the required counts, is reproducible, and reads like real conversations."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import phonenumbers
import pytest

from services.simulator.corpus import INSTAGRAM_ID, PAGE_ID, SimulatedConversation, SimulatedMessage, generate

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
CORPUS = generate(7, NOW)
OURS = [(PAGE_ID, 59, 87), (INSTAGRAM_ID, 25, 43)]


def conversations() -> Iterator[SimulatedConversation]:
    for of_account in CORPUS.conversations.values():
        yield from of_account


def messages() -> Iterator[SimulatedMessage]:
    for conversation in conversations():
        yield from conversation.messages


@pytest.mark.parametrize(("account_id", "number", "longest"), OURS)
@pytest.mark.parametrize("seed", [7, 8, 9])
def test_the_corpus_has_the_required_conversations(account_id: str, number: int, longest: int, seed: int) -> None:
    lengths = [len(each.messages) for each in generate(seed, NOW).conversations[account_id]]
    assert len(lengths) == number
    assert max(lengths) == longest
    assert lengths.count(longest) == 1


def test_the_corpus_has_more_than_2000_messages_with_unique_ids() -> None:
    ids = [message.id for message in messages()]
    assert len(ids) >= 2000
    assert len(set(ids)) == len(ids)


def test_the_corpus_depends_on_seed_and_time_only() -> None:
    assert generate(7, NOW) == CORPUS
    assert generate(8, NOW) != CORPUS


def test_messages_are_in_order_within_the_last_ninety_days() -> None:
    for conversation in conversations():
        times = [message.at for message in conversation.messages]
        assert all(before < after for before, after in pairwise(times))
        assert NOW - timedelta(days=90) < times[0] <= times[-1] <= NOW
        assert all(at.microsecond % 1000 == 0 for at in times)


def test_some_messages_share_a_second_and_some_conversations_are_hours_old() -> None:
    seconds = Counter((c.thread_id, m.at.replace(microsecond=0)) for c in conversations() for m in c.messages)
    assert sum(number > 1 for number in seconds.values()) > 5
    ages = [NOW - each.messages[-1].at for each in conversations()]
    assert min(ages) < timedelta(hours=12) < timedelta(days=30) < max(ages)


def test_every_slot_is_filled() -> None:
    assert not [message.text for message in messages() if re.search(r"[{}\[\]]", message.text)]


def test_customers_write_english_and_taglish_and_leave_contact_details() -> None:
    text = "\n".join(message.text for message in messages() if message.inbound)
    assert "Magkano po" in text
    assert "How much is it?" in text
    assert "@example.com" in text
    numbers = list(phonenumbers.PhoneNumberMatcher(text, "PH"))
    assert len({found.raw_string[:2] for found in numbers}) > 1
    assert all(phonenumbers.is_valid_number(found.number) for found in numbers)


def test_every_kind_of_message_occurs_on_both_platforms() -> None:
    for of_account in CORPUS.conversations.values():
        kinds = {message.attachment for each in of_account for message in each.messages}
        assert kinds >= {"image", "file", "voice", "video", "sticker", None}
        assert any(message.pressed for each in of_account for message in each.messages)
        assert any(not message.text for each in of_account for message in each.messages)


def test_dialogues_mention_only_details_that_the_product_has() -> None:
    for conversation in conversations():
        said = "\n".join(message.text for message in conversation.messages)
        products = set(re.findall(r"inverter aircon|L-shaped sofa|dining set|bed frame", said))
        if len(products) == 1 and len(conversation.messages) <= 64:
            assert ("inverter aircon" in products) or "Malakas po ba sa kuryente?" not in said
            assert ("inverter aircon" not in products) or "colors" not in said


def test_maria_santos_is_a_customer_of_the_page() -> None:
    assert CORPUS.conversations[PAGE_ID][0].customer.name == "Maria Santos"


def test_customers_have_unique_ids_and_instagram_message_ids_contain_their_thread() -> None:
    customers = [each.customer.id for each in conversations()]
    assert len(set(customers)) == len(customers)
    for conversation in CORPUS.conversations[INSTAGRAM_ID]:
        assert all(message.id.startswith("aWdf") for message in conversation.messages)
        shared = {message.id[40:100] for message in conversation.messages}
        assert len(shared) == 1


@pytest.mark.parametrize("length", [1, 6, 30, 200])
def test_a_corpus_has_the_requested_conversations_and_messages(length: int) -> None:
    big = generate(7, NOW, messenger=1100, instagram=3, messages=length)
    assert [len(each) for each in big.conversations.values()] == [1100, 3]
    assert {len(c.messages) for of_account in big.conversations.values() for c in of_account} == {length}
