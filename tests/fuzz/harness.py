"""What the targets share: atheris, told to change bodies as JSON and not only as bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from random import Random

import atheris

from tests.fuzz.mutations import Mutator
from tests.fuzz.seeds import changeable, seed_values


def instrumented() -> AbstractContextManager[None]:
    """Within this, what is imported of the receiver counts which of its branches are taken."""
    counting: AbstractContextManager[None] = atheris.instrument_imports(include=["services.receiver", "shared"])
    return counting


def fuzz(check: Callable[[bytes], object], change: Callable[[bytes, int, int], bytes] | None = None) -> None:
    """Runs until libFuzzer's own arguments (`sys.argv`) end it, or `check` raises."""
    more = {} if change is None else {"custom_mutator": change}
    atheris.Setup(sys.argv, lambda data: ignore(check(data)), **more)
    atheris.Fuzz()


def ignore(_result: object) -> None:
    """libFuzzer takes nothing but None from a target."""


class StructuralMutator:
    """Half of the time changes the JSON of an input, or takes a new body; else leaves it to libFuzzer's own ways."""

    def __init__(self) -> None:
        self._values = seed_values()
        self._mutator = Mutator(self._values)

    def __call__(self, data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        way = random.random()
        if way < 0.5:
            return bytes(atheris.Mutate(data, max_size))
        value = next(changeable(data), None) if way < 0.95 else None
        changed = self._mutator.body(random) if value is None else self._mutator.changed(value, random)
        return changed[:max_size]
