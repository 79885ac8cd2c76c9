"""The `messages` collection."""

from __future__ import annotations

from shared.store.indexes import Index

INDEXES = (Index("messages", (("conversation", 1), ("sent_at", 1), ("_id", 1))),)
