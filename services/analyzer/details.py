"""E-mail addresses and phone numbers in what a customer wrote, found by parsing, never by a model. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from phonenumbers import Leniency, PhoneNumberFormat, PhoneNumberMatcher, format_number

DEFAULT_REGION = "PH"
"""Where a number without a country code is taken to be: the home of the system being replaced."""
_EMAIL = re.compile(
    r"(?<![\w.+-])[\w+-]+(?:\.[\w+-]+){0,8}@(?:[a-z0-9-]{1,63}\.){1,6}[a-z]{2,24}(?![\w-])", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Details:
    """In the order in which they came up, each once: e-mail addresses in lower case, phone numbers in E.164."""

    emails: tuple[str, ...]
    phones: tuple[str, ...]


def find_details(texts: Iterable[str], region: str = DEFAULT_REGION) -> Details:
    emails: dict[str, None] = {}
    phones: dict[str, None] = {}
    for text in texts:
        if "@" in text:
            emails.update(dict.fromkeys(match.group().lower() for match in _EMAIL.finditer(text)))
        if sum(map(str.isdigit, text)) >= 7:
            numbers = PhoneNumberMatcher(text, region, leniency=Leniency.VALID)
            phones.update(dict.fromkeys(format_number(match.number, PhoneNumberFormat.E164) for match in numbers))
    return Details(tuple(emails), tuple(phones))
