"""The updates of a conversation's document, as expressions for MongoDB; `Timing` applies the quiet time. Pure.

`mark_pending` is an aggregation pipeline, so one update does it. It runs after the batch's messages are written, and
always, even when nothing changed: a crash between the two costs one needless analysis, never a lost due time. `now` is
the server's time, read before, and not `$$NOW`: SecantusDB takes `$$NOW` to be equal to every stored time.
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
from shared.contract.ids import ConversationKey
from shared.store.expressions import later
from shared.store.mongo import Document, UpdateOne

Stages: TypeAlias = list[Document]

DESCRIBED = {
    "listed_at": ("listed_at", "thread_id", "updated_time", "message_count", "participants"),
    "referred_at": ("referred_at", "referral"),
}
"""What a conversation's document says of the customer, by the field that holds when it was said. The backfill's fields
(`history`, `reading`) hold only ids and times, and stay: without them all history would be published again."""


@dataclass(frozen=True, slots=True)
class Timing:
    """A conversation is due `quiet_ms` after its last event, at the latest `max_wait_ms` after its first pending event,
    and not before `hold_ms` after a backfill began to read it, unless the backfill has completed it."""

    quiet_ms: int
    max_wait_ms: int
    hold_ms: int

    def due_stage(self) -> Document:
        """Return the stage that computes `due_at` from the fields that the stages before it have set."""
        quiet = later("$last_event_at", self.quiet_ms)
        latest = later("$first_pending_at", self.max_wait_ms)
        return {"$set": {"due_at": {"$max": [{"$min": [quiet, latest]}, "$held_until"]}}}


def mark_pending(events: Sequence[Event], timing: Timing, now: datetime) -> Stages:
    """Return the upsert of one conversation; `events` are the batch's events about it, in their order."""
    first = events[0]
    return [
        *(_keep_newest(at, fields) for at, fields in map(_description, events) if fields),
        {
            "$set": {
                "platform": {"$literal": first.platform.value},
                "account_id": {"$literal": first.account_id},
                "customer_id": {"$literal": first.customer_id},
            }
        },
        *_hold(events, timing, now),
        *mark_pending_again(timing, now),
    ]


def mark_pending_again(timing: Timing, now: datetime) -> Stages:
    """Return the update of a conversation that exists, for events that do not describe it: the same for all."""
    pending = {
        "revision": {"$add": [{"$ifNull": ["$revision", 0]}, 1]},
        "first_pending_at": {"$ifNull": ["$first_pending_at", now]},
        "last_event_at": now,
    }
    return [{"$set": pending}, timing.due_stage()]


def describes_conversation(event: Event) -> bool:
    """Return whether the event says more of its conversation than that something happened in it."""
    return isinstance(event, ConversationListedEvent | ConversationCompletedEvent | ReferralEvent) or (
        isinstance(event, PostbackEvent) and event.referral is not None
    )


def new_pending(events: Sequence[Event], timing: Timing, now: datetime) -> Document:
    """Return what `mark_pending` makes of a conversation that does not exist, without `_id`.

    An insert costs a fifth of an upsert.
    """
    fields: Document = {}
    for event in events:
        at, described = _description(event)
        is_newer = at not in fields or (described and described[at] >= fields[at])
        fields = {**fields, **described} if is_newer else {**described, **fields}
    if _has_listing(events) and ("completed_at" not in fields or fields["listed_at"] > fields["completed_at"]):
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


def requeue_now(*, reanalyse: bool) -> Stages:
    """Return the update that makes a conversation due now."""
    fields: Document = {
        "revision": {"$add": [{"$ifNull": ["$revision", 0]}, 1]},
        "first_pending_at": {"$ifNull": ["$first_pending_at", "$$NOW"]},
        "due_at": "$$NOW",
    }
    return [{"$set": fields | ({"reanalyse_at": "$$NOW"} if reanalyse else {})}]


def finish_unchanged(*, is_answered: bool) -> Document:
    """Return the update that takes a conversation off the queue. A request to reanalyse stays unless `is_answered`."""
    removed = ("due_at", "first_pending_at", "lease", *(("reanalyse_at",) if is_answered else ()))
    return {"$unset": dict.fromkeys(removed, "")}


def finish_pending(timing: Timing, *, is_answered: bool) -> Stages:
    """Return the update that ends a lease and leaves the conversation pending, for what came since the claim.

    A request to reanalyse stays when it came since the claim, or unless `is_answered`.
    """
    is_over = {"$lte": ["$reanalyse_at", "$lease.since"]}
    asked = {"$set": {"reanalyse_at": {"$cond": [is_over, "$$REMOVE", "$reanalyse_at"]}}}
    return [
        {"$set": {"first_pending_at": "$lease.since"}},
        timing.due_stage(),
        *([asked] if is_answered else []),
        {"$unset": ["lease"]},
    ]


def checkpoint_reading(key: ConversationKey, reading: Document) -> UpdateOne:
    """Return the upsert of how far a backfill has read a conversation."""
    return _backfilled(key, {"$set": {"reading": reading}})


def complete_reading(key: ConversationKey, history: Document) -> UpdateOne:
    """Return the upsert of what a backfill has read in full; `reading` ends."""
    fields = {f"history.{name}": value for name, value in history.items()}
    stamp = {"$currentDate": {"history.completed_at": True}}
    return _backfilled(key, {"$set": fields, "$unset": {"reading": ""}, **stamp})


def _backfilled(key: ConversationKey, update: Document) -> UpdateOne:
    identity = {"platform": key.platform, "account_id": key.account_id, "customer_id": key.customer_id}
    return UpdateOne({"_id": str(key)}, {**update, "$setOnInsert": identity}, upsert=True)


def _description(event: Event) -> tuple[str, Document]:
    """Return what `event` says of the conversation, without what it leaves out, and the name of its time field."""
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


def _keep_newest(at: str, described: Document) -> dict[str, Any]:
    """Set what was described. If it is older than what is stored, set only the missing fields (promises 3, 4)."""
    new = {"$literal": described}
    is_newer = {"$gte": [described[at], f"${at}"]}  # a time is greater than a missing field
    newer, older = {"$mergeObjects": ["$$ROOT", new]}, {"$mergeObjects": [new, "$$ROOT"]}
    return {"$replaceWith": {"$cond": [is_newer, newer, older]}}


def _hold(events: Sequence[Event], timing: Timing, now: datetime) -> Stages:
    """Hold the analysis while a backfill reads the history.

    The start and the end may come in any order and be replayed, so their own times decide which came last.
    """
    if not any(isinstance(event, ConversationListedEvent | ConversationCompletedEvent) for event in events):
        return []
    is_open = {"$gt": ["$listed_at", "$completed_at"]}  # a time is greater than a missing field
    until = now + timedelta(milliseconds=timing.hold_ms) if _has_listing(events) else "$held_until"
    return [{"$set": {"held_until": {"$cond": [is_open, until, "$$REMOVE"]}}}]


def _has_listing(events: Sequence[Event]) -> bool:
    return any(isinstance(event, ConversationListedEvent) for event in events)
