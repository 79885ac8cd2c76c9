"""How a collection's index is declared, next to the model it serves. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Earlier than every due time. A range that starts here is served by a partial index, on SecantusDB as well."""


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
