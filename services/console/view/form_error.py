"""A form that was refused, to be shown again as it was typed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class FormError:
    """What was typed, but never a token, and what is wrong `at` which field. `key` says of what the form was, None that
    there was none."""

    message: str = ""
    at: str = ""
    key: str | None = None
    sent: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_exception(cls, error: Exception, key: str, form: Mapping[str, str]) -> Self:
        """An error may say at which field it is by its `at`."""
        sent = {name: text for name, text in form.items() if name != "token"}
        return cls(str(error), getattr(error, "at", ""), key, sent)

    def is_of(self, key: str) -> bool:
        return self.key == key

    def typed(self, key: str, name: str, stored: str = "") -> str:
        """What is to stand in a field of the form of `key`."""
        return self.sent.get(name, stored) if self.is_of(key) else stored
