"""Read a customer's profile from the Graph API's answer. Pure.

`services/analyzer/contact/names.py` decides the name of a contact from messages and participants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.contract.contacts import Change, Contact, Name, NameSource, changed_fields
from shared.contract.ids import Platform

FIELDS = {
    Platform.MESSENGER: "first_name,last_name,profile_pic,locale,timezone",
    Platform.INSTAGRAM: "name,username,profile_pic",
}
"""Sources: https://developers.facebook.com/docs/messenger-platform/identity/user-profile and
https://developers.facebook.com/docs/instagram-platform/instagram-api-with-facebook-login/user-profile."""
NAMELESS = (NameSource.PLACEHOLDER, NameSource.USERNAME)
"""A name of these sources is replaced by a profile's."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A field is None where the profile has none: customers choose what they show."""

    name: Name | None = None
    picture: str | None = None
    locale: str | None = None
    timezone: float | None = None


def read_profile(body: Mapping[str, Any]) -> Profile:
    """Return the profile; a field that is not as the platform documents it is None."""
    timezone = body.get("timezone")
    is_number = isinstance(timezone, int | float) and not isinstance(timezone, bool)
    return Profile(_name(body), _text(body, "profile_pic"), _text(body, "locale"), timezone if is_number else None)


def with_profile(contact: Contact, profile: Profile, now: datetime) -> Change | None:
    """Return the contact's next version, None if the profile changes nothing.

    It replaces neither a name that a person set nor one of a better source.
    """
    found: dict[str, Any] = {
        "profile_pic": profile.picture or contact.profile_pic,
        "locale": profile.locale or contact.locale,
        "timezone": contact.timezone if profile.timezone is None else profile.timezone,
    }
    if profile.name and contact.name.source in NAMELESS and "name" not in contact.edited:
        username = profile.name.username or contact.name.username
        found["name"] = profile.name.model_copy(update={"username": username})
    new = contact.model_copy(update={**found, "version": contact.version + 1, "updated_at": now})
    changed = changed_fields(contact, new)
    return Change(new, changed, None) if changed else None


def _name(body: Mapping[str, Any]) -> Name | None:
    username = _text(body, "username")
    parts = [part for part in (_text(body, "first_name"), _text(body, "last_name")) if part]
    if len(parts) == 2:
        return Name(first=parts[0], last=parts[1], username=username, source=NameSource.PROFILE)
    full = parts[0] if parts else _text(body, "name")
    if full:
        return Name.split(full, NameSource.PROFILE, username)
    return Name(first=username, username=username, source=NameSource.USERNAME) if username else None


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value.strip() or None if isinstance(value, str) else None
