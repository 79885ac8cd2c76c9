"""Shared by the targets: atheris with mutations of bodies as JSON, not only as bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from random import Random

import atheris

from tests.fuzz.mutations import Mutator
from tests.fuzz.seeds import changeable, seed_values


def instrumented() -> AbstractContextManager[None]:
    """Within the block, imported modules of the receiver count the branches they take."""
    counting: AbstractContextManager[None] = atheris.instrument_imports(include=["services.receiver", "shared"])
    return counting


def fuzz(check: Callable[[bytes], object], change: Callable[[bytes, int, int], bytes] | None = None) -> None:
    """Run until a limit of libFuzzer's arguments (`sys.argv`) is reached, or `check` raises."""
    more = {} if change is None else {"custom_mutator": change}
    atheris.Setup(sys.argv, lambda data: ignore(check(data)), **more)
    atheris.Fuzz()


def ignore(_result: object) -> None:
    """Return None, the only value that libFuzzer accepts from a target."""


class StructuralMutator:
    """Half of the time mutates the JSON of an input or makes a new body, otherwise leaves it to libFuzzer."""

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
