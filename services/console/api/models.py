"""The response bodies of the API, from which its OpenAPI document is made. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.console.board.columns import Column
from services.console.contacts.message_list import DisplayedMessage
from services.console.index.contact_index import NEVER, Row
from shared.bus.dead_letter_queue import DeadLetterSummary
from shared.contract.contacts import Activity, AnalysisSource, Band, Contact, LeadStatus, Score, band
from shared.contract.events import Instant
from shared.contract.failures import Reason
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.domain.pipelines import Mode, Pipeline, Stage
from shared.domain.runs import Run


class ApiModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ReportModel(BaseModel):
    """Comes from another service, which may add fields."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class ContactRow(ApiModel):
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
    is_provisional: bool = Field(description="whether a fallback alone set a stage WON or LOST")
    tags: tuple[str, ...]
    last_inbound_at: Instant | None
    last_message_at: Instant | None


class ContactPage(ApiModel):
    contacts: list[ContactRow]
    found: int = Field(description="number of contacts that match")
    of: int = Field(description="number of all contacts")
    page: int
    pages: int


class MessageInfo(ApiModel):
    message_id: str
    at: Instant
    role: Literal["customer", "business"]
    text: str
    marks: tuple[str, ...] = Field(description="labels for content that is not text")
    reactions: tuple[str, ...]
    is_unsent: bool
    is_edited: bool


class ContactWhole(ApiModel):
    contact: Contact
    is_provisional: bool = Field(description="whether a fallback alone set a stage WON or LOST")
    scores: tuple[Score, ...]
    activities: tuple[Activity, ...]
    messages: tuple[MessageInfo, ...] = Field(description="one page, oldest first; the first page has the newest")
    found: int = Field(description="number of messages on all pages")
    page: int
    pages: int


class ContactOutcome(ApiModel):
    contact_id: str
    error: str | None = Field(description="why the contact was not changed; null on success")


class BulkOutcome(ApiModel):
    done: int
    outcomes: list[ContactOutcome]


class BoardColumn(ApiModel):
    stage: str
    count: int
    points: int = Field(description="the sum of the scores")
    contacts: list[ContactRow] = Field(description="the fifty with the highest scores")


class Board(ApiModel):
    pipeline: str
    columns: list[BoardColumn]


class TokenInfo(ReportModel):
    """What the platform reports about a token."""

    is_valid: bool
    is_of_page: bool
    expires_at: str | None
    data_access_expires_at: str | None


class AccountHealthInfo(ReportModel):
    """The platform's latest report; null is what it left out."""

    is_well: bool
    problems: tuple[str, ...]
    token: TokenInfo | None
    permissions_granted: tuple[str, ...] | None
    permissions_missing: tuple[str, ...]
    webhooks_subscribed: tuple[str, ...] | None
    webhooks_missing: tuple[str, ...]
    checked_at: str


class AccountInfo(ApiModel):
    """An account without its token."""

    platform: Platform
    account_id: str
    page_id: str
    name: str
    pipeline: str | None
    mode: Mode
    every_seconds: int | None
    timezone: str
    contacts: int
    health: AccountHealthInfo | None = Field(description="null before the first check")


class AccountList(ApiModel):
    accounts: list[AccountInfo]


class RunList(ApiModel):
    runs: list[Run]


class PipelineInfo(ApiModel):
    name: str
    stages: tuple[Stage, ...]
    edition: str = Field(description="identifies this content; send it when you replace the pipeline")


class PipelineList(ApiModel):
    pipelines: list[PipelineInfo]


class OverviewInfo(ApiModel):
    """A value that could not be read is null."""

    contacts: int
    events_a_second: float | None
    lag: int | None
    conversations_due: int | None
    analyses: dict[AnalysisSource, int]
    dead_letters: int | None
    spool: int | None


class LetterInfo(ApiModel):
    """A dead letter without its payload."""

    letter_id: str
    reason: Reason
    detail: str
    where: str
    parked_at: Instant
    size: int = Field(description="in bytes")


class LetterList(ApiModel):
    letters: list[LetterInfo] = Field(description="the newest two hundred")
    found: int


class ReplayOutcome(ApiModel):
    """Ids of dead letters."""

    done: tuple[str, ...]
    stay: tuple[str, ...] = Field(description="still not understood; these stay parked")


class Problem(ApiModel):
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
        is_provisional=row.is_provisional,
        tags=row.tags,
        last_inbound_at=row.last_inbound_at if row.last_inbound_at != NEVER else None,
        last_message_at=row.last_message_at if row.last_message_at != NEVER else None,
    )


def column_json(column: Column) -> BoardColumn:
    contacts = [row_json(row) for row in column.rows]
    return BoardColumn(stage=column.name, count=column.count, points=column.points, contacts=contacts)


def message_json(said: DisplayedMessage) -> MessageInfo:
    return MessageInfo(
        message_id=said.message_id, at=said.at, role="customer" if said.is_customer else "business", text=said.text,
        marks=said.marks, reactions=said.reactions, is_unsent=said.is_unsent, is_edited=said.is_edited,
    )  # fmt: skip


def account_json(account: Account, contacts: int, health: Mapping[str, Any] | None) -> AccountInfo:
    known = account.model_dump(include=set(AccountInfo.model_fields))
    return AccountInfo(**known, contacts=contacts, health=AccountHealthInfo.model_validate(health) if health else None)


def pipeline_json(pipeline: Pipeline) -> PipelineInfo:
    return PipelineInfo(name=pipeline.name, stages=pipeline.stages, edition=pipeline.edition)


def letter_json(letter: DeadLetterSummary) -> LetterInfo:
    return LetterInfo(**{name: getattr(letter, name) for name in LetterInfo.model_fields})
