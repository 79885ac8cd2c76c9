"""Fuzzed bodies reach every branch: otherwise tests with them would prove nothing."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from services.receiver.parse.items import IGNORED_KINDS
from services.receiver.parse.normalise_webhook import normalise
from tests.fuzz.mutations import Mutator, slot_in
from tests.fuzz.oracles import NOW
from tests.fuzz.seeds import dictionary, keys_of, seed_bodies, seed_values

NUMBER = 8_000


@pytest.fixture(scope="module")
def bodies() -> list[bytes]:
    mutator, random = Mutator(seed_values()), Random(4)
    return [mutator.body(random) for _ in range(NUMBER)]


def test_fuzzed_bodies_reach_every_kind_and_every_reason(bodies: list[bytes]) -> None:
    batches = [normalise(body, NOW) for body in bodies]
    kinds = Counter(draft.kind for batch in batches for draft in batch.events)
    reasons = Counter(dead_letter.reason.value for batch in batches for dead_letter in batch.dead_letters)
    dropped = Counter(kind for batch in batches for kind in batch.dropped)
    assert set(kinds) == {"message", "edit", "deletion", "reaction", "postback", "referral"}
    assert set(reasons) == {
        "not_json", "too_deep", "unknown_object", "unknown_kind", "malformed", "no_account", "no_customer",
        "no_message_id", "bad_id", "odd_part",
    }  # fmt: skip
    assert {"dashboard_test", "empty_entry", "not_a_conversation", "self_message", "unknown_field"} <= set(dropped)
    assert len(IGNORED_KINDS & set(dropped)) > 10
    assert min([*kinds.values(), *reasons.values()]) > 20
    assert kinds.total() > NUMBER / 4


def test_many_bodies_mix_valid_and_invalid_items(bodies: list[bytes]) -> None:
    mixed = [batch for body in bodies if (batch := normalise(body, NOW)).events and batch.dead_letters]
    assert len(mixed) > NUMBER / 100


def test_the_same_seed_gives_the_same_bodies() -> None:
    mutator = Mutator(seed_values())
    first, second = ([mutator.body(random) for _ in range(500)] for random in (Random(9), Random(9)))
    assert first == second
    assert len(set(first)) > 400


def test_a_mutation_does_not_change_its_seed() -> None:
    seeds, random = seed_values(), Random(1)
    mutator = Mutator(seeds)
    for seed in seeds:
        for _ in range(10):
            mutator.change(seed, random)
    assert seeds == seed_values()


def test_places_are_found_at_every_level() -> None:
    body = {"object": "page", "entry": [{"id": "1", "messaging": [{"message": {"mid": "m"}}]}]}
    random = Random(1)
    keys = {key for _ in range(500) for _, key in [slot_in([body], random)]}
    assert keys >= {"object", "entry", "id", "messaging", "message", "mid"}


def test_the_dictionary_has_the_keys_of_the_real_bodies() -> None:
    assert len(seed_bodies()) > 100
    words = dictionary(keys_of(seed_values())).splitlines()
    assert {r'"\"sender\":"', r'"\"messaging\":"', r'"\"num_edit\":"'} <= set(words)
