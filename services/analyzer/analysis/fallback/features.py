"""Turn a conversation into the numbers that the fallback's model weighs, each with the lines that made it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import log1p

from services.analyzer.analysis.analyst import SpeakerRole, TranscriptLine
from services.analyzer.analysis.fallback.lexicon import Lexicon
from services.analyzer.analysis.fallback.signals import ConversationSignals, find_signals

LAST_LINES = 3
INJECTION = "injection"


@dataclass(frozen=True, slots=True)
class Features:
    """`values` are sparse: an absent feature is 0. `lines` has the indexes of the lines that made a feature.

    A name is `group:subject`, as in `last:refuse`. `seen` has the signals by line.
    """

    values: Mapping[str, float]
    lines: Mapping[str, Sequence[int]]
    seen: ConversationSignals


def conversation_features(lines: tuple[TranscriptLine, ...], now: datetime, lexicon: Lexicon) -> Features:
    """A line that gives orders to the analyst counts as nothing else, not even as a line."""
    seen = find_signals(lines, lexicon)
    injections = [index for index, signals in seen.by_line.items() if INJECTION in signals]
    customer = [index for index in seen.by_line if index not in injections]
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
    if injections:
        made_by[f"said:{INJECTION}"], values[f"said:{INJECTION}"] = injections, 1.0
    return Features(values | _shape(lines, customer, now), made_by | newest, seen)


def _shape(lines: tuple[TranscriptLine, ...], customer: list[int], now: datetime) -> dict[str, float]:
    """Return the features that need no word: roles, lengths, marks and times."""
    business = sum(line.role is SpeakerRole.BUSINESS for line in lines)
    waiting = len(lines) - 1 - customer[-1] if customer else len(lines)
    hours = (now - lines[-1].at).total_seconds() / 3600
    values = {
        "shape:customer lines": log1p(len(customer)),
        "shape:business lines": log1p(business),
        "shape:share": len(customer) / (len(customer) + business or 1),
        "shape:waiting": log1p(waiting),
        "shape:answered": float(waiting == 0),
        "shape:silence": log1p(max(0.0, hours)),
        "shape:silence while waiting": log1p(max(0.0, hours)) * (waiting > 0),
        "shape:days": log1p((lines[-1].at - lines[0].at).total_seconds() / 86400),
    }
    if customer:
        texts = [lines[index].text for index in customer]
        values["shape:mean length"] = log1p(sum(map(len, texts)) / len(texts))
        values["shape:last length"] = log1p(len(texts[-1]))
        values["shape:questions"] = sum("?" in text for text in texts) / len(texts)
    for index in customer:
        for mark in lines[index].marks:
            name = f"mark:{mark.strip('[]').split(' ')[0].rstrip(':')}"
            values[name] = values.get(name, 0.0) + 1.0
    return values
