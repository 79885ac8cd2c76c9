"""Which dead letters are parked, by the records on the topic."""

from __future__ import annotations

import pytest

from shared.bus.dead_letter_queue import (
    REPLAYED_OFFSET_HEADER,
    DeadLetterSummary,
    drop_replayed,
    read_dead_letter,
    summarise,
    tombstone,
)
from shared.bus.producer import Record
from shared.contract.dead_letters import DeadLetter, dump_dead_letter
from shared.contract.events import Header
from shared.contract.failures import Reason
from tests.unit.console.rows import NOON

LETTER = DeadLetter(reason=next(iter(Reason)), where="analyzer", parked_at=NOON, payload="odd")


def parked(offset: int) -> dict[str, DeadLetterSummary]:
    return {LETTER.letter_id: summarise(LETTER, offset)}


def test_a_replayed_dead_letter_is_no_longer_parked() -> None:
    found = parked(7)
    drop_replayed(found, tombstone("topic", summarise(LETTER, 7)))
    assert not found


def test_a_dead_letter_parked_again_before_its_tombstone_stays() -> None:
    found = parked(8)
    drop_replayed(found, tombstone("topic", summarise(LETTER, 7)))
    assert found.keys() == {LETTER.letter_id}


@pytest.mark.parametrize("headers", [[], [(REPLAYED_OFFSET_HEADER, b"")], [(REPLAYED_OFFSET_HEADER, b"somewhere")]])
def test_a_tombstone_without_an_offset_covers_everything_before_it(headers: list[Header]) -> None:
    found = parked(8)
    drop_replayed(found, Record("topic", LETTER.letter_id.encode(), b"", headers))
    assert not found


def test_a_tombstone_for_an_unknown_id_changes_nothing() -> None:
    found = parked(8)
    drop_replayed(found, Record("topic", b"another", b"", []))
    assert found.keys() == {LETTER.letter_id}


def test_a_payload_not_in_its_encoding_is_not_a_dead_letter() -> None:
    odd = LETTER.model_copy(update={"payload": "a", "encoding": "base64"})
    assert read_dead_letter(Record("topic", b"key", dump_dead_letter(odd), [])) is None
    assert read_dead_letter(Record("topic", b"key", dump_dead_letter(LETTER), [])) == LETTER
