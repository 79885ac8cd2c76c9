"""Finds e-mail addresses and phone numbers in what a customer wrote, by parsing, never by a model. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from phonenumbers import Leniency, PhoneNumberFormat, PhoneNumberMatcher, format_number

MAX_DETAILS = 100
"""How many of each kind are kept, the first ones. A contact must fit into one document and one record, whatever a
customer writes. A longer list does not say how to reach the customer."""
DEFAULT_REGION = "PH"
"""The country of a number without a country code: that of the system being replaced."""
_EMAIL = re.compile(
    r"(?<![\w.+-])[\w+-]+(?:\.[\w+-]+){0,8}@(?:[a-z0-9-]{1,63}\.){1,6}[a-z]{2,24}(?![\w-])", re.IGNORECASE
)
_DIGITS = re.compile(r"(?:\d(?:[^\w,;]|[x_]){0,4}){6}\d")
"""Seven digits with no word and no comma between them: a filter before the library, which takes a hundred times as long
and allows dashes, dots, slashes, brackets, `~` and `x` of every script there (phonenumbers' VALID_PUNCTUATION)."""


@dataclass(frozen=True, slots=True)
class Details:
    """E-mail addresses in lower case and phone numbers in E.164, each once, in the order of the messages."""

    emails: tuple[str, ...]
    phones: tuple[str, ...]


def find_details(texts: Iterable[str], region: str = DEFAULT_REGION) -> Details:
    emails: dict[str, None] = {}
    phones: dict[str, None] = {}
    for text in texts:
        if len(emails) < MAX_DETAILS:
            emails.update(dict.fromkeys(_emails(text)))
        if len(phones) < MAX_DETAILS:
            phones.update(dict.fromkeys(_phones(text, region)))
    return Details(tuple(emails)[:MAX_DETAILS], tuple(phones)[:MAX_DETAILS])


def has_phone(text: str) -> bool:
    """Return whether there seems to be a phone number. Quicker than finding it, and may be wrong."""
    return _DIGITS.search(text) is not None


def _emails(text: str) -> Iterator[str]:
    if "@" in text:
        yield from (match.group().lower() for match in _EMAIL.finditer(text))


def _phones(text: str, region: str) -> Iterator[str]:
    if _DIGITS.search(text):
        for match in PhoneNumberMatcher(text, region, leniency=Leniency.VALID):
            yield format_number(match.number, PhoneNumberFormat.E164)
