"""How a collection's index is declared, next to the model it serves. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Index:
    """`keys` are (field, 1 or -1). `where` makes it partial. Made by `leadstream setup`."""

    collection: str
    keys: tuple[tuple[str, int], ...]
    unique: bool = False
    where: dict[str, Any] | None = field(default=None)

    @property
    def name(self) -> str:
        return "_".join(f"{key}_{order}" for key, order in self.keys)
