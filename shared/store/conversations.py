"""The `conversations` collection."""

from __future__ import annotations

from shared.store.indexes import EPOCH, Index

INDEXES = (Index("conversations", (("due_at", 1), ("_id", 1)), where={"due_at": {"$gte": EPOCH}}),)
