"""How an index is declared: as `INDEXES` in the store module of its collection; docs/data-model.md lists all. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Earlier than every due time. A partial index serves a range that starts here, on SecantusDB as well."""


@dataclass(frozen=True, slots=True)
class Index:
    """`keys` are (field, 1 or -1). `where` makes it partial. `leadstream setup` creates it."""

    collection: str
    keys: tuple[tuple[str, int], ...]
    unique: bool = False
    where: dict[str, Any] | None = field(default=None)

    @property
    def name(self) -> str:
        return "_".join(f"{key}_{order}" for key, order in self.keys)
