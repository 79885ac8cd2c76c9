"""What the API says, as its OpenAPI document describes it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from services.console.board import Column
from services.console.contact_changes import MOST
from services.console.directory import NEVER, Row
from services.console.transcript import Said
from shared.accounts import Account
from shared.contact_edits import Edit, Owned
from shared.contacts import Activity, AnalysisSource, Band, Contact, LeadStatus, Score, band
from shared.events import Instant
from shared.failures import Reason
from shared.ids import Platform
from shared.letters import Summary
from shared.pipelines import Mode, Pipeline, ScoreRange, Stage, StageType
from shared.runs import Run

Sort = Literal[
    "name", "platform", "account", "score", "status", "stage", "inbound", "source",
    "-name", "-platform", "-account", "-score", "-status", "-stage", "-inbound", "-source",
]  # fmt: skip
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Told(BaseModel):
    """By another service, which may tell more."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


Id = Annotated[str, Field(pattern=r"^[0-9A-Za-z_.-]{1,64}$")]
Every = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}[mhd]$", examples=["30m", "6h", "1d"])]
Token = Annotated[SecretStr, Field(min_length=1, max_length=4096, json_schema_extra={"pattern": "^[!-~]+$"})]


class Filters(Model):
    """All are optional; those that are given must all hold."""

    q: str = Field(default="", max_length=200, description="words, all of which must be found")
    account: str = Field(default="", max_length=200, description="`platform:account_id`")
    platform: Platform | None = None
    band: Band | None = None
    status: LeadStatus | None = None
    stage: str = Field(default="", max_length=200, description="`none` finds who has none")
    tag: str = Field(default="", max_length=200)
    source: AnalysisSource | None = None
    since: str = Field(default="", pattern=rf"{DAY}|^$", description="day of the last message, UTC, included")
    until: str = Field(default="", pattern=rf"{DAY}|^$", description="day of the last message, UTC, included")


class ExportQuery(Filters):
    sort: Sort = Field(default="-score", description="`-` before a column is descending")


class ContactQuery(ExportQuery):
    page: int = Field(default=1, ge=1, le=1_000_000, description="one beyond the last is the last")


class ContactRow(Model):
    contact_id: str
    version: int
    platform: Platform
    account_id: str
    name: str
    score: int | None = Field(description="1 to 100; null before the first analysis")
    band: Band | None
    status: LeadStatus | None
    source: AnalysisSource | None
    pipeline: str | None
    stage: str | None
    tags: tuple[str, ...]
    last_inbound_at: Instant | None
    last_message_at: Instant | None


class ContactPage(Model):
    contacts: list[ContactRow]
    found: int = Field(description="how many match")
    of: int = Field(description="how many there are")
    page: int
    pages: int


class Message(Model):
    message_id: str
    at: Instant
    role: Literal["customer", "business"]
    text: str
    marks: tuple[str, ...] = Field(description="what is not text")
    reactions: tuple[str, ...]
    is_unsent: bool
    is_edited: bool


class ContactWhole(Model):
    contact: Contact
    scores: tuple[Score, ...]
    activities: tuple[Activity, ...]
    messages: tuple[Message, ...]


class Seen(Model):
    """Empty for none."""

    name: str | None = None
    stage: str | None = None
    status: LeadStatus | Literal[""] | None = None
    notes: str | None = None


class EditRequest(Model):
    """What is left out, or null, stays."""

    name: str | None = Field(default=None, max_length=200)
    stage: str | None = Field(default=None, max_length=200)
    status: LeadStatus | None = None
    notes: str | None = Field(default=None, max_length=10_000)
    tags_added: tuple[str, ...] = ()
    tags_removed: tuple[str, ...] = ()
    given_back: tuple[Owned, ...] = Field(default=(), description="fields that a machine may set again")

    was: Seen = Field(default=Seen(), description="what was seen of what is changed: refused when it is no longer so")

    def edit(self) -> Edit:
        given_back, was = frozenset(self.given_back), self.was.model_dump(exclude_none=True)
        return Edit(**{**self.model_dump(), "given_back": given_back, "was": was})


class BulkEdit(Model):
    tags_added: tuple[str, ...] = ()
    tags_removed: tuple[str, ...] = ()
    stage: str | None = Field(default=None, max_length=200)

    def edit(self) -> Edit:
        return Edit(**self.model_dump())


class BulkRequest(Model):
    """For the contacts that are named and for all that `matching` finds, a thousand at most. What cannot be done for
    one is done for the others."""

    action: Literal["edit", "analyse", "forget"]
    contact_ids: tuple[str, ...] = Field(default=(), max_length=MOST)
    matching: Filters | None = Field(default=None, description="`{}` finds all; left out, none are looked for")
    edit: BulkEdit = BulkEdit()


class Outcome(Model):
    contact_id: str
    error: str | None = Field(description="why it was not done; null when it was")


class BulkOutcome(Model):
    done: int
    outcomes: list[Outcome]


class BoardQuery(Model):
    pipeline: str = Field(max_length=200)


class BoardColumn(Model):
    stage: str
    count: int
    points: int = Field(description="the sum of the scores")
    contacts: list[ContactRow] = Field(description="the best fifty")


class Board(Model):
    pipeline: str
    columns: list[BoardColumn]


class TokenInfo(Told):
    """What the platform tells of a token."""

    is_valid: bool
    is_of_page: bool
    expires_at: str | None
    data_access_expires_at: str | None


class AccountHealth(Told):
    """What the platform was last heard to say; null is what it did not tell."""

    is_well: bool
    problems: tuple[str, ...]
    token: TokenInfo | None
    permissions_granted: tuple[str, ...] | None
    permissions_missing: tuple[str, ...]
    webhooks_subscribed: tuple[str, ...] | None
    webhooks_missing: tuple[str, ...]
    checked_at: str


class AccountInfo(Model):
    """Without its token."""

    platform: Platform
    account_id: str
    page_id: str
    name: str
    pipeline: str | None
    mode: Mode
    every_seconds: int | None
    contacts: int
    health: AccountHealth | None = Field(description="null before it was asked for")


class AccountSettings(Model):
    """What is left out stays."""

    name: str = Field(default="", min_length=1, max_length=200)
    pipeline: str | None = Field(default=None, max_length=200, description="null: its contacts get no stage")
    mode: Mode = Mode.SKIP_EXISTING
    every: Every | None = Field(default=None, description="how often it is read by itself; null: when asked")
    token: Token | None = None

    def fields(self) -> dict[str, str]:
        """Those that are given, as a form has them."""
        return _fields(self)


class AccountRequest(Model):
    platform: Platform
    account_id: Id
    page_id: Id | None = Field(default=None, description="of the Page that serves it; needed for Instagram")
    name: str = Field(min_length=1, max_length=200)
    token: Token

    def fields(self) -> dict[str, str]:
        return _fields(self)


class AccountList(Model):
    accounts: list[AccountInfo]


class RunList(Model):
    runs: list[Run]


class RunRequest(Model):
    account: str = Field(max_length=200, description="`platform:account_id`")


class PipelineInfo(Model):
    name: str
    stages: tuple[Stage, ...]
    edition: str = Field(description="of what it holds: to be said when it is replaced")


class PipelineList(Model):
    pipelines: list[PipelineInfo]


class RangeRequest(Model):
    low: int = Field(ge=1, le=100)
    high: int = Field(ge=1, le=100)


class StageRequest(Model):
    """Without a range it gets one, by its type. A range that is given is a person's, unless `range_edited` is false:
    then it is made anew."""

    name: str = Field(min_length=1, max_length=80)
    type: StageType
    range: RangeRequest | None = None
    range_edited: bool = True

    def stage(self) -> Stage:
        """Of LOST and ARCHIVED ones no range is kept. ValueError where it does not go up."""
        given = None if self.type in {StageType.LOST, StageType.ARCHIVED} else self.range
        scores = ScoreRange(low=given.low, high=given.high) if given else None
        return Stage(name=self.name, type=self.type, range=scores, range_edited=bool(scores and self.range_edited))


class StagesRequest(Model):
    stages: tuple[StageRequest, ...] = Field(min_length=1, max_length=30)
    edition: str | None = Field(default=None, description="refused when it is not this any more; null for any")


class PipelineRequest(Model):
    name: str = Field(min_length=1, max_length=80)
    stages: tuple[StageRequest, ...] = Field(min_length=1, max_length=30)


class OverviewInfo(Model):
    """Null is what could not be read."""

    contacts: int
    events_a_second: float | None
    lag: int | None
    conversations_due: int | None
    analyses: dict[AnalysisSource, int]
    dead_letters: int | None
    spool: int | None


class LetterQuery(Model):
    reason: Reason | None = None


class LetterInfo(Model):
    """Without what was parked."""

    letter_id: str
    reason: Reason
    detail: str
    where: str
    parked_at: Instant
    size: int = Field(description="in bytes")


class LetterList(Model):
    letters: list[LetterInfo] = Field(description="the newest two hundred")
    found: int


class ReplayRequest(Model):
    """Of what is parked, letters of these ids and of this reason; null leaves out none."""

    letter_ids: tuple[str, ...] | None = None
    reason: Reason | None = None


class ReplayOutcome(Model):
    """Ids of letters."""

    done: tuple[str, ...]
    stay: tuple[str, ...] = Field(description="still not understood")


class Problem(Model):
    error: str


def row_json(row: Row) -> ContactRow:
    return ContactRow(
        contact_id=row.contact_id,
        version=row.version,
        platform=Platform(row.platform),
        account_id=row.account_id,
        name=row.name,
        score=row.score or None,
        band=band(row.score) if row.score else None,
        status=LeadStatus(row.status) if row.status else None,
        source=AnalysisSource(row.source) if row.source else None,
        pipeline=row.pipeline or None,
        stage=row.stage or None,
        tags=row.tags,
        last_inbound_at=row.last_inbound_at if row.last_inbound_at != NEVER else None,
        last_message_at=row.last_message_at if row.last_message_at != NEVER else None,
    )


def column_json(column: Column) -> BoardColumn:
    contacts = [row_json(row) for row in column.rows]
    return BoardColumn(stage=column.name, count=column.count, points=column.points, contacts=contacts)


def message_json(said: Said) -> Message:
    return Message(
        message_id=said.message_id, at=said.at, role="customer" if said.is_customer else "business", text=said.text,
        marks=said.marks, reactions=said.reactions, is_unsent=said.is_unsent, is_edited=said.is_edited,
    )  # fmt: skip


def account_json(account: Account, contacts: int, health: Mapping[str, Any] | None) -> AccountInfo:
    known = account.model_dump(include=set(AccountInfo.model_fields))
    return AccountInfo(**known, contacts=contacts, health=AccountHealth.model_validate(health) if health else None)


def _fields(body: Model) -> dict[str, str]:
    given = {name: getattr(body, name) for name in body.model_fields_set}
    return {
        name: each.get_secret_value() if isinstance(each, SecretStr) else each or "" for name, each in given.items()
    }


def pipeline_json(pipeline: Pipeline) -> PipelineInfo:
    return PipelineInfo(name=pipeline.name, stages=pipeline.stages, edition=pipeline.edition)


def letter_json(letter: Summary) -> LetterInfo:
    return LetterInfo(**{name: getattr(letter, name) for name in LetterInfo.model_fields})
