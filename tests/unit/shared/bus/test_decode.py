"""A record that is no event becomes a dead letter with a reason and without a quotation."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
import pytest

from shared.bus.decode import decode
from shared.contract.dead_letters import DeadLetter
from shared.contract.failures import Reason
from tests.support.making import EPOCH, said
from tests.support.models import dump_event


@dataclass(frozen=True)
class Raw:
    value: bytes | None
    key: bytes | None = b"key"


def changed(**fields: object) -> bytes:
    return orjson.dumps({**orjson.loads(dump_event(said("How much?", 0))), **fields})


def test_an_event_is_decoded() -> None:
    assert decode(Raw(dump_event(said("How much?", 0))), EPOCH) == said("How much?", 0)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Reason.NOT_AN_EVENT),
        (b"", Reason.NOT_AN_EVENT),
        (b"\xff\xfe", Reason.NOT_AN_EVENT),
        (b"[1]", Reason.NOT_AN_EVENT),
        (b'"text"', Reason.NOT_AN_EVENT),
        (b"[" * 5000, Reason.NOT_AN_EVENT),
        (changed(text={"my": "secret"}), Reason.NOT_AN_EVENT),
        (changed(occurred_at="2026-01-01T00:00:00"), Reason.NOT_AN_EVENT),
        (changed(kind="poke"), Reason.UNKNOWN_KIND),
        (changed(account_id="a:b"), Reason.BAD_ID),
        (changed(customer_id=""), Reason.BAD_ID),
    ],
)
def test_a_value_that_is_no_event_becomes_a_whole_dead_letter(value: bytes | None, reason: Reason) -> None:
    letter = decode(Raw(value), EPOCH)
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.where, letter.key) == (reason, "analyzer", "key")
    assert letter.raw == (value or b"")
    assert "secret" not in letter.detail


def test_a_key_that_is_not_text_is_accepted() -> None:
    letters = [decode(Raw(b"", key), EPOCH) for key in (b"\xff", None)]
    assert [letter.key for letter in letters if isinstance(letter, DeadLetter)] == ["\N{REPLACEMENT CHARACTER}", None]
