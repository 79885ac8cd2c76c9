"""Replays inputs that fuzzing found. A new input is a new file in `payloads/fuzzed`."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.receiver.parse.json_body import parse_body
from services.receiver.parse.normalise_webhook import normalise
from shared.contract.failures import RejectedError
from tests.fuzz.oracles import NOW, check_normalise, check_parse
from tests.fuzz.seeds import FUZZED

INPUTS = sorted(FUZZED.iterdir())


def outcome(name: str) -> tuple[list[str], list[str]]:
    batch = normalise((FUZZED / name).read_bytes(), NOW)
    return sorted(draft.kind for draft in batch.events), [
        dead_letter.reason.value for dead_letter in batch.dead_letters
    ]


@pytest.mark.parametrize("path", INPUTS, ids=[path.name for path in INPUTS])
def test_a_found_input_keeps_all_promises(path: Path) -> None:
    check_parse(path.read_bytes())
    check_normalise(path.read_bytes())


@pytest.mark.parametrize(
    ("name", "events", "reasons"),
    [
        ("half_a_pair_as_raw_bytes.json", ["message"], []),
        ("a_pair_as_two_raw_halves.json", ["message"], []),
        ("half_a_pair_in_keys_that_then_are_one.json", ["message"], []),
        ("utf16.json", ["message"], []),
        ("byte_order_mark.json", ["message"], []),
        ("nuls_and_right_to_left.json", ["message"], []),
        ("time_in_digits_of_another_script.json", ["message"], []),
        ("as_deep_as_is_read.json", ["message"], ["odd_part"]),
        ("one_level_too_deep.json", [], ["too_deep"]),
        ("number_of_400_digits.json", [], ["not_json"]),
        ("number_of_5000_digits.json", [], ["not_json"]),
        ("number_beyond_64_bits_as_id.json", [], ["bad_id"]),
        ("time_before_the_first_year.json", ["message"], ["odd_part"]),
        ("time_after_the_last_year.json", ["message"], ["odd_part"]),
        ("every_kind_in_one_item_and_one_is_wrong.json", ["edit", "message", "postback", "referral"], ["malformed"]),
    ],
)  # fmt: skip
def test_an_odd_input_does_not_affect_others(name: str, events: list[str], reasons: list[str]) -> None:
    assert outcome(name) == (events, reasons)


def test_a_body_too_deep_for_any_parser_is_rejected() -> None:
    """Either of two reasons is correct: the depth of the interpreter's own parser differs by version."""
    with pytest.raises(RejectedError):
        parse_body((FUZZED / "deeper_than_a_parser_goes.json").read_bytes())
