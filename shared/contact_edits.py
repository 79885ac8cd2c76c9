"""What a person changes of a contact. It wins over whatever a machine finds (promise 10). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.contacts import (
    Activity,
    Change,
    Contact,
    LeadStatus,
    Name,
    NameSource,
    StageRef,
    changed_fields,
)
from shared.pipelines import Pipeline

LONGEST_NAME, LONGEST_TAG, MOST_TAGS, LONGEST_NOTES = 200, 100, 100, 20_000
"""Characters, and tags: a version must fit into a record, which the broker limits to 1 MB, or it is never published."""


class WrongEditError(ValueError):
    """It cannot be made; says why to the person who asked for it."""


class Owned(StrEnum):
    """The fields of a contact that are a machine's until a person sets them."""

    NAME = "name"
    STAGE = "stage"
    STATUS = "lead_status"


@dataclass(frozen=True, slots=True)
class Edit:
    """None, and no tags, leave alone what is there. What is `given_back` is a machine's again."""

    name: str | None = None
    stage: str | None = None
    status: LeadStatus | None = None
    notes: str | None = None
    tags_added: tuple[str, ...] = ()
    tags_removed: tuple[str, ...] = ()
    given_back: frozenset[Owned] = frozenset()


def edited(contact: Contact, edit: Edit, pipeline: Pipeline | None, now: datetime) -> Change | None:
    """The next version; None when all is so already. `pipeline` is that of the contact's account.

    A name that is given back gives way to any that is found, a stage stays until an analysis moves it.
    """
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
    return Change(new, changed, _activity(contact, new)) if changed else None


def _set(contact: Contact, edit: Edit, pipeline: Pipeline | None) -> dict[str, Any]:
    """By name of field. Tags and notes are no machine's: where they stay as they are, nothing is said of them."""
    found: dict[str, Any] = {}
    if edit.name is not None:
        found[Owned.NAME] = _name(edit.name, contact.name.username)
    if edit.stage is not None:
        found[Owned.STAGE] = _stage(edit.stage, pipeline)
    if edit.status is not None:
        found[Owned.STATUS] = edit.status
    if both := found.keys() & edit.given_back:
        raise WrongEditError(f"either set {', '.join(sorted(both))} or give it back")
    if edit.notes is not None and len(edit.notes) > LONGEST_NOTES:
        raise WrongEditError(f"notes have at most {LONGEST_NOTES} characters, not {len(edit.notes)}")
    if edit.notes is not None and edit.notes != contact.notes:
        found["notes"] = edit.notes
    tags = _tags(contact, edit)
    return found if tags == contact.tags else {**found, "tags": tags}


def _given_back(contact: Contact, fields: frozenset[Owned]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if Owned.NAME in fields and contact.name.source is NameSource.PERSON:
        found[Owned.NAME] = contact.name.model_copy(update={"source": NameSource.PLACEHOLDER})
    if Owned.STATUS in fields:
        found[Owned.STATUS] = None
    return found


def _name(full: str, username: str | None) -> Name:
    if not full.strip():
        raise WrongEditError("a name needs a letter")
    if len(full) > LONGEST_NAME:
        raise WrongEditError(f"a name has at most {LONGEST_NAME} characters, not {len(full)}")
    return Name.split(full, NameSource.PERSON, username)


def _stage(name: str, pipeline: Pipeline | None) -> StageRef:
    if pipeline is None:
        raise WrongEditError("its account has no pipeline, so there is no stage to be in")
    stage = pipeline.stage(name)
    if stage is None:
        names = ", ".join(each.name for each in pipeline.stages)
        raise WrongEditError(f"pipeline {pipeline.name} has no stage {name!r}; it has: {names}")
    return StageRef(pipeline=pipeline.name, name=stage.name, type=stage.type)


def _tags(contact: Contact, edit: Edit) -> tuple[str, ...]:
    """In the order in which they came, each once."""
    added = [" ".join(tag.split()) for tag in edit.tags_added]
    if not all(added):
        raise WrongEditError("a tag needs a letter")
    tags = tuple(tag for tag in dict.fromkeys((*contact.tags, *added)) if tag not in edit.tags_removed)
    if added and (len(tags) > MOST_TAGS or max(map(len, added)) > LONGEST_TAG):
        raise WrongEditError(f"a contact has at most {MOST_TAGS} tags of {LONGEST_TAG} characters")
    return tags


def _activity(old: Contact, new: Contact) -> Activity | None:
    if new.stage is None or new.stage == old.stage:
        return None
    return Activity(
        activity_id=f"{new.contact_id}#{new.version}",
        contact_id=new.contact_id,
        version=new.version,
        from_stage=old.stage.name if old.stage else None,
        to_stage=new.stage.name,
        reasoning="Set by a person.",
        confidence=None,
        score=new.analysis.lead_score if new.analysis else None,
        status=new.status,
        source="person",
        model=None,
        prompt_version=None,
        at=new.updated_at,
    )
