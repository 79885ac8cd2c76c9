"""What a batch leaves on a conversation's document: when it is due, and what was told of it as a whole. Pure.

A mark is an aggregation pipeline, so that one update does it. It is made after the batch's messages are written and
always, even if nothing changed: a crash between the two costs one needless look at the conversation, never a lost due
time. `now` is the server's time, read before and not `$$NOW`, which SecantusDB takes to be equal to every stored time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from shared.contract.events import (
    ConversationCompletedEvent,
    ConversationListedEvent,
    Event,
    PostbackEvent,
    ReferralEvent,
    compact,
)
from shared.store.expressions import later

Document: TypeAlias = dict[str, Any]
Stages: TypeAlias = list[Document]


@dataclass(frozen=True, slots=True)
class Timing:
    """When a conversation is due: `quiet_ms` after its last event, at the latest `max_wait_ms` after the first
    pending one, and not for `hold_ms` after a backfill began to read it, unless that has completed."""

    quiet_ms: int
    max_wait_ms: int
    hold_ms: int

    def due(self) -> dict[str, Any]:
        """The stage that works out `due_at` from the fields that the stages before it have set."""
        quiet = later("$last_event_at", self.quiet_ms)
        latest = later("$first_pending_at", self.max_wait_ms)
        return {"$set": {"due_at": {"$max": [{"$min": [quiet, latest]}, "$held_until"]}}}


def mark(events: Sequence[Event], timing: Timing, now: datetime) -> Stages:
    """For the upsert of one conversation; `events` are those of the batch about it, in their order."""
    first = events[0]
    return [
        *(_newest(told_at, told) for told_at, told in map(_told, events) if told),
        {
            "$set": {
                "platform": {"$literal": first.platform.value},
                "account_id": {"$literal": first.account_id},
                "customer_id": {"$literal": first.customer_id},
            }
        },
        *_hold(events, timing, now),
        *due_anew(timing, now),
    ]


def due_anew(timing: Timing, now: datetime) -> Stages:
    """The mark of a conversation that is there, by events none of which tell of it as a whole: the same for all."""
    pending = {
        "revision": {"$add": [{"$ifNull": ["$revision", 0]}, 1]},
        "first_pending_at": {"$ifNull": ["$first_pending_at", now]},
        "last_event_at": now,
    }
    return [{"$set": pending}, timing.due()]


def tells_of_whole(event: Event) -> bool:
    """Whether it says more of its conversation than that something is new there."""
    return isinstance(event, ConversationListedEvent | ConversationCompletedEvent | ReferralEvent) or (
        isinstance(event, PostbackEvent) and event.referral is not None
    )


def first_mark(events: Sequence[Event], timing: Timing, now: datetime) -> Document:
    """What `mark` makes of a conversation that is not there yet (but `_id`): an insert costs a fifth of an upsert."""
    fields: Document = {}
    for event in events:
        told_at, told = _told(event)
        is_newer = told_at not in fields or (told and told[told_at] >= fields[told_at])
        fields = {**fields, **told} if is_newer else {**told, **fields}
    if _lists(events) and ("completed_at" not in fields or fields["listed_at"] > fields["completed_at"]):
        fields["held_until"] = now + timedelta(milliseconds=timing.hold_ms)
    return fields | {
        "platform": events[0].platform.value,
        "account_id": events[0].account_id,
        "customer_id": events[0].customer_id,
        "revision": 1,
        "first_pending_at": now,
        "last_event_at": now,
        "due_at": max(
            now + timedelta(milliseconds=min(timing.quiet_ms, timing.max_wait_ms)), fields.get("held_until", now)
        ),
    }


def _told(event: Event) -> tuple[str, dict[str, Any]]:
    """What `event` says of the conversation as a whole, without what it leaves out, and the name of its time."""
    if isinstance(event, ConversationListedEvent):
        names_customer = any(p.id == event.customer_id and (p.name or p.username) for p in event.participants)
        participants = [person.model_dump(exclude_none=True) for person in event.participants]
        return "listed_at", compact(
            {
                "listed_at": event.received_at,
                "thread_id": event.thread_id,
                "updated_time": event.updated_time,
                "message_count": event.message_count,
                "participants": participants if names_customer else None,
            }
        )
    if isinstance(event, ConversationCompletedEvent):
        return "completed_at", {"completed_at": event.received_at, "completed_run": event.run_id}
    if isinstance(event, ReferralEvent | PostbackEvent) and event.referral:
        referral = event.referral.model_dump(exclude_none=True)
        return "referred_at", {"referred_at": event.occurred_at, "referral": referral}
    return "", {}


def _newest(told_at: str, told: dict[str, Any]) -> dict[str, Any]:
    """Sets what was told, where it is not older than what is known; else only what is missing (promises 3 and 4)."""
    new = {"$literal": told}
    is_newer = {"$gte": [told[told_at], f"${told_at}"]}  # a time is greater than a field that is missing
    newer, older = {"$mergeObjects": ["$$ROOT", new]}, {"$mergeObjects": [new, "$$ROOT"]}
    return {"$replaceWith": {"$cond": [is_newer, newer, older]}}


def _hold(events: Sequence[Event], timing: Timing, now: datetime) -> Stages:
    """A history that has begun to be read holds the analysis up until it is completed. The two may be told in any order
    and repeated by any replay, so it is their own times that say which came last."""
    if not any(isinstance(event, ConversationListedEvent | ConversationCompletedEvent) for event in events):
        return []
    is_open = {"$gt": ["$listed_at", "$completed_at"]}  # a time is greater than a field that is missing
    until = now + timedelta(milliseconds=timing.hold_ms) if _lists(events) else "$held_until"
    return [{"$set": {"held_until": {"$cond": [is_open, until, "$$REMOVE"]}}}]


def _lists(events: Sequence[Event]) -> bool:
    return any(isinstance(event, ConversationListedEvent) for event in events)
