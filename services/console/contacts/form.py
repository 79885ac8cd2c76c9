"""Turns the edit form of a contact into a `ContactEdit`. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from shared.contract.contacts import LeadStatus
from shared.domain.contact_edits import MAX_NAME_CHARS, AutomaticField, ContactEdit, InvalidEditError
from shared.domain.corrections import NOT_A_LEAD

MAX_BULK_CONTACTS = 1000
"""Contacts that one request may change; each change publishes a version."""
MAX_TAGS_CHARS, MAX_NOTES_CHARS = 1000, 10_000
"""The longest text that the form accepts."""
GIVEN_BACK = {"name": AutomaticField.NAME, "stage": AutomaticField.STAGE, "status": AutomaticField.STATUS}


def edit_of(form: Mapping[str, str]) -> ContactEdit:
    """Return what the person changed. InvalidEditError when a text is too long or the status does not exist.

    `was_…` is what the page showed. Only fields that differ from it are changed, so that a concurrent edit of another
    field is neither undone nor overwritten.
    """
    if back := GIVEN_BACK.get(form.get("give_back", "")):
        return ContactEdit(given_back=frozenset({back}))
    if "not_a_lead" in form:
        return ContactEdit(tags_added=(NOT_A_LEAD,))
    changed = changes_of(form)
    for name, text in changed.items():
        if len(text) > _LIMITS[name]:
            raise InvalidEditError(f"the {name} may have {_LIMITS[name]:,} characters, not {len(text):,}", name)
    status = changed.get("status")
    tags_before, tags_now = split_tags(form.get("was_tags", "")), split_tags(changed.get("tags", ""))
    has_tags = "tags" in changed
    return ContactEdit(
        name=changed.get("name"),
        stage=changed.get("stage") or None,
        status=_status(status) if status else None,
        notes=changed.get("notes"),
        tags_added=tuple(tag for tag in tags_now if tag not in tags_before) if has_tags else (),
        tags_removed=tuple(tag for tag in tags_before if tag not in tags_now) if has_tags else (),
        given_back=frozenset({AutomaticField.STATUS}) if status == "" else frozenset(),
        was={name: form[f"was_{name}"] for name in changed if name != "tags" and f"was_{name}" in form},
    )


def changes_of(form: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that the person changed, by name."""
    return {name: text for name in _LIMITS if (text := _changed(form, name)) is not None}


def split_tags(text: str) -> tuple[str, ...]:
    """Split tags separated by commas."""
    tags = (" ".join(tag.split()) for tag in text.split(","))
    return tuple(dict.fromkeys(tag for tag in tags if tag))


_LIMITS = {
    "name": MAX_NAME_CHARS, "stage": MAX_NAME_CHARS, "status": MAX_NAME_CHARS,
    "tags": MAX_TAGS_CHARS, "notes": MAX_NOTES_CHARS,
}  # fmt: skip


def _changed(form: Mapping[str, str], name: str) -> str | None:
    if name not in form:
        return None
    text = form[name].replace("\r\n", "\n").strip()
    return text if text != form.get(f"was_{name}", "").replace("\r\n", "\n").strip() else None


def _status(text: str) -> LeadStatus:
    try:
        return LeadStatus(text)
    except ValueError:
        raise InvalidEditError(f"there is no status {text!r}", "status") from None
