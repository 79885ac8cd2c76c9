"""A rejected form, shown again with what was typed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class FormError:
    """What was typed, without tokens, and the error and its field `at`.

    `key` names the object that the form edits; None means that no form was rejected.
    """

    message: str = ""
    at: str = ""
    key: str | None = None
    sent: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_exception(cls, error: Exception, key: str, form: Mapping[str, str]) -> Self:
        """An error names its field by an attribute `at`."""
        sent = {name: text for name, text in form.items() if name != "token"}
        return cls(str(error), getattr(error, "at", ""), key, sent)

    def is_of(self, key: str) -> bool:
        return self.key == key

    def typed(self, key: str, name: str, stored: str = "") -> str:
        """Return what the field `name` of the form of `key` shows."""
        return self.sent.get(name, stored) if self.is_of(key) else stored
