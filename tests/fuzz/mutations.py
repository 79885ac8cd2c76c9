"""Mutates real bodies, so that they pass the envelope and reach deep into the parser.

Every choice is made by the given `random.Random`: the same seed gives the same body everywhere.
"""

from __future__ import annotations

import json
import marshal
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tests.fuzz.odd_values import VALUES
from tests.fuzz.seeds import keys_of

Slot = tuple[Any, Any]
"""A dict or a list, and a key or an index in it."""

INWARD = ("entry", "messaging", "standby", "changes", "value")
"""The keys on the path from a body to an item."""
DEPTHS = (1, 2, 8, 120, 240, 254, 300)
"""The levels around a nested value; the receiver accepts at most 254."""


class Mutator:
    def __init__(self, seeds: Sequence[Any]) -> None:
        self._seeds = seeds
        self._keys = keys_of(list(seeds))
        self._usual = Usual(seeds)
        often, seldom = [_drop, self._replace, self._graft, _repeat, self._add], [self._rename, _retype, _shuffle]
        self._changes: list[Callable[[Slot, Random], None]] = [*often, *often, *seldom]

    def body(self, random: Random, changes: int = 4) -> bytes:
        """Return a seed with up to `changes` changes as bytes, sometimes with broken bytes as well."""
        return self.changed(random.choice(self._seeds), random, changes)

    def changed(self, value: Any, random: Random, changes: int = 4) -> bytes:
        body = write(self.change(value, random, changes), random)
        return break_bytes(body, random) if random.random() < 0.03 else body

    def change(self, value: Any, random: Random, changes: int = 4) -> Any:
        """Return a changed copy of `value`."""
        root = [copied(value)]
        for _ in range(random.randint(0, changes)):
            random.choice(self._changes)(slot_in(root, random), random)
            root = root or [None]
        if random.random() < 0.04:
            _bury(slot_in(root, random), random)
        return root[0]

    def _replace(self, slot: Slot, random: Random) -> None:
        holder, key = slot
        holder[key] = copied(random.choice(VALUES))

    def _graft(self, slot: Slot, random: Random) -> None:
        """Replace the value by one from another body."""
        holder, key = slot
        donor, place = slot_in([random.choice(self._seeds)], random)
        holder[key] = copied(donor[place])

    def _add(self, slot: Slot, random: Random) -> None:
        holder, key = slot
        if isinstance(holder, dict):
            if random.random() < 0.7:
                self._usual.add(holder, random)
            else:
                self._graft((holder, random.choice(self._keys)), random)
        else:
            holder.insert(key, copied(random.choice(VALUES)))

    def _rename(self, slot: Slot, random: Random) -> None:
        holder, key = slot
        if isinstance(holder, dict):
            holder[random.choice(self._keys)] = holder.pop(key)


class Usual:
    """The keys that occur beside one another in the seeds, and their values.

    With them, additions are understood by the parser, and parts of several real bodies occur in one.
    """

    def __init__(self, seeds: Sequence[Any]) -> None:
        self._values: dict[str, list[Any]] = {}
        self._beside: dict[str, list[str]] = {}
        for seed in seeds:
            self._learn(seed)

    def add(self, holder: dict[str, Any], random: Random) -> None:
        known = [key for key in holder if key in self._beside]
        if known:
            key = random.choice(self._beside[random.choice(known)])
            holder[key] = copied(random.choice(self._values[key]))

    def _learn(self, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                self._values.setdefault(key, []).append(inner)
                beside = self._beside.setdefault(key, [])
                beside += [other for other in value if other not in beside]
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            self._learn(inner)


def copied(value: Any) -> Any:
    """Copy JSON like `copy.deepcopy`, a hundred times faster and at any depth."""
    return marshal.loads(marshal.dumps(value))


def slot_in(root: list[Any], random: Random) -> Slot:
    """Return a slot anywhere in `root`, which is not empty: walk down, and maybe stop at every step.

    Most walks begin at an item: otherwise most changes would be in the few keys of the envelope, and the whole body
    would become one dead letter.
    """
    holder: Any = root
    key: Any = 0
    inside = random.random() < 0.8
    while isinstance(holder[key], dict | list) and holder[key]:
        holder = holder[key]
        step = next((name for name in INWARD if name in holder), None) if inside and isinstance(holder, dict) else None
        inside = inside and (step is not None or isinstance(holder, list))
        if step is not None:
            key = step
            continue
        key = random.choice(list(holder)) if isinstance(holder, dict) else random.randrange(len(holder))
        if not inside and random.random() < 0.15:
            break
    return holder, key


def write(value: Any, random: Random) -> bytes:
    """Serialise like Facebook, with escapes; sometimes without, where half a surrogate pair is invalid UTF-8."""
    if random.random() < 0.8:
        return json.dumps(value).encode()
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def break_bytes(body: bytes, random: Random) -> bytes:
    place, other = sorted((random.randrange(len(body) + 1), random.randrange(len(body) + 1)))
    return random.choice(
        [
            body[:place],
            body[:place] + body[other:],
            body[:other] + body[place:],
            body[:place] + bytes([random.randrange(256)]) + body[place + 1 :],
            body[:place] + b"\xff\x00" + body[place:],
            body.decode("utf-8", "replace").encode("utf-16"),
            b"\xef\xbb\xbf" + body,
        ]
    )


def _drop(slot: Slot, random: Random) -> None:
    holder, key = slot
    del holder[key]


def _repeat(slot: Slot, random: Random) -> None:
    holder, key = slot
    if isinstance(holder, list):
        holder[key:key] = [copied(holder[key]) for _ in range(random.choice((1, 1, 2, 5)))]


def _shuffle(slot: Slot, random: Random) -> None:
    holder, _ = slot
    if isinstance(holder, list):
        random.shuffle(holder)
        return
    pairs = list(holder.items())
    random.shuffle(pairs)
    holder.clear()
    holder.update(pairs)


def _bury(slot: Slot, random: Random) -> None:
    holder, key = slot
    for _ in range(random.choice(DEPTHS)):
        holder[key] = [holder[key]] if random.random() < 0.5 else {"payload": holder[key]}


def _retype(slot: Slot, random: Random) -> None:
    """Change a value's type: an id to a number, a time to another unit, a value to a list of it."""
    holder, key = slot
    value = holder[key]
    if isinstance(value, bool | None | dict | list):
        holder[key] = random.choice([[value], {"id": value}, str(value)])
    elif isinstance(value, str):
        holder[key] = int(value) if value.isascii() and value.isdecimal() else [value]
    else:
        holder[key] = random.choice([str(value), value / 1000 if abs(value) < 10**300 else 0, [value]])
