"""Turn a conversation into the numbers that the fallback's model weighs, each with the lines that made it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import log1p

import numpy as np

from services.analyzer.analysis.analyst import TranscriptLine
from services.analyzer.analysis.fallback.act_features import act_features
from services.analyzer.analysis.fallback.lexicon import Lexicon
from services.analyzer.analysis.fallback.shape_features import shape_features
from services.analyzer.analysis.fallback.signals import ConversationSignals, find_signals
from services.analyzer.analysis.fallback.wording import ACTS, OUTPUTS, Reading, Wording

LAST_LINES = 3
INJECTION = "injection"
WORDING = "the wording"
"""The subject of the features that are outputs of the wording."""
OUTPUT_NAMES = tuple(f"{output.value}:{WORDING}" for output in OUTPUTS)
MAX_LINES = 3
"""How many lines a learned feature names, those that made most of it."""


@dataclass(frozen=True, slots=True)
class Features:
    """`values` are sparse: an absent feature is 0. `lines` has the indexes of the lines that made a feature.

    A name is `group:subject`, as in `last:refuse`. `seen` has the signals by line.
    """

    values: Mapping[str, float]
    lines: Mapping[str, Sequence[int]]
    seen: ConversationSignals


def conversation_features(
    lines: tuple[TranscriptLine, ...], now: datetime, lexicon: Lexicon, wording: Wording
) -> Features:
    """A line that gives orders to the analyst counts as nothing else, not even as a line."""
    seen = find_signals(lines, lexicon)
    injections = frozenset(index for index, signals in seen.by_line.items() if INJECTION in signals)
    heard = [index for index in range(len(lines)) if index not in injections]
    customer = [index for index in seen.by_line if index not in injections]
    values, made_by = _signal_features(seen, customer)
    if injections:
        made_by[f"said:{INJECTION}"], values[f"said:{INJECTION}"] = sorted(injections), 1.0
    if customer:
        learned = wording.read(
            [lines[index] for index in heard],
            [seen.words[index] for index in heard],
            [seen.by_line.get(index) for index in heard],
        )
        made_by |= _learned_lines(learned, heard, customer)
        values |= dict(zip(OUTPUT_NAMES, learned.outputs.tolist(), strict=True))
        unanswered = len(lines) - 1 - customer[-1]
        silence_hours = max(0.0, (now - lines[-1].at).total_seconds() / 3600)
        values |= act_features(learned.acts, unanswered, silence_hours)
    return Features(values | shape_features(lines, customer, now), made_by, seen)


def _signal_features(
    seen: ConversationSignals, customer: Sequence[int]
) -> tuple[dict[str, float], dict[str, Sequence[int]]]:
    """Return the features of the lexicon's signals, and the lines that made them."""
    values: dict[str, float] = {}
    made_by: dict[str, list[int]] = {}
    for age, index in enumerate(reversed(customer)):
        for signal in seen.by_line[index]:
            made_by.setdefault(f"said:{signal}", []).append(index)
            values.setdefault(f"fresh:{signal}", 1 / (1 + age))
            if age == 0:
                values[f"last:{signal}"] = 1.0
            if age < LAST_LINES:
                values[f"late:{signal}"] = 1.0
    for name, indexes in made_by.items():
        values[name] = log1p(len(indexes))
    newest = {
        f"{group}:{name.removeprefix('said:')}": indexes[:1]
        for name, indexes in made_by.items()
        for group in ("fresh", "last", "late")
    }
    for age, index in enumerate(reversed(list(seen.business_by_line))):
        for signal in seen.business_by_line[index]:
            values[f"business:{signal}"] = values.get(f"business:{signal}", 0.0) + 1.0
            values.setdefault(f"business fresh:{signal}", 1 / (1 + age))
            if age == 0:
                values[f"business last:{signal}"] = 1.0
    return values, {**made_by, **newest}


def _learned_lines(learned: Reading, heard: Sequence[int], customer: Sequence[int]) -> dict[str, Sequence[int]]:
    """Return the customer's lines that speak most for each output, and the line that is most likely each act."""
    places = [place for place in learned.by_line if heard[place] in customer]
    added = np.stack([learned.by_line[place] for place in places])
    best = np.argsort(-added, axis=0, kind="stable")[:MAX_LINES]
    lines: dict[str, Sequence[int]] = {
        name: [heard[places[row]] for row in column if added[row, number] > 0]
        for number, (name, column) in enumerate(zip(OUTPUT_NAMES, best.T.tolist(), strict=True))
    }
    likely = {act: [customer[place]] for act, place in zip(ACTS, learned.acts.argmax(axis=0).tolist(), strict=True)}
    for act, line in likely.items():
        lines |= {f"{group}:{act}": line for group in ("recent", "highest", "often")}
        lines |= {f"{group}:{act}": customer[-1:] for group in ("newest", "unanswered", "silent")}
    return lines
