"""The learned words: keys of a line, shares of lines, acts and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Set
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from services.analyzer.analysis.analyst import SpeakerRole, TranscriptLine
from services.analyzer.analysis.fallback.tokenizer import Words, split
from services.analyzer.analysis.fallback.wording import (
    ACTS,
    BUSINESS_SHARE,
    COLUMNS,
    LINES_AT_ONCE,
    OUTPUTS,
    RECENCY,
    Share,
    Table,
    Wording,
    line_keys,
    line_shares,
)
from shared.contract.contacts import Band

START = datetime(2026, 12, 1, tzinfo=UTC)
CUSTOMER, BUSINESS = SpeakerRole.CUSTOMER, SpeakerRole.BUSINESS


def said(*texts: str) -> list[TranscriptLine]:
    """Return lines; a text that begins with `>` is the business's."""
    return [
        TranscriptLine(START + timedelta(minutes=place), BUSINESS if text[0] == ">" else CUSTOMER, text.lstrip("> "))
        for place, text in enumerate(texts)
    ]


def words_of(lines: list[TranscriptLine]) -> list[Words]:
    return [split(line.text) for line in lines]


def wording() -> Wording:
    """Return weights by which "paid" is a payment and ready, and the business's "sorry" is cold."""
    paid, sorry = np.zeros((1, COLUMNS), np.float32), np.zeros((1, COLUMNS), np.float32)
    paid[0, ACTS.index("pay")] = 8.0
    paid[0, len(ACTS) + OUTPUTS.index(Band.READY)] = 2.0
    paid[0, len(ACTS) + len(OUTPUTS) + OUTPUTS.index(Band.READY)] = 1.0
    sorry[0, len(ACTS) + OUTPUTS.index(Band.COLD)] = 2.0
    tables = {CUSTOMER: Table({"paid": 0}, paid), BUSINESS: Table({"sorry": 0}, sorry)}
    return Wording(tables, np.zeros(len(ACTS), np.float32), np.zeros(len(OUTPUTS), np.float32))


def read(*texts: str) -> tuple[list[str], dict[Band, float]]:
    lines = said(*texts)
    reading = wording().read(lines, words_of(lines), [None] * len(texts))
    outputs = dict(zip(OUTPUTS, reading.outputs.tolist(), strict=True))
    return [ACTS[row] for row in reading.acts.argmax(axis=1)], {band: outputs[band] for band in Band}


def test_a_line_has_its_words_their_ends_their_pairs_and_its_marks() -> None:
    line = TranscriptLine(START, CUSTOMER, "Paid 450 already?", ("[image]",))
    keys = line_keys(line, split(line.text), {"paid"})
    assert {"paid", "0", "already", "alre*", "*ady", "<_paid", "paid_0", "already_>", "m:image", "s:paid", "?"} <= keys


def test_newer_lines_have_larger_shares() -> None:
    shares = line_shares(said("a", "> b", "c", "> d"))
    assert shares[2] == Share(1.0, 1.0)
    assert shares[0] == Share(RECENCY, 0.0)
    assert shares[3] == Share(BUSINESS_SHARE, BUSINESS_SHARE)
    assert shares[1] == Share(BUSINESS_SHARE * RECENCY, 0.0)


def test_a_line_of_the_business_is_not_new_once_it_is_answered() -> None:
    assert line_shares(said("> a", "b"))[0] == Share(BUSINESS_SHARE, 0.0)


def test_old_lines_do_not_count() -> None:
    assert sorted(line_shares(said(*"abcdefghijkl"))) == list(range(4, 12))


def test_words_say_what_a_line_does_and_where_a_conversation_stands() -> None:
    acts, bands = read("hello", "> 450", "paid")
    assert acts[1] == "pay"
    assert max(bands, key=bands.__getitem__) is Band.READY
    assert read("paid", "> thanks")[1][Band.READY] > read("paid", "> sorry", "hm", "hm")[1][Band.READY]
    assert read("hm", "> sorry")[1][Band.COLD] > 0


def test_unknown_words_say_nothing() -> None:
    _, bands = read("zzz")
    assert set(bands.values()) == {0.0}


def test_each_line_shows_what_it_adds() -> None:
    lines = said("hm", "> so", "paid")
    reading = wording().read(lines, words_of(lines), [None] * 3)
    ready = OUTPUTS.index(Band.READY)
    assert reading.by_line[2][ready] > 0
    assert [float(reading.by_line[index][ready]) for index in (0, 1)] == [0.0, 0.0]


def test_the_sum_of_a_line_does_not_depend_on_the_order_of_its_keys() -> None:
    """The order of a set differs from one process to the next, and floats add up differently in another order."""
    chance = np.random.default_rng(1)
    names = [f"key{number}" for number in range(500)]
    weights = chance.normal(size=(len(names), COLUMNS)).astype(np.float32)
    table = Table({name: row for row, name in enumerate(names)}, weights)
    orders = [OrderedKeys(chance.permutation(names).tolist()) for _ in range(5)]
    one, *others = [table.rows([order])[0].tolist() for order in orders]
    assert all(other == one for other in others)


def test_the_sum_of_a_line_is_that_of_its_known_keys() -> None:
    weights = np.arange(2 * COLUMNS, dtype=np.float32).reshape(2, COLUMNS)
    rows = Table({"a": 0, "b": 1}, weights).rows([{"a"}, {"a", "b"}, set(), {"unknown"}])
    assert np.array_equal(rows, [weights[0], weights.sum(axis=0), 0 * weights[0], 0 * weights[0]])


def test_the_last_lines_of_a_long_conversation_are_read_as_those_of_a_short_one() -> None:
    last = ["> 450", "hm", "paid"]
    acts, bands = read(*["hm", "> 450"] * LINES_AT_ONCE, *last)
    assert acts[-2:] == read(*last)[0]
    assert acts.count("pay") == 1
    assert max(bands, key=bands.__getitem__) is Band.READY


class OrderedKeys(Set[str]):
    """A set that lists its keys in a given order."""

    def __init__(self, keys: list[str]) -> None:
        self._keys = keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys


def test_weights_survive_their_file_but_for_rounding() -> None:
    before = wording()
    after = Wording.from_data(before.to_data())
    for role in SpeakerRole:
        assert after.tables[role].keys == before.tables[role].keys
        assert after.tables[role].weights == pytest.approx(before.tables[role].weights, abs=0.05)
