"""The queries and request bodies of the API, from which its OpenAPI document is made. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from services.console.api.models import ApiModel
from services.console.contacts.form import MAX_BULK_CONTACTS, MAX_NOTES_CHARS
from services.console.view.formats import utc_day
from shared.contract.contacts import AnalysisSource, Band, LeadStatus, StageType
from shared.contract.failures import Reason
from shared.contract.ids import Platform
from shared.domain.contact_edits import MAX_NAME_CHARS, AutomaticField, ContactEdit
from shared.domain.pipelines import Mode, ScoreRange, Stage

Sort = Literal[
    "name", "platform", "account", "score", "status", "stage", "inbound", "source",
    "-name", "-platform", "-account", "-score", "-status", "-stage", "-inbound", "-source",
]  # fmt: skip


def _existing_day(text: str) -> str:
    """Refuse 2026-02-30: a filter that is not understood must not match everybody, perhaps to erase them."""
    if utc_day(text) is None:
        raise ValueError("there is no such day")
    return text


def _collapse_spaces(text: str) -> str:
    if not (name := " ".join(text.split())):
        raise ValueError("a name is required")
    return name


def _printable_token(token: SecretStr) -> SecretStr:
    """Return the token without the white space around it, which comes with copying."""
    text = token.get_secret_value().strip()
    if not re.fullmatch(PRINTABLE_ASCII, text):
        raise ValueError("a token has no spaces and only ASCII characters")
    return SecretStr(text)


DAY = Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", json_schema_extra={"format": "date"})
Day = Annotated[str, DAY, AfterValidator(_existing_day)]
NOT_BLANK = r"[^\s\x1c-\x1f\x85]"
"""Matches where `_collapse_spaces` leaves something: Python counts these controls as spaces, other dialects do not."""
AccountName = Annotated[str, Field(min_length=1, max_length=200, pattern=NOT_BLANK), AfterValidator(_collapse_spaces)]
PipelineName = Annotated[str, Field(min_length=1, max_length=80, pattern=NOT_BLANK), AfterValidator(_collapse_spaces)]
Id = Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,64}$")]
Interval = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}[mhd]$", examples=["30m", "6h", "1d"])]
TimeZone = Annotated[str, Field(max_length=64, examples=["Europe/Berlin", "Asia/Manila"])]
PRINTABLE_ASCII = "^[!-~]+$"
Token = Annotated[
    SecretStr,
    Field(min_length=1, max_length=4096, json_schema_extra={"pattern": PRINTABLE_ASCII}),
    AfterValidator(_printable_token),
]


class Filters(ApiModel):
    """All filters are optional; a contact must match all that are given."""

    q: str = Field(default="", max_length=200, description="words, all of which must match")
    account: str = Field(default="", max_length=200, description="`platform:account_id`")
    platform: Platform | None = None
    band: Band | None = None
    status: LeadStatus | None = None
    stage: str = Field(default="", max_length=200, description="`none` finds contacts without a stage")
    tag: str = Field(default="", max_length=200)
    source: AnalysisSource | None = None
    since: Day | None = Field(default=None, description="day of the last message, UTC, included")
    until: Day | None = Field(default=None, description="day of the last message, UTC, included")


class ExportQuery(Filters):
    sort: Sort = Field(default="-score", description="a leading `-` sorts in descending order")


class Paged(ApiModel):
    page: int = Field(default=1, ge=1, le=1_000_000, description="a number beyond the last page returns the last")


class ContactQuery(ExportQuery, Paged):
    pass


class MessagesQuery(Paged):
    """A page has a thousand messages."""


class SeenFields(ApiModel):
    """The values that the editor saw; an empty text means none."""

    name: str | None = None
    stage: str | None = None
    status: LeadStatus | Literal[""] | None = None
    notes: str | None = None


class EditRequest(ApiModel):
    """A field that is left out or null stays as it is."""

    name: str | None = Field(default=None, max_length=MAX_NAME_CHARS)
    stage: str | None = Field(default=None, max_length=200)
    status: LeadStatus | None = None
    notes: str | None = Field(default=None, max_length=MAX_NOTES_CHARS)
    tags_added: tuple[str, ...] = Field(default=(), description="`not a lead` counts as a label")
    tags_removed: tuple[str, ...] = ()
    given_back: tuple[AutomaticField, ...] = Field(default=(), description="fields that the analysis may set again")
    was: SeenFields = Field(
        default=SeenFields(), description="the edit is refused if a field no longer has the value that was seen"
    )

    def edit(self) -> ContactEdit:
        given_back, was = frozenset(self.given_back), self.was.model_dump(exclude_none=True)
        return ContactEdit(**{**self.model_dump(), "given_back": given_back, "was": was})


class BulkEdit(ApiModel):
    tags_added: tuple[str, ...] = ()
    tags_removed: tuple[str, ...] = ()
    stage: str | None = Field(default=None, max_length=200)

    def edit(self) -> ContactEdit:
        return ContactEdit(**self.model_dump())


class BulkRequest(ApiModel):
    """Applies to the contacts in `contact_ids` and to all that match `matching`, a thousand at most. A refusal for one
    does not stop the others."""

    action: Literal["edit", "analyse", "forget"]
    contact_ids: tuple[str, ...] = Field(default=(), max_length=MAX_BULK_CONTACTS)
    matching: Filters | None = Field(default=None, description="`{}` matches all contacts; left out, it matches none")
    edit: BulkEdit = BulkEdit()


class BoardQuery(ApiModel):
    pipeline: str = Field(max_length=200)


class AccountSettings(ApiModel):
    """A field that is left out stays as it is."""

    name: AccountName | None = None
    pipeline: str | None = Field(default=None, max_length=200, description="null: its contacts get no stage")
    mode: Mode = Mode.SKIP_EXISTING
    every: Interval | None = Field(default=None, description="interval of automatic syncs; null: only on request")
    timezone: TimeZone | None = Field(default=None, description="IANA name, for the times that the AI reads; null: UTC")
    token: Token | None = None


class AccountRequest(ApiModel):
    platform: Platform
    account_id: Id
    page_id: Id | None = Field(default=None, description="the Page that serves the account; required for Instagram")
    name: AccountName
    timezone: TimeZone | None = Field(default=None, description="IANA name, for the times that the AI reads; null: UTC")
    token: Token


class RunRequest(ApiModel):
    account: str = Field(max_length=200, description="`platform:account_id`")


class RangeRequest(ApiModel):
    low: int = Field(ge=1, le=100)
    high: int = Field(ge=1, le=100)


class StageRequest(ApiModel):
    """A stage without a range gets an automatic one for its type. A range counts as set by a person, unless
    `range_edited` is false: then it is computed again."""

    name: PipelineName
    type: StageType
    range: RangeRequest | None = None
    range_edited: bool = True

    def stage(self) -> Stage:
        """Drop the range of a LOST or ARCHIVED stage. Raise ValueError for a range whose `low` is above its `high`."""
        given = None if self.type in {StageType.LOST, StageType.ARCHIVED} else self.range
        scores = ScoreRange(low=given.low, high=given.high) if given else None
        return Stage(name=self.name, type=self.type, range=scores, range_edited=bool(scores and self.range_edited))


class StagesRequest(ApiModel):
    stages: tuple[StageRequest, ...] = Field(min_length=1, max_length=30)
    edition: str | None = Field(default=None, description="refused if the pipeline has another edition; null: any")


class PipelineRequest(ApiModel):
    name: PipelineName
    stages: tuple[StageRequest, ...] = Field(min_length=1, max_length=30)


class LetterQuery(ApiModel):
    reason: Reason | None = None


class ReplayRequest(ApiModel):
    """Selects parked dead letters by id and by reason; null means no filter."""

    letter_ids: tuple[str, ...] | None = None
    reason: Reason | None = None
