"""The next version of a contact, from what was known of it and what its conversation says now. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.analyzer.analysis.conversation import Conversation
from services.analyzer.contact.contact_details import find_details
from services.analyzer.contact.names import best_name
from shared.contract.contacts import (
    Activity,
    Analysis,
    AnalysisSource,
    Change,
    Contact,
    LeadStatus,
    Name,
    StageRef,
    Verdict,
    changed_fields,
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
"""The verdict where there are messages and none can be read: such a conversation keeps a contact (promise 5), and
nothing of what was unsent stays on it (promise 9)."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an account's contacts go. Without a pipeline they have no stage."""

    pipeline: Pipeline | None = None
    mode: Mode = Mode.SKIP_EXISTING


def next_contact(
    old: Contact | None,
    conversation: Conversation,
    messages: Sequence[StoredMessage],
    analysis: Analysis,
    placement: Placement,
    now: datetime,
    after: int = 0,
) -> Change | None:
    """None when it would say what is known already. What a person edited is kept (promise 10).

    Without `old` its version is the one `after` those that a forgotten contact of this customer had.
    """
    new = _merged(old, conversation, messages, analysis, placement, now, after)
    changed = changed_fields(old, new)
    if not changed:
        return None
    return Change(new, changed, _activity(old, new, analysis, now))


def _merged(
    old: Contact | None,
    conversation: Conversation,
    messages: Sequence[StoredMessage],
    analysis: Analysis,
    placement: Placement,
    now: datetime,
    after: int,
) -> Contact:
    found: dict[str, Any] = {
        "name": _name(old, conversation, messages),
        "analysis": analysis,
        "stage": _stage(old, analysis, placement),
        **_told(messages),
    }
    if old is None:
        return Contact(
            contact_id=conversation.key,
            platform=conversation.platform,
            account_id=conversation.account_id,
            customer_id=conversation.customer_id,
            version=after + 1,
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
    """Asked for only when there is something new to go by: another analysis, or no stage yet."""
    current = old.stage if old else None
    is_settled = old is not None and current is not None and old.analysis == analysis
    if placement.pipeline is None or is_settled:
        return current
    stage = route(placement.pipeline, current, _counting(old, analysis), placement.mode)
    return StageRef(pipeline=placement.pipeline.name, name=stage.name, type=stage.type) if stage else current


def _counting(old: Contact | None, analysis: Analysis) -> Analysis:
    """With the status that counts: a person's, if there is one."""
    return analysis.model_copy(update={"lead_status": old.lead_status}) if old and old.lead_status else analysis


def _told(messages: Sequence[StoredMessage]) -> dict[str, Any]:
    """What the messages that stand (not unsent, and of a known time) tell directly."""
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


def _activity(old: Contact | None, new: Contact, analysis: Analysis, now: datetime) -> Activity | None:
    before = old.stage if old else None
    if new.stage is None or new.stage == before:
        return None
    return Activity(
        activity_id=f"{new.contact_id}#{new.version}",
        contact_id=new.contact_id,
        version=new.version,
        from_stage=before.name if before else None,
        to_stage=new.stage.name,
        reasoning=analysis.reasoning,
        confidence=analysis.confidence,
        score=analysis.lead_score,
        status=new.status,
        source=analysis.source,
        model=analysis.model,
        prompt_version=analysis.prompt_version,
        at=now,
    )
