"""What the API is asked: queries and bodies, as its OpenAPI document describes them. Pure."""

from __future__ import annotations

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


def _real_day(text: str) -> str:
    """A filter that is not understood must not find everybody: perhaps to be forgotten."""
    if utc_day(text) is None:
        raise ValueError("there is no such day")
    return text


def _as_typed(text: str) -> str:
    """As a form would have it: else whoever saves its form again gives it another name."""
    if not (name := " ".join(text.split())):
        raise ValueError("a name needs a letter")
    return name


DAY = Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", json_schema_extra={"format": "date"})
Day = Annotated[str, DAY, AfterValidator(_real_day)]
GivenName = Annotated[str, Field(min_length=1, max_length=80, pattern=r"\S"), AfterValidator(_as_typed)]
Id = Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,64}$")]
Every = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}[mhd]$", examples=["30m", "6h", "1d"])]
Token = Annotated[SecretStr, Field(min_length=1, max_length=4096, json_schema_extra={"pattern": "^[!-~]+$"})]


class Filters(ApiModel):
    """All are optional; those that are given must all hold."""

    q: str = Field(default="", max_length=200, description="words, all of which must be found")
    account: str = Field(default="", max_length=200, description="`platform:account_id`")
    platform: Platform | None = None
    band: Band | None = None
    status: LeadStatus | None = None
    stage: str = Field(default="", max_length=200, description="`none` finds who has none")
    tag: str = Field(default="", max_length=200)
    source: AnalysisSource | None = None
    since: Day | None = Field(default=None, description="day of the last message, UTC, included")
    until: Day | None = Field(default=None, description="day of the last message, UTC, included")


class ExportQuery(Filters):
    sort: Sort = Field(default="-score", description="`-` before a column is descending")


class Paged(ApiModel):
    page: int = Field(default=1, ge=1, le=1_000_000, description="one beyond the last is the last")


class ContactQuery(ExportQuery, Paged):
    pass


class MessagesQuery(Paged):
    """A thousand on each page."""


class SeenFields(ApiModel, title="Seen"):
    """Empty for none."""

    name: str | None = None
    stage: str | None = None
    status: LeadStatus | Literal[""] | None = None
    notes: str | None = None


class EditRequest(ApiModel):
    """What is left out, or null, stays."""

    name: str | None = Field(default=None, max_length=MAX_NAME_CHARS)
    stage: str | None = Field(default=None, max_length=200)
    status: LeadStatus | None = None
    notes: str | None = Field(default=None, max_length=MAX_NOTES_CHARS)
    tags_added: tuple[str, ...] = ()
    tags_removed: tuple[str, ...] = ()
    given_back: tuple[AutomaticField, ...] = Field(default=(), description="fields that a machine may set again")
    was: SeenFields = Field(
        default=SeenFields(), description="what was seen of what is changed: refused when it is no longer so"
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
    """For the contacts that are named and for all that `matching` finds, a thousand at most. What cannot be done for
    one is done for the others."""

    action: Literal["edit", "analyse", "forget"]
    contact_ids: tuple[str, ...] = Field(default=(), max_length=MAX_BULK_CONTACTS)
    matching: Filters | None = Field(default=None, description="`{}` finds all; left out, none are looked for")
    edit: BulkEdit = BulkEdit()


class BoardQuery(ApiModel):
    pipeline: str = Field(max_length=200)


class AsForm(ApiModel):
    def fields(self) -> dict[str, str]:
        """What is given, as a form has it."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return {
            name: each.get_secret_value() if isinstance(each, SecretStr) else each or "" for name, each in given.items()
        }


class AccountSettings(AsForm):
    """What is left out stays."""

    name: str | None = Field(default=None, min_length=1, max_length=200)
    pipeline: str | None = Field(default=None, max_length=200, description="null: its contacts get no stage")
    mode: Mode = Mode.SKIP_EXISTING
    every: Every | None = Field(default=None, description="how often it is read by itself; null: when asked")
    token: Token | None = None


class AccountRequest(AsForm):
    platform: Platform
    account_id: Id
    page_id: Id | None = Field(default=None, description="of the Page that serves it; needed for Instagram")
    name: str = Field(min_length=1, max_length=200)
    token: Token


class RunRequest(ApiModel):
    account: str = Field(max_length=200, description="`platform:account_id`")


class RangeRequest(ApiModel):
    low: int = Field(ge=1, le=100)
    high: int = Field(ge=1, le=100)


class StageRequest(ApiModel):
    """Without a range it gets one, by its type. A range that is given is a person's, unless `range_edited` is false:
    then it is made anew."""

    name: GivenName
    type: StageType
    range: RangeRequest | None = None
    range_edited: bool = True

    def stage(self) -> Stage:
        """Of LOST and ARCHIVED ones no range is kept. ValueError where it does not go up."""
        given = None if self.type in {StageType.LOST, StageType.ARCHIVED} else self.range
        scores = ScoreRange(low=given.low, high=given.high) if given else None
        return Stage(name=self.name, type=self.type, range=scores, range_edited=bool(scores and self.range_edited))


class StagesRequest(ApiModel):
    stages: tuple[StageRequest, ...] = Field(min_length=1, max_length=30)
    edition: str | None = Field(default=None, description="refused when it is not this any more; null for any")


class PipelineRequest(ApiModel):
    name: GivenName
    stages: tuple[StageRequest, ...] = Field(min_length=1, max_length=30)


class LetterQuery(ApiModel):
    reason: Reason | None = None


class ReplayRequest(ApiModel):
    """Of what is parked, letters of these ids and of this reason; null leaves out none."""

    letter_ids: tuple[str, ...] | None = None
    reason: Reason | None = None
