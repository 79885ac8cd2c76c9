"""A person's edit of a contact, which wins over any analysis (promise 10). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.contract.contacts import (
    Change,
    Contact,
    LeadStatus,
    Name,
    NameSource,
    StageRef,
    changed_fields,
    stage_activity,
)
from shared.domain.pipelines import Pipeline

MAX_NAME_CHARS, MAX_TAG_CHARS, MAX_TAGS, MAX_NOTES_CHARS = 200, 100, 100, 20_000
"""A version larger than a record may be (1 MB at the broker) could never be published."""


class InvalidEditError(ValueError):
    """The edit cannot be made. The message tells the person why; `at` names the field."""

    def __init__(self, message: str, at: str = "") -> None:
        super().__init__(message)
        self.at = at


class AutomaticField(StrEnum):
    """The fields of a contact that analysis sets until a person does."""

    NAME = "name"
    STAGE = "stage"
    STATUS = "lead_status"


@dataclass(frozen=True, slots=True)
class ContactEdit:
    """None leaves a field as it is. Fields in `given_back` become automatic again.

    `was` has the values of name, stage, status and notes that the editor saw, empty for none: a field that the edit
    changes must still have that value. Tags need none, as they are added and removed one by one.
    """

    name: str | None = None
    stage: str | None = None
    status: LeadStatus | None = None
    notes: str | None = None
    tags_added: tuple[str, ...] = ()
    tags_removed: tuple[str, ...] = ()
    given_back: frozenset[AutomaticField] = frozenset()
    was: Mapping[str, str] = field(default_factory=dict)


def edited(contact: Contact, edit: ContactEdit, pipeline: Pipeline | None, now: datetime) -> Change | None:
    """Return the next version, or None if the edit changes nothing. `pipeline` is that of the contact's account.

    A name made automatic is replaced by any name that is found; a stage stays until an analysis moves it.
    InvalidEditError when the edit cannot be made or a value in `was` is outdated.
    """
    _check_seen(contact, edit)
    found = {**_given_back(contact, edit.given_back), **_set(contact, edit, pipeline)}
    by_person = (set(contact.edited) - edit.given_back) | (found.keys() - edit.given_back)
    new = contact.model_copy(
        update={
            **found,
            "edited": tuple(sorted(map(str, by_person))),
            "version": contact.version + 1,
            "updated_at": now,
        }
    )
    changed = changed_fields(contact, new)
    return Change(new, changed, stage_activity(contact, new, None)) if changed else None


def _check_seen(contact: Contact, edit: ContactEdit) -> None:
    now = {
        "name": contact.name.full,
        "stage": contact.stage.name if contact.stage else "",
        "status": contact.lead_status or "",
        "notes": contact.notes,
    }
    for name, wanted in _wanted(edit).items():
        if name in edit.was and _plain(now[name]) not in {_plain(edit.was[name]), _plain(wanted)}:
            current = f": it is {now[name]!r} now" if now[name] and name != "notes" else ""
            raise InvalidEditError(f"a person or an analysis has changed the {name} meanwhile{current}", name)


def _wanted(edit: ContactEdit) -> dict[str, str]:
    status = "" if AutomaticField.STATUS in edit.given_back else edit.status
    wanted = {"name": edit.name, "stage": edit.stage, "status": status, "notes": edit.notes}
    return {name: text for name, text in wanted.items() if text is not None}


def _plain(text: str) -> str:
    """Return the text without the differences that a browser makes when it sends it back."""
    return text.replace("\r\n", "\n").strip()


def _set(contact: Contact, edit: ContactEdit, pipeline: Pipeline | None) -> dict[str, Any]:
    """Return the new values by field name; tags and notes, which are never automatic, only if they change."""
    found: dict[str, Any] = {}
    if edit.name is not None:
        found[AutomaticField.NAME] = _name(edit.name, contact.name.username)
    if edit.stage is not None:
        found[AutomaticField.STAGE] = _stage(edit.stage, pipeline)
    if edit.status is not None:
        found[AutomaticField.STATUS] = edit.status
    if both := found.keys() & edit.given_back:
        raise InvalidEditError(f"either set {', '.join(sorted(both))} or make it automatic")
    if edit.notes is not None and len(edit.notes) > MAX_NOTES_CHARS:
        raise InvalidEditError(f"notes have at most {MAX_NOTES_CHARS} characters, not {len(edit.notes)}", "notes")
    if edit.notes is not None and edit.notes != contact.notes:
        found["notes"] = edit.notes
    tags = _tags(contact, edit)
    return found if tags == contact.tags else {**found, "tags": tags}


def _given_back(contact: Contact, fields: frozenset[AutomaticField]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if AutomaticField.NAME in fields and contact.name.source is NameSource.PERSON:
        found[AutomaticField.NAME] = contact.name.model_copy(update={"source": NameSource.PLACEHOLDER})
    if AutomaticField.STATUS in fields:
        found[AutomaticField.STATUS] = None
    return found


def _name(full: str, username: str | None) -> Name:
    if not full.strip():
        raise InvalidEditError("a name must not be empty", "name")
    if len(full) > MAX_NAME_CHARS:
        raise InvalidEditError(f"a name has at most {MAX_NAME_CHARS} characters, not {len(full)}", "name")
    return Name.split(full, NameSource.PERSON, username)


def _stage(name: str, pipeline: Pipeline | None) -> StageRef:
    if pipeline is None:
        raise InvalidEditError("the account has no pipeline, so no stage can be set", "stage")
    stage = pipeline.stage(name)
    if stage is None:
        names = ", ".join(each.name for each in pipeline.stages)
        raise InvalidEditError(f"pipeline {pipeline.name} has no stage {name!r}; it has: {names}", "stage")
    return StageRef(pipeline=pipeline.name, name=stage.name, type=stage.type, set_by="person")


def _tags(contact: Contact, edit: ContactEdit) -> tuple[str, ...]:
    """Return the tags in the order they were added, each once."""
    added = [" ".join(tag.split()) for tag in edit.tags_added]
    if not all(added):
        raise InvalidEditError("a tag must not be empty", "tags")
    tags = tuple(tag for tag in dict.fromkeys((*contact.tags, *added)) if tag not in edit.tags_removed)
    if added and (len(tags) > MAX_TAGS or max(map(len, added)) > MAX_TAG_CHARS):
        raise InvalidEditError(f"a contact has at most {MAX_TAGS} tags of {MAX_TAG_CHARS} characters", "tags")
    return tags
