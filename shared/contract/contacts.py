"""A contact: what is known of one customer, and the event that publishes a change of it. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

import orjson
from pydantic import Field

from shared.contract.events import ContractModel, Header, Instant, cloud_event_headers, format_instant
from shared.contract.ids import Platform


class LeadStatus(StrEnum):
    NEW = "NEW"
    CONTACTED = "CONTACTED"
    QUALIFIED = "QUALIFIED"
    PROPOSAL_SENT = "PROPOSAL_SENT"
    NEGOTIATING = "NEGOTIATING"
    WON = "WON"
    LOST = "LOST"
    UNRESPONSIVE = "UNRESPONSIVE"


class StageType(StrEnum):
    LEAD = "LEAD"
    IN_PROGRESS = "IN_PROGRESS"
    WON = "WON"
    LOST = "LOST"
    ARCHIVED = "ARCHIVED"


class AnalysisSource(StrEnum):
    AI = "ai"
    FALLBACK = "fallback"


class Band(StrEnum):
    COLD = "cold"
    WARM = "warm"
    HOT = "hot"
    READY = "ready"


def band(score: int) -> Band:
    """Return the band: 0-30 cold, 31-60 warm, 61-80 hot, 81-100 ready to close."""
    if score <= 30:
        return Band.COLD
    if score <= 60:
        return Band.WARM
    return Band.HOT if score <= 80 else Band.READY


class Verdict(ContractModel):
    """An analyst's result for a conversation."""

    summary: str
    lead_score: int = Field(ge=1, le=100)
    lead_status: LeadStatus
    confidence: int = Field(ge=0, le=100)
    reasoning: str
    evidence: tuple[str, ...] | None = Field(
        default=None, description="ids of the messages that decided it, most weighty first"
    )
    recommended_stage: str | None = None
    language: str | None = Field(default=None, description="ISO 639-1, or `taglish`")
    next_action: str | None = None
    source: AnalysisSource
    model: str | None = Field(default=None, description="name of the model, or version of the fallback's rules")
    prompt_version: str | None = None
    retry_count: int = Field(default=0, ge=0)
    input_tokens: int | None = None
    output_tokens: int | None = None


class Analysis(Verdict):
    """The result of analysing one whole conversation once."""

    fingerprint: str = Field(description="hash of the content that was read; the same content is never analysed twice")
    messages_read: int = Field(ge=0)
    analysed_at: Instant


class NameSource(StrEnum):
    """Where a name came from, weakest first: a weaker source never overwrites a stronger one."""

    PLACEHOLDER = "placeholder"
    USERNAME = "username"
    PROFILE = "profile"
    PARTICIPANTS = "participants"
    MESSAGE = "message"
    PERSON = "person"


class Name(ContractModel):
    first: str
    last: str = ""
    username: str | None = None
    source: NameSource

    @classmethod
    def split(cls, full: str, source: NameSource, username: str | None = None) -> Name:
        """Return a name whose first word is the first name and whose rest is the last name."""
        first, _, last = " ".join(full.split()).partition(" ")
        return cls(first=first, last=last, username=username, source=source)

    @property
    def full(self) -> str:
        return f"{self.first} {self.last}".strip()


class StageRef(ContractModel):
    """The stage of a contact in its account's pipeline."""

    pipeline: str
    name: str
    type: StageType
    set_by: AnalysisSource | Literal["person"] | None = Field(
        default=None, description="who set or last confirmed it; none if it was set before this was recorded"
    )

    def is_same(self, other: StageRef) -> bool:
        """Return whether both are the same stage, whoever set it."""
        return (self.pipeline, self.name, self.type) == (other.pipeline, other.name, other.type)


def is_closed_by_fallback(
    stage_type: str,
    set_by: str | None,
    analysed_status: str | None,
    analysed_by: str | None,
    person_status: str | None,
    edited: Collection[str],
) -> bool:
    """Return whether a fallback alone set this WON or LOST stage of a contact.

    Without `set_by`, a stage counts as set by an analysis that says the same.
    """
    if stage_type not in (StageType.WON, StageType.LOST) or "stage" in edited or person_status == stage_type:
        return False
    if set_by is None and analysed_status == stage_type:
        return analysed_by == AnalysisSource.FALLBACK
    return set_by == AnalysisSource.FALLBACK


class Contact(ContractModel):
    contact_id: str = Field(description="the conversation's key")
    platform: Platform
    account_id: str
    customer_id: str
    version: int = Field(ge=1, description="1, 2, 3 … without gaps")
    name: Name
    profile_pic: str | None = None
    locale: str | None = None
    timezone: float | None = Field(default=None, description="hours from UTC, from the customer's profile")
    analysis: Analysis | None = None
    lead_status: LeadStatus | None = Field(
        default=None, description="set by a person; wins over the status of the analysis"
    )
    stage: StageRef | None = None
    emails: tuple[str, ...] = Field(default=(), description="found in the customer's messages, lower-cased")
    phones: tuple[str, ...] = Field(default=(), description="found in the customer's messages, E.164")
    last_inbound_at: Instant | None = None
    last_outbound_at: Instant | None = None
    messages_inbound: int = 0
    messages_outbound: int = 0
    tags: tuple[str, ...] = ()
    notes: str = ""
    edited: tuple[str, ...] = Field(default=(), description="fields a person set; analysis never overwrites them")
    created_at: Instant
    updated_at: Instant

    @property
    def status(self) -> LeadStatus | None:
        """The status set by a person, else that of the analysis."""
        return self.lead_status or (self.analysis.lead_status if self.analysis else None)

    @property
    def is_provisional(self) -> bool:
        """Whether the contact is in WON or LOST by a fallback alone; an AI or a person has not said so."""
        stage, analysis = self.stage, self.analysis
        if stage is None:
            return False
        status, source = (analysis.lead_status, analysis.source) if analysis else (None, None)
        return is_closed_by_fallback(stage.type, stage.set_by, status, source, self.lead_status, self.edited)

    @property
    def last_message_at(self) -> datetime | None:
        known = [at for at in (self.last_inbound_at, self.last_outbound_at) if at]
        return max(known) if known else None


class Activity(ContractModel):
    """A change of stage and its reason. `activity_id` is `contact_id#version`, so writing it twice is harmless.

    For a change by a person, `score` and `status` are those of that moment, and `confidence` is empty.
    """

    activity_id: str
    contact_id: str
    type: Literal["STAGE_CHANGED"] = "STAGE_CHANGED"
    version: int
    from_stage: str | None
    to_stage: str
    reasoning: str
    confidence: int | None
    score: int | None
    status: LeadStatus | None
    source: AnalysisSource | Literal["person"]
    model: str | None
    prompt_version: str | None
    at: Instant


def stage_activity(old: Contact | None, new: Contact, analysis: Analysis | None) -> Activity | None:
    """Return the activity of the version `new`; None when its stage is the one of `old`, whoever set it.

    `analysis` is the one that changed the stage; None when a person changed it.
    """
    before, scored = old.stage if old else None, analysis or new.analysis
    if new.stage is None or (before and new.stage.is_same(before)):
        return None
    return Activity(
        activity_id=f"{new.contact_id}#{new.version}",
        contact_id=new.contact_id,
        version=new.version,
        from_stage=before.name if before else None,
        to_stage=new.stage.name,
        reasoning=analysis.reasoning if analysis else "Set by a person.",
        confidence=analysis.confidence if analysis else None,
        score=scored.lead_score if scored else None,
        status=new.status,
        source=analysis.source if analysis else "person",
        model=analysis.model if analysis else None,
        prompt_version=analysis.prompt_version if analysis else None,
        at=new.updated_at,
    )


@dataclass(frozen=True, slots=True)
class Change:
    """A version to be written. `changed` names the fields that differ; `activity` is set if the stage changed."""

    contact: Contact
    changed: tuple[str, ...]
    activity: Activity | None


SCORES_KEPT = 100


class Score(ContractModel):
    """The score of one version's analysis. A contact keeps the last SCORES_KEPT, to show its score over time."""

    version: int
    score: int
    source: AnalysisSource
    at: Instant


def score_of(change: Change) -> Score | None:
    """Return the score to keep, or None if the version did not come from an analysis."""
    contact, analysis = change.contact, change.contact.analysis
    if analysis is None or "analysis" not in change.changed:
        return None
    return Score(version=contact.version, score=analysis.lead_score, source=analysis.source, at=analysis.analysed_at)


_NOT_COMPARED = {"version", "created_at", "updated_at"}


def changed_fields(old: Contact | None, new: Contact) -> tuple[str, ...]:
    """Return the names of the fields that differ; for a first version, of those that are not the default."""
    before = {name: getattr(old, name) if old else field.default for name, field in Contact.model_fields.items()}
    return tuple(name for name in before if name not in _NOT_COMPARED and getattr(new, name) != before[name])


def activities_of(contact_id: str) -> dict[str, dict[str, str]]:
    """Return the query for all activities of a contact, as a range of ids."""
    return {"_id": {"$gt": f"{contact_id}#", "$lt": f"{contact_id}$"}}


class ContactUpdated(ContractModel):
    """A value on `contact-updated`. Delivery is at least once: a consumer keeps a contact's highest version."""

    contact_id: str
    version: int = Field(ge=1)
    changed: tuple[str, ...] = Field(description="names of the contact's fields that differ from the previous version")
    contact: Contact


def dump_contact_updated(event: ContactUpdated) -> bytes:
    return orjson.dumps(event.model_dump(mode="json", exclude_none=True))


def load_contact_updated(value: bytes) -> ContactUpdated:
    """ValueError when `value` does not fit the contract."""
    return ContactUpdated.model_validate(orjson.loads(value))


def contact_updated_headers(event: ContactUpdated) -> list[Header]:
    """Return CloudEvents headers; `ce_id` is `contact_id#version`."""
    updated_at = format_instant(event.contact.updated_at)
    return cloud_event_headers(f"{event.contact_id}#{event.version}", "contact-updated", "analyzer", updated_at)
