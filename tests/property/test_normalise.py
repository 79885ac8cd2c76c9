"""Normalisation of arbitrary bodies raises nothing, loses nothing, and keeps items independent."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from services.receiver.parse.json_body import parse_body
from services.receiver.parse.normalise_webhook import NormalisedWebhook, normalise
from shared.contract.failures import Reason, RejectedError
from shared.runtime.crypto import webhook_signature
from tests.fuzz.json_oracle import depth_of
from tests.fuzz.mutations import Mutator, write
from tests.fuzz.odd_values import VALUES
from tests.fuzz.oracles import LATER, LEVELS, NOW, check_normalise, check_parse, check_signature, facts
from tests.fuzz.seeds import keys_of, seed_values

SEEDS = seed_values()
MUTATOR = Mutator(SEEDS)
KEYS = keys_of(SEEDS)
ITEMS = [
    item
    for seed in SEEDS
    for entry in seed.get("entry") or []
    for item in (*(entry.get("messaging") or []), *(entry.get("standby") or []))
    if isinstance(item, dict)
]

often = settings(max_examples=3 * settings().max_examples)

secrets_ = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
numbers = st.integers(0, 2**32)
odd_values: st.SearchStrategy[Any] = st.sampled_from(VALUES)
scalars: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8),
    odd_values,
)  # fmt: skip


def changed_item(number: int) -> Any:
    """Return a real item with some changes; the same number gives the same item."""
    random = Random(number)
    return MUTATOR.change(random.choice(ITEMS), random)


def is_readable(item: Any) -> bool:
    """Return whether it has no number beyond a double, and leaves room for the envelope's levels."""
    try:
        return depth_of(parse_body(written(item))) < LEVELS - 10
    except RejectedError:
        return False


def written(body: Any) -> bytes:
    """Serialise a body as Facebook does, with escapes."""
    return json.dumps(body).encode()


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)


values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | objects(inner), max_leaves=12)
sides = st.fixed_dictionaries({"id": st.sampled_from(["PAGE", "PSID", 7, None])})
kinds = dict.fromkeys(("message", "postback", "reaction", "message_edit", "referral", "read"), values)
made_items = st.fixed_dictionaries({}, optional={"sender": sides, "recipient": sides, "timestamp": scalars, **kinds})
real_items = numbers.map(changed_item)
any_items = values | made_items | real_items
items = any_items.filter(is_readable)
"""Items that can be parsed: otherwise the whole body is one dead letter."""
groups = {"messaging": st.lists(any_items, max_size=4), "standby": st.lists(any_items, max_size=2), "changes": values}
entries = st.fixed_dictionaries({"id": st.sampled_from(["PAGE", "371", 7, "0", "a:b"])}, optional=groups)
bodies = st.fixed_dictionaries(
    {"object": st.sampled_from(["page", "instagram"]), "entry": st.lists(entries | values, max_size=3)}
)
made_bodies = st.tuples(bodies | values, numbers).map(lambda made: write(made[0], Random(made[1])))
real_bodies = numbers.map(lambda number: MUTATOR.body(Random(number)))


@often
@given(made_bodies | real_bodies)
def test_all_promises_hold_for_any_body(body: bytes) -> None:
    check_normalise(body)


@often
@given(st.binary(max_size=200) | made_bodies | real_bodies)
def test_a_body_is_parsed_like_the_standard_library_or_rejected(body: bytes) -> None:
    check_parse(body)


@given(st.binary(max_size=200))
def test_any_bytes_normalise_without_an_error(body: bytes) -> None:
    batch = normalise(body, NOW)
    assert not batch.events
    assert [dead_letter.raw for dead_letter in batch.dead_letters] == [body]


@given(st.binary(max_size=64), st.lists(secrets_, min_size=1, max_size=3), st.data())
def test_only_the_signature_is_a_valid_header(body: bytes, secrets: list[str], data: st.DataObject) -> None:
    right = webhook_signature(data.draw(st.sampled_from([*secrets, "another"])), body)
    place = data.draw(st.integers(0, len(right)))
    changed = right[:place] + data.draw(st.text(max_size=2)) + right[place + data.draw(st.integers(0, 2)) :]
    for header in (right, changed, right.upper(), data.draw(st.text(max_size=80))):
        check_signature(body, header, secrets)


@given(st.lists(items, min_size=1, max_size=5))
def test_every_item_is_an_event_or_a_dead_letter_or_counted(messaging: list[Any]) -> None:
    for item in messaging:
        alone = of_items([item])
        assert alone.events or alone.dead_letters or alone.dropped
        assert len(alone.dead_letters) <= 1


@given(st.lists(items, max_size=6), st.randoms(use_true_random=False))
def test_an_invalid_item_does_not_affect_others(bad: list[Any], random: Random) -> None:
    good = [good_item(number) for number in range(4)]
    mixed = [*good, *bad]
    random.shuffle(mixed)
    batch = of_items(mixed)
    alone = of_items(good)
    assert len(alone.events) == len(good)
    assert facts(alone)[0] <= facts(batch)[0]
    assert facts(batch) == facts(*(of_items([item]) for item in mixed))


@given(st.lists(items, max_size=4))
def test_valid_items_keep_their_order(bad: list[Any]) -> None:
    good = [good_item(number) for number in range(len(bad) + 1)]
    mixed = [good[0], *(item for pair in zip(bad, good[1:], strict=True) for item in pair)]
    wanted = [draft.event_id for draft in of_items(good).events]
    assert [draft.event_id for draft in of_items(mixed).events if draft.event_id in wanted] == wanted


@given(st.lists(items, max_size=3), st.lists(items, max_size=3))
def test_accounts_of_one_body_are_independent(first: list[Any], second: list[Any]) -> None:
    halves = [{"id": "371", "messaging": first}, {"id": "372", "messaging": second}]
    both, one, other = ({"object": "page", "entry": entries} for entries in (halves, halves[:1], halves[1:]))
    batches = [normalise(written(body), NOW) for body in (both, one, other)]
    assert facts(batches[0]) == facts(*batches[1:])
    assert {draft.value["account_id"] for draft in batches[0].events} <= {"371", "372"}


@given(st.lists(real_items.filter(is_readable), min_size=1, max_size=4), st.integers(1, 2**41))
def test_ids_do_not_depend_on_envelope_and_time_of_arrival(messaging: list[Any], time: int) -> None:
    """Facebook's duplicates have another body with another time of the entry (docs/facebook.md)."""
    body = {"object": "page", "entry": [{"id": "371", "time": 1, "messaging": messaging}]}
    again = {"object": "page", "entry": [{"id": "371", "time": time, "messaging": messaging[:1]}]}
    first, second = normalise(written(body), NOW), normalise(written(again), LATER)
    found = [draft.event_id for draft in first.events]
    assert [draft.event_id for draft in second.events] == found[: len(second.events)]


@given(st.integers(1, 400), st.sampled_from([list, dict]))
def test_a_body_is_accepted_up_to_the_depth_that_can_be_serialised(levels: int, kind: type) -> None:
    opening, closing = (b"[", b"]") if kind is list else (b'{"a":', b"}")
    body = opening * levels + b"1" + closing * levels
    check_parse(body)
    batch = normalise(body, NOW)
    too_deep = [dead_letter.reason for dead_letter in batch.dead_letters] == [Reason.TOO_DEEP]
    assert too_deep is (levels > LEVELS)


@given(st.text(st.characters(categories=["Cs", "Ll"]), min_size=1, max_size=6), st.booleans())
def test_half_a_surrogate_pair_changes_only_its_own_character(text: str, escaped: bool) -> None:
    item = {**good_item(1), "message": {"mid": "m_1", "text": text}}
    body = {"object": "page", "entry": [{"id": "PAGE", "messaging": [item, good_item(2)]}]}
    raw = json.dumps(body, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    check_parse(raw)
    said, other = normalise(raw, NOW).events
    assert other.event_id == "message:messenger:PAGE:good2"
    assert [each for each in said.value["text"] if "a" <= each <= "z"] == [each for each in text if "a" <= each <= "z"]


@given(st.sampled_from([("id", "371"), ("id", 371)]), st.sampled_from(["ms", "s", "text", "iso"]))
def test_ids_and_times_of_every_type_are_equal(account: tuple[str, Any], unit: str) -> None:
    times = {"ms": 1723486609000, "s": 1723486609, "text": "1723486609000", "iso": "2024-08-12T18:16:49+0000"}
    item = {"sender": {"id": 9}, "recipient": {"id": account[1]}, "timestamp": times[unit], "message": {"mid": "m_1"}}
    (draft,) = normalise(written({"object": "page", "entry": [{"id": "371", "messaging": [item]}]}), NOW).events
    assert (draft.conversation, draft.occurred_at) == ("messenger:371:9", "2024-08-12T18:16:49.000Z")


def outcomes(body: bytes) -> set[str]:
    batch = normalise(body, NOW)
    kinds = {draft.kind for draft in batch.events} | {dead_letter.reason.value for dead_letter in batch.dead_letters}
    return kinds | ({"mixed"} if batch.events and batch.dead_letters else set())


@pytest.mark.parametrize(
    "outcome",
    [
        "message", "edit", "deletion", "reaction", "postback", "referral", "mixed", "malformed", "bad_id", "odd_part",
    ],
)  # fmt: skip
def test_the_strategies_reach_every_outcome(outcome: str) -> None:
    """The properties above are tested with all outcomes, not with dead letters alone."""
    generous = settings(max_examples=20_000, database=None, phases=[Phase.generate])
    find(real_bodies | made_bodies, lambda body: outcome in outcomes(body), settings=generous)


def good_item(number: int) -> dict[str, Any]:
    message = {"mid": f"m_good{number}", "text": "hi"}
    return {"sender": {"id": "9"}, "recipient": {"id": "PAGE"}, "timestamp": 1723486609684, "message": message}


def of_items(messaging: list[Any]) -> NormalisedWebhook:
    return normalise(written({"object": "page", "entry": [{"id": "PAGE", "messaging": messaging}]}), NOW)
