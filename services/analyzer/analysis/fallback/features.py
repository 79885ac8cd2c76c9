"""Turn a conversation into the numbers that the fallback's model weighs, each with the lines that made it. Pure.

The lexicon's signals are keys of the wording; beside it the model weighs acts, the business's last line and the shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from services.analyzer.analysis.analyst import TranscriptLine
from services.analyzer.analysis.fallback.act_features import GROUPS, OPEN_NAMES, STANDING, act_features
from services.analyzer.analysis.fallback.lexicon import Lexicon
from services.analyzer.analysis.fallback.shape_features import shape_features
from services.analyzer.analysis.fallback.signals import ConversationSignals, find_signals
from services.analyzer.analysis.fallback.wording import ACTS, OUTPUTS, Reading, Wording

INJECTION = "injection"
WORDING = "the wording"
"""The subject of the features that are outputs of the wording."""
OUTPUT_NAMES = tuple(f"{output.value}:{WORDING}" for output in OUTPUTS)
MAX_LINES = 3
"""How many lines a learned feature names, those that made most of it."""


@dataclass(frozen=True, slots=True)
class Features:
    """`values` are sparse: an absent feature is 0. `lines` has the indexes of the lines that made a feature.

    A name is `group:subject`, as in `newest:refuse`. `seen` has the signals by line. `acts` maps the index of each of
    the customer's lines to what it most likely does.
    """

    values: Mapping[str, float]
    lines: Mapping[str, Sequence[int]]
    seen: ConversationSignals
    acts: Mapping[int, str] = field(default_factory=dict)


def conversation_features(
    lines: tuple[TranscriptLine, ...], now: datetime, lexicon: Lexicon, wording: Wording
) -> Features:
    """A line that gives orders to the analyst counts as nothing else, not even as a line."""
    seen = find_signals(lines, lexicon)
    injections = {index for index, signals in seen.by_line.items() if INJECTION in signals}
    heard = [index for index in range(len(lines)) if index not in injections]
    customer = [place for place, index in enumerate(heard) if index in seen.by_line]
    if not customer:
        return Features(shape_features(lines, [], now) | _business_features(seen), {}, seen)
    heard_lines = [lines[index] for index in heard]
    learned = wording.read(
        heard_lines, [seen.words[index] for index in heard], [seen.by_line.get(index) for index in heard]
    )
    values = shape_features(heard_lines, customer, now) | _business_features(seen)
    values |= dict(zip(OUTPUT_NAMES, learned.outputs.tolist(), strict=True))
    unanswered = len(heard) - 1 - customer[-1]
    silence_hours = max(0.0, (now - heard_lines[-1].at).total_seconds() / 3600)
    values |= act_features(learned.acts, unanswered, silence_hours)
    likely = learned.acts.argmax(axis=1).tolist()
    acts = {heard[place]: ACTS[number] for place, number in zip(customer, likely, strict=True)}
    return Features(values, _learned_lines(learned, heard, customer), seen, acts)


def _business_features(seen: ConversationSignals) -> dict[str, float]:
    """Return what the business's last line signals."""
    if not seen.business_by_line:
        return {}
    return {f"business last:{signal}": 1.0 for signal in seen.business_by_line[max(seen.business_by_line)]}


def _learned_lines(learned: Reading, heard: Sequence[int], customer: Sequence[int]) -> dict[str, Sequence[int]]:
    """Return the customer's lines that speak most for each output, and the line that is most likely each act.

    `customer` has places in `heard`, which has indexes of lines.
    """
    places = [place for place in learned.by_line if place in customer]
    added = np.stack([learned.by_line[place] for place in places])
    best = np.argsort(-added, axis=0, kind="stable")[:MAX_LINES]
    lines: dict[str, Sequence[int]] = {
        name: [heard[places[row]] for row in column if added[row, number] > 0]
        for number, (name, column) in enumerate(zip(OUTPUT_NAMES, best.T.tolist(), strict=True))
    }
    said_at = [heard[place] for place in customer]
    likely = dict(zip(ACTS, learned.acts.argmax(axis=0).tolist(), strict=True))
    for act, number in likely.items():
        for group in GROUPS:
            lines[f"{group}:{act}"] = said_at[-1:] if group in ("newest", "silent") else [said_at[number]]
    for name, says, _ in STANDING:
        lines[f"standing:{name}"] = sorted({said_at[likely[act]] for act in says})
    return lines | {name: lines[of] for name, of in OPEN_NAMES.items()}
