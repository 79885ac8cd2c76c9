"""Builders of events for tests, with few arguments and defaults for the rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from services.receiver.parse.normalise_webhook import normalise
from shared.contract.encoded_events import dump_encoded_event
from shared.contract.events import (
    ConversationCompletedEvent,
    ConversationListedEvent,
    DeletionEvent,
    Direction,
    Event,
    MessageEvent,
    Participant,
    ReactionEvent,
    Source,
    load_event,
)
from shared.contract.ids import ConversationKey, Platform, event_id, message_id

EPOCH = datetime(2026, 11, 24, 9, tzinfo=UTC)
MARIA = ConversationKey(Platform.MESSENGER, "371", "8130000000654321")


def events_in(body: bytes, received_at: datetime = EPOCH) -> list[Event]:
    """Return the events that a reader of the topic gets from a webhook's body."""
    return [load_event(dump_encoded_event(draft)) for draft in normalise(body, received_at).events]


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def said(text: str | None, seconds: float, *, mid: str = "", who: ConversationKey = MARIA, **more: Any) -> MessageEvent:
    mid = mid or f"m_{seconds}"
    fields = {"direction": Direction.INBOUND, "source": Source.WEBHOOK, "received_at": at(seconds + 1), **more}
    return MessageEvent(text=text, occurred_at=at(seconds), **_of(who, "message", mid), **fields)


def answered(text: str, seconds: float, **more: Any) -> MessageEvent:
    return said(text, seconds, direction=Direction.OUTBOUND, **more)


def unsent(mid: str, seconds: float, who: ConversationKey = MARIA) -> DeletionEvent:
    return DeletionEvent(direction=Direction.INBOUND, **_times(seconds, Source.WEBHOOK), **_of(who, "deletion", mid))


def reacted(mid: str, seconds: float, who: ConversationKey = MARIA) -> ReactionEvent:
    times = _times(seconds, Source.WEBHOOK)
    return ReactionEvent(direction=Direction.INBOUND, action="react", emoji="❤", **times, **_of(who, "reaction", mid))


def listed(
    seconds: float, *, name: str | None = None, who: ConversationKey = MARIA, run: str = "run"
) -> ConversationListedEvent:
    participants = (Participant(id=who.customer_id, name=name), Participant(id=who.account_id, name="The Page"))
    return ConversationListedEvent(
        thread_id="t_1", message_count=3, participants=participants, **_whole(seconds, who, "conversation_listed", run)
    )


def completed(seconds: float, *, who: ConversationKey = MARIA, run: str = "run") -> ConversationCompletedEvent:
    return ConversationCompletedEvent(
        thread_id="t_1", messages_read=3, **_whole(seconds, who, "conversation_completed", run)
    )


def _whole(seconds: float, who: ConversationKey, kind: str, run: str) -> dict[str, Any]:
    times = _times(seconds, Source.BACKFILL)
    return {
        "event_id": event_id(kind, who, run),
        "run_id": run,
        "direction": Direction.INBOUND,
        **times,
        **_key(who),
    }


def _times(seconds: float, source: Source) -> dict[str, Any]:
    return {"occurred_at": at(seconds), "received_at": at(seconds + 1), "source": source}


def _of(who: ConversationKey, kind: str, mid: str) -> dict[str, Any]:
    message = message_id(who.platform, who.account_id, mid)
    return {"event_id": event_id(kind, message), "message_id": message, "mid": mid, **_key(who)}


def _key(who: ConversationKey) -> dict[str, Any]:
    return {"platform": who.platform, "account_id": who.account_id, "customer_id": who.customer_id}
