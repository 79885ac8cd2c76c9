"""Writes dialogues: chains episodes of the dialogue files so that a conversation has an arc. Pure.

An episode is used only for a product that has every detail the episode mentions.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Any

LANGUAGES = ("en", "taglish")
MIDDLES = ("question", "negotiation")

Episode = tuple[str, ...]
Slots = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Beat:
    """An episode with its slots filled in, and its phase of the conversation."""

    phase: str
    lines: Episode


ARCS = {
    "opening question*4-7 negotiation*1-2 followup*0-1 won after*0-2": 22,
    "opening question*4-6 negotiation*1-3 followup*0-1 agreed": 14,
    "opening question*3-6 negotiation*1-2 followup*0-1 warm": 20,
    "opening question*3-6 negotiation*1-2 lost": 14,
    "opening question*3-7 negotiation*0-1 ghost": 14,
    "brief": 16,
}
"""The phases of a conversation with their least and most episodes, and the weight of each arc."""


@cache
def dialogue(language: str) -> dict[str, tuple[Episode, ...]]:
    """Return a language's episodes by phase."""
    pools = _read(f"{language}.toml")
    return {
        phase: tuple(tuple(part.splitlines()) for part in text.strip().split("\n\n")) for phase, text in pools.items()
    }


@cache
def catalogue() -> tuple[dict[str, Any], ...]:
    return tuple(_read("catalogue.toml")["product"])


@dataclass(frozen=True, slots=True)
class DialogueWriter:
    """Writes the dialogue about one product with one customer."""

    rng: random.Random
    language: str
    slots: Slots

    def write_arc(self, max_lines: int) -> list[Beat]:
        """Return a random arc. Episodes of its middle are left out when it would exceed `max_lines`."""
        (arc,) = self.rng.choices(list(ARCS), list(ARCS.values()))
        beats: list[Beat] = []
        for part in arc.split():
            phase, _, bounds = part.partition("*")
            minimum, _, maximum = bounds.partition("-")
            beats += self._some(phase, self.rng.randint(int(minimum or 1), int(maximum or 1)))
        while lines_of(beats) > max_lines:
            beats.remove(next(beat for beat in reversed(beats) if beat.phase in MIDDLES))
        return beats

    def write_exactly(self, lines: int, opening: str = "opening") -> list[Beat]:
        """Return a story of exactly `lines` lines that ends in an order or an agreement."""
        (first,), (last,) = self._some(opening, 1), self._some(self.rng.choice(("won", "agreed")), 1)
        if lines < len(first.lines) + len(last.lines):
            return [Beat(opening, self._padded(first.lines, lines)[:lines])]
        middles: list[Beat] = []
        for beat in self._some(MIDDLES[0], 99) + self._some(MIDDLES[1], 99):
            if lines_of([first, *middles, beat, last]) <= lines:
                middles.append(beat)
        missing = lines - lines_of([first, *middles, last])
        filler = [Beat("filler", self._padded((), missing))] if missing else []
        return [first, *middles, *filler, last]

    def _some(self, phase: str, number: int) -> list[Beat]:
        playable = [episode for episode in dialogue(self.language)[phase] if _slots_in(episode) <= self.slots.keys()]
        return [self._filled(phase, episode) for episode in self.rng.sample(playable, min(number, len(playable)))]

    def _padded(self, lines: Episode, length: int) -> Episode:
        fillers = [episode[0] for episode in dialogue(self.language)["filler"]]
        more = self.rng.choices(fillers, k=max(0, length - len(lines)))
        return (*lines, *self._filled("filler", tuple(more)).lines)

    def _filled(self, phase: str, episode: Episode) -> Beat:
        return Beat(phase, tuple(line.format_map(self.slots) for line in episode))


def lines_of(beats: Sequence[Beat]) -> int:
    return sum(len(beat.lines) for beat in beats)


@cache
def _slots_in(episode: Episode) -> frozenset[str]:
    return frozenset(name for line in episode for _, name, _, _ in Formatter().parse(line) if name)


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(files("services.simulator").joinpath("texts", name).read_text(encoding="utf-8"))
