"""The seeds of fuzzing: bodies seen in the wild or in documentation, and inputs that fuzzing found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.json_oracle import depth_of

PAYLOADS = Path(__file__).parent.parent / "unit" / "payloads"
FUZZED = PAYLOADS / "fuzzed"
"""Inputs that fuzzing found. `test_replay.py` runs every file."""
DEEP = 64
NOT_BODIES = {"expected.json", "SOURCES.md"}


def seed_bodies() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in _files() if path.name not in NOT_BODIES}


def seed_values() -> list[Any]:
    """Return the bodies as JSON, without those that cannot be mutated: invalid or too deep ones."""
    return [value for body in seed_bodies().values() for value in changeable(body)]


def changeable(body: bytes) -> Iterator[Any]:
    """Yield the JSON of `body` when it is an object that is not too deep to be mutated."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict) and depth_of(value) < DEEP:
        yield value


def keys_of(values: list[Any]) -> list[str]:
    """Return every key anywhere in `values`, sorted."""
    return sorted({key for value in values for key in _keys(value)})


def dictionary(keys: list[str]) -> str:
    """Return `keys` as a libFuzzer dictionary (llvm.org/docs/LibFuzzer.html#dictionaries)."""
    return "".join(f'"\\"{key}\\":"\n' for key in keys if key.isascii() and key.isprintable() and '"' not in key)


def _files() -> list[Path]:
    return [*sorted((PAYLOADS / "webhook").iterdir()), *sorted(FUZZED.glob("*"))]


def _keys(value: Any) -> Iterator[str]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict):
        yield from value
    for each in inner:
        yield from _keys(each)
