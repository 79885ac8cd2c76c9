"""Computes the next version of a contact from the stored one and its conversation as it is now. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from services.analyzer.contact.contact_details import find_details
from services.analyzer.contact.names import best_name
from services.analyzer.conversation import Conversation
from shared.contract.contacts import (
    Analysis,
    AnalysisSource,
    Change,
    Contact,
    LeadStatus,
    Name,
    StageRef,
    Verdict,
    changed_fields,
    stage_activity,
)
from shared.contract.events import Direction
from shared.domain.messages import StoredMessage
from shared.domain.pipelines import Mode, Pipeline
from shared.domain.routing import route

NOTHING_LEFT = Verdict(
    summary="Nothing that was said in this conversation is left to read.",
    lead_score=15,
    lead_status=LeadStatus.NEW,
    confidence=50,
    reasoning="None of its messages has a content: they were unsent, or came without one.",
    source=AnalysisSource.FALLBACK,
    model="nothing-to-read",
)
"""The verdict on messages of which none can be read: the conversation keeps its contact (promise 5), and nothing of a
deleted message stays on it (promise 9)."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What was chosen for an account. Without a pipeline its contacts have no stage."""

    pipeline: Pipeline | None = None
    mode: Mode = Mode.SKIP_EXISTING
    account_name: str = ""
    timezone: tzinfo = UTC


def next_contact(
    old: Contact | None,
    conversation: Conversation,
    messages: Sequence[StoredMessage],
    analysis: Analysis,
    placement: Placement,
    now: datetime,
    last_version: int = 0,
) -> Change | None:
    """Return the next version; None when it would equal `old`. Fields that a person edited are kept (promise 10).

    Without `old` the version follows `last_version`, the last one of an erased contact of this customer, or 0.
    """
    new = _merged(old, conversation, messages, analysis, placement, now, last_version)
    changed = changed_fields(old, new)
    if not changed:
        return None
    return Change(new, changed, stage_activity(old, new, analysis))


def _merged(
    old: Contact | None,
    conversation: Conversation,
    messages: Sequence[StoredMessage],
    analysis: Analysis,
    placement: Placement,
    now: datetime,
    last_version: int,
) -> Contact:
    found: dict[str, Any] = {
        "name": _name(old, conversation, messages),
        "analysis": analysis,
        "stage": _stage(old, analysis, placement),
        **_message_facts(messages),
    }
    if old is None:
        return Contact(
            contact_id=conversation.key,
            platform=conversation.platform,
            account_id=conversation.account_id,
            customer_id=conversation.customer_id,
            version=last_version + 1,
            created_at=now,
            updated_at=now,
            **found,
        )
    kept = {name: value for name, value in found.items() if name not in old.edited}
    return old.model_copy(update={**kept, "version": old.version + 1, "updated_at": now})


def _name(old: Contact | None, conversation: Conversation, messages: Sequence[StoredMessage]) -> Name:
    known = old.name if old else None
    return best_name(conversation.platform, conversation.customer_id, messages, conversation.participants, known)


def _stage(old: Contact | None, analysis: Analysis, placement: Placement) -> StageRef | None:
    """Return the stage. The pipeline is asked only when there is another analysis, or no stage yet."""
    current = old.stage if old else None
    is_settled = old is not None and current is not None and old.analysis == analysis
    if placement.pipeline is None or is_settled:
        return current
    is_provisional = old is not None and old.is_provisional
    verdict = _with_counting_status(old, analysis)
    stage = route(placement.pipeline, current, verdict, placement.mode, is_provisional)
    if stage:
        return StageRef(pipeline=placement.pipeline.name, name=stage.name, type=stage.type, set_by=analysis.source)
    return _confirmed(current, analysis) if current and is_provisional else current


def _confirmed(provisional: StageRef, analysis: Analysis) -> StageRef:
    """Return the stage, which an AI that says the same makes final."""
    says_the_same = analysis.lead_status == provisional.type.value
    return provisional.model_copy(update={"set_by": analysis.source}) if says_the_same else provisional


def _with_counting_status(old: Contact | None, analysis: Analysis) -> Analysis:
    """Return the analysis with the status that counts: a person's, if there is one."""
    return analysis.model_copy(update={"lead_status": old.lead_status}) if old and old.lead_status else analysis


def _message_facts(messages: Sequence[StoredMessage]) -> dict[str, Any]:
    """Return the fields that come directly from messages which have a time and are not deleted."""
    standing = [message for message in messages if message.sent_at and message.deleted_at is None]
    inbound = [message for message in standing if message.direction is Direction.INBOUND]
    outbound = [message for message in standing if message.direction is Direction.OUTBOUND]
    details = find_details(message.text for message in inbound if message.text)
    return {
        "emails": details.emails,
        "phones": details.phones,
        "last_inbound_at": max((message.sent_at for message in inbound if message.sent_at), default=None),
        "last_outbound_at": max((message.sent_at for message in outbound if message.sent_at), default=None),
        "messages_inbound": len(inbound),
        "messages_outbound": len(outbound),
    }
