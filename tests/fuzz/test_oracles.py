"""The oracles detect defects: each of these receivers has one, and is caught."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any

import orjson
import pytest

from services.receiver.http.signature import is_signed
from services.receiver.parse.json_body import parse_body
from services.receiver.parse.normalise_webhook import NormalisedWebhook, normalise
from shared.contract.failures import Reason, RejectedError
from tests.fuzz.json_oracle import UNREADABLE, contains, depth_of, read_json
from tests.fuzz.mutations import Mutator
from tests.fuzz.oracles import check_normalise, check_parse, check_signature
from tests.fuzz.seeds import seed_values

MUTATOR = Mutator(seed_values())


def bodies(number: int = 1500) -> list[bytes]:
    random = Random(7)
    return [MUTATOR.body(random) for _ in range(number)]


def breaks(check: Callable[[bytes], object]) -> bool:
    """Return whether a fuzzed body makes `check` fail; an exception of a broken receiver counts as well."""
    for body in bodies():
        try:
            check(body)
        except Exception:  # noqa: BLE001
            return True
    return False


def test_the_real_receiver_passes() -> None:
    for body in bodies(300):
        check_parse(body)
        check_normalise(body)


def loses_all_after_a_bad_item(body: bytes, at: datetime) -> NormalisedWebhook:
    batch = normalise(body, at)
    return NormalisedWebhook([], batch.dead_letters, batch.dropped) if batch.dead_letters else batch


def forgets_letters(body: bytes, at: datetime) -> NormalisedWebhook:
    batch = normalise(body, at)
    return NormalisedWebhook(batch.events, [], batch.dropped)


def forgets_counts(body: bytes, at: datetime) -> NormalisedWebhook:
    batch = normalise(body, at)
    return NormalisedWebhook(batch.events, batch.dead_letters, type(batch.dropped)())


def parks_a_part(body: bytes, at: datetime) -> NormalisedWebhook:
    batch = normalise(body, at)
    dead_letters = [
        dead_letter.model_copy(update={"payload": dead_letter.payload[:-1]}) for dead_letter in batch.dead_letters
    ]
    return NormalisedWebhook(batch.events, dead_letters, batch.dropped)


def has_ids_of_the_moment(body: bytes, at: datetime) -> NormalisedWebhook:
    batch = normalise(body, at)
    return NormalisedWebhook(
        [each._replace(event_id=f"{each.event_id}{at}") for each in batch.events], batch.dead_letters, batch.dropped
    )


def says_twice(body: bytes, at: datetime) -> NormalisedWebhook:
    batch = normalise(body, at)
    return NormalisedWebhook(batch.events[:1] + batch.events, batch.dead_letters, batch.dropped)


def writes_text(name: str, value: object) -> Callable[[bytes, datetime], NormalisedWebhook]:
    def make(body: bytes, at: datetime) -> NormalisedWebhook:
        batch = normalise(body, at)
        return NormalisedWebhook(
            [each._replace(value={**each.value, name: value}) for each in batch.events],
            batch.dead_letters,
            batch.dropped,
        )

    return make


def raises_for_two_events(body: bytes, at: datetime) -> NormalisedWebhook:
    batch = normalise(body, at)
    if len(batch.events) > 1:
        raise KeyError("entry")
    return batch


@pytest.mark.parametrize(
    "broken",
    [
        loses_all_after_a_bad_item, forgets_letters, forgets_counts, parks_a_part, has_ids_of_the_moment, says_twice,
        raises_for_two_events,
        writes_text("text", 7), writes_text("customer_id", "a:b"), writes_text("occurred_at", "2024-08-12T18:16:49Z"),
        writes_text("direction", "sideways"), writes_text("unheard_of", 1), writes_text("kind", "edit"),
    ],
)  # fmt: skip
def test_a_receiver_that_breaks_a_promise_is_caught(broken: Callable[[bytes, datetime], NormalisedWebhook]) -> None:
    assert breaks(lambda body: check_normalise(body, broken))


def raises_for_half_pairs(body: bytes) -> Any:
    return orjson.loads(body)


def reads_constants(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise RejectedError(Reason.NOT_JSON) from None


def rejects_what_is_odd(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RejectedError(Reason.NOT_JSON) from None


def says_the_wrong_reason(body: bytes) -> Any:
    try:
        return parse_body(body)
    except RejectedError:
        raise RejectedError(Reason.MALFORMED) from None


@pytest.mark.parametrize("broken", [raises_for_half_pairs, reads_constants, rejects_what_is_odd, says_the_wrong_reason])
def test_a_parser_that_breaks_a_promise_is_caught(broken: Callable[[bytes], Any]) -> None:
    assert breaks(lambda body: check_parse(body, broken))


def test_the_signature_oracle_accepts_only_the_signature() -> None:
    right = "sha256=dec6a680679a968e7e0319355b23599cbfc54502c0784668e9618baa0c633756"
    body = b'{"object":"whatsapp_business_account","entry":[]}'
    for header in (right, right.upper(), right[:-1], right + " ", "", "\udcff" * 71):
        check_signature(body, header, ["other", "test_app_secret"])
    assert is_signed(body, right, ["test_app_secret"])
    with pytest.raises(AssertionError):
        check_signature(body, right, ["other"], lambda *_: True)
    with pytest.raises(AssertionError):
        check_signature(body, right, ["test_app_secret"], lambda *_: False)


def test_the_json_oracle_parses_like_the_receiver() -> None:
    assert read_json(b'["\\ud83d", "\\ud83d\\ude03", "\xed\xa0\xbd\xed\xb8\x83"]') == ["\ufffd", "😃", "😃"]
    assert [type(read_json(text)) for text in (b"18446744073709551615", b"18446744073709551616")] == [int, float]
    assert [read_json(text) is UNREADABLE for text in (b"NaN", b"1e999", b"9" * 5000, b"[", b"[" * 9999)] == [True] * 5
    values: list[Any] = [1, [], {}, [[]], {"a": [{}]}]
    assert [depth_of(each) for each in values] == [0, 1, 1, 2, 3]


def test_contains_compares_types_and_keys() -> None:
    assert contains({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}]})
    others: list[Any] = [{"b": 1}, {"a": True}, {"a": 1.0}, {"l": []}, [], None]
    assert not any(contains({"a": 1, "l": [1]}, other) for other in others)
