"""Learned words: the acts of each customer's line, and bands and statuses as far as words alone tell them. Pure.

A line is a set of keys: its words, their beginnings and ends, pairs of words, signals and marks. Each key has a row of
weights, and a line is the sum over its keys, so that a growing conversation costs one sum for each new line.
"""

from __future__ import annotations

from base64 import b85decode, b85encode
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from math import log1p, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.analyzer.analysis.analyst import SpeakerRole, TranscriptLine
from services.analyzer.analysis.fallback.tokenizer import Words
from shared.contract.contacts import Band, LeadStatus

Array = NDArray[np.float32]

ACTS = (
    "ask", "need", "detail", "haggle", "accept", "commit", "pay",
    "postpone", "refuse", "complain", "support", "pitch", "chat", "other",
)  # fmt: skip
"""What a customer does with a line."""
OUTPUTS = (*Band, *LeadStatus)
COLUMNS = len(ACTS) + 2 * len(OUTPUTS)
"""A row has weights for the acts, for the outputs, and for the outputs when the line is the newest of its side."""
RECENCY = 0.7
"""A line weighs this much of the next line of its side."""
NEWEST = {SpeakerRole.CUSTOMER: 8, SpeakerRole.BUSINESS: 4}
"""How many lines of a side are read for the outputs."""
BUSINESS_SHARE = 0.5
MAX_WORDS = 60
MIN_AFFIXED_CHARS = 5
MAX_LENGTH = 6
LINES_AT_ONCE = 256
"""Keys take 2 kB a line, so those of a long conversation are not held together."""
FLOOR = 0.01


def line_keys(line: TranscriptLine, said: Words, signals: Set[str] = frozenset()) -> set[str]:
    """`said` has the line's words."""
    words = ["0" if word[0].isdigit() else word for word in said.words if word][:MAX_WORDS]
    keys = {f"{left}_{right}" for left, right in zip(["<", *words], [*words, ">"], strict=True)}
    keys.update(words)
    for word in words:
        if len(word) >= MIN_AFFIXED_CHARS:
            keys.add(f"{word[:4]}*")
            keys.add(f"*{word[-3:]}")
    keys.update(f"s:{signal}" for signal in signals)
    keys.update(f"m:{mark.strip('[]').partition(' ')[0]}" for mark in line.marks)
    keys.add(f"n:{min(MAX_LENGTH, int(2 * log1p(len(words))))}")
    if "?" in line.text:
        keys.add("?")
    return keys


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a line counts for the outputs: by recency, and as the newest of its side (0 if it is not)."""

    recent: float
    newest: float


def line_shares(lines: Sequence[TranscriptLine]) -> dict[int, Share]:
    """Return the share of each line that counts. Lines of the business are new if the customer has not answered."""
    shares: dict[int, Share] = {}
    ages = dict.fromkeys(SpeakerRole, 0)
    for index in range(len(lines) - 1, -1, -1):
        role = lines[index].role
        age, ages[role] = ages[role], ages[role] + 1
        if age < NEWEST[role]:
            is_new = age == 0 if role is SpeakerRole.CUSTOMER else ages[SpeakerRole.CUSTOMER] == 0
            weight = 1.0 if role is SpeakerRole.CUSTOMER else BUSINESS_SHARE
            shares[index] = Share(weight * RECENCY**age, weight * is_new)
    return shares


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of weights by key, COLUMNS each."""

    keys: Mapping[str, int]
    weights: Array
    _padded: Array = field(init=False, repr=False, compare=False)
    """With a row of zeros at the end, as a line may have no known key."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_padded", np.vstack([self.weights, np.zeros((1, COLUMNS), np.float32)]))

    def rows(self, lines: Sequence[Set[str]]) -> Array:
        """Return for each line the sum over its known keys."""
        if not lines:
            return np.zeros((0, COLUMNS), np.float32)
        known = self.keys
        starts: list[int] = []
        places: list[int] = []
        for keys in lines:
            starts.append(len(places))
            places.append(len(known))
            places += sorted([known[key] for key in keys if key in known])
        padded = self._padded
        sums: Array = np.add.reduceat(padded[places], starts, axis=0)
        return sums


@dataclass(frozen=True, slots=True)
class Reading:
    """`acts`: their probabilities, a row for each customer's line. `outputs`: a bounded logit for each of OUTPUTS.

    `by_line` has what each line that counts adds to the outputs.
    """

    acts: Array
    outputs: Array
    by_line: Mapping[int, Array]


@dataclass(frozen=True, slots=True)
class Wording:
    """`act_bias` and `bias`: the logits of a line and of a conversation without a known key."""

    tables: Mapping[SpeakerRole, Table]
    act_bias: Array
    bias: Array

    def read(
        self, lines: Sequence[TranscriptLine], words: Sequence[Words], signals: Sequence[Set[str] | None]
    ) -> Reading:
        """`signals` has those of each customer's line, and nothing for the others."""
        rows = np.zeros((len(lines), COLUMNS), np.float32)
        sizes: list[int] = []
        for start in range(0, len(lines), LINES_AT_ONCE):
            part = slice(start, start + LINES_AT_ONCE)
            each = zip(lines[part], words[part], signals[part], strict=True)
            keys = [line_keys(line, said, found or frozenset()) for line, said, found in each]
            sizes += map(len, keys)
            rows[part] = self._rows(lines[part], keys)
        return Reading(self._acts(lines, rows), *self._outputs(lines, sizes, rows))

    def _rows(self, lines: Sequence[TranscriptLine], keys: Sequence[Set[str]]) -> Array:
        rows = np.zeros((len(lines), COLUMNS), np.float32)
        for role, table in self.tables.items():
            places = [index for index, line in enumerate(lines) if line.role is role]
            rows[places] = table.rows([keys[index] for index in places])
        return rows

    def _acts(self, lines: Sequence[TranscriptLine], rows: Array) -> Array:
        """Return the probabilities of each customer's line, which replies to the business's last one before it."""
        customer, asked, last = [], [], len(lines)
        for index, line in enumerate(lines):
            if line.role is SpeakerRole.CUSTOMER:
                customer.append(index)
                asked.append(last)
            else:
                last = index
        acts = np.vstack([rows[:, : len(ACTS)], np.zeros((1, len(ACTS)), np.float32)])
        logits = self.act_bias + acts[customer] + BUSINESS_SHARE * acts[asked]
        return _softmax(logits.astype(np.float32))

    def _outputs(
        self, lines: Sequence[TranscriptLine], sizes: Sequence[int], rows: Array
    ) -> tuple[Array, Mapping[int, Array]]:
        shares = line_shares(lines)
        square = sum(sizes[index] * (share.recent**2 + share.newest**2) for index, share in shares.items())
        recent, newest = slice(len(ACTS), len(ACTS) + len(OUTPUTS)), slice(len(ACTS) + len(OUTPUTS), COLUMNS)
        norm = sqrt(square)
        added: dict[int, Array] = {
            index: rows[index][recent] * (share.recent / norm) + rows[index][newest] * (share.newest / norm)
            for index, share in shares.items()
        }
        total = self.bias + np.sum(list(added.values()), axis=0)
        return _bounded(total), added

    def to_data(self) -> dict[str, Any]:
        """Return it for a JSON file. Weights have 8 bits each, with one scale a column."""
        tables = {role.value: _table_data(table) for role, table in self.tables.items()}
        return {"act_bias": _rounded(self.act_bias), "bias": _rounded(self.bias), "tables": tables}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Wording:
        tables = {SpeakerRole(role): _table(table) for role, table in data["tables"].items()}
        return cls(tables, np.array(data["act_bias"], np.float32), np.array(data["bias"], np.float32))


def _table_data(table: Table) -> dict[str, Any]:
    scale = np.maximum(np.abs(table.weights).max(axis=0, initial=0.0), 1e-6) / 127
    quantised = np.rint(table.weights / scale).astype(np.int8)
    ordered = sorted(table.keys, key=table.keys.__getitem__)
    return {"keys": " ".join(ordered), "scale": _rounded(scale), "weights": b85encode(quantised.tobytes()).decode()}


def _table(data: Mapping[str, Any]) -> Table:
    keys = {key: row for row, key in enumerate(data["keys"].split(" "))}
    quantised = np.frombuffer(b85decode(data["weights"]), np.int8).reshape(len(keys), COLUMNS)
    return Table(keys, quantised.astype(np.float32) * np.array(data["scale"], np.float32))


def _bounded(logits: Array) -> Array:
    """Return the logits of the same probabilities, moved away from 0 and 1 by FLOOR."""
    shares = 1 / (1 + np.exp(-logits))
    bounded: Array = np.log((shares + FLOOR) / (1 - shares + FLOOR))
    return bounded


def _rounded(numbers: Array) -> list[float]:
    return [float(f"{number:.4g}") for number in numbers]


def _softmax(logits: Array) -> Array:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Array = odds / odds.sum(axis=1, keepdims=True)
    return shares
