"""Trace one message from its arrival to the published contact, by what the broker and the database hold."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.analyzer.analysis.transcript import build_transcript, fingerprint
from shared.bus.connection import KafkaConnection
from shared.bus.dead_letter_queue import read_dead_letter
from shared.bus.producer import Topics
from shared.bus.reader import PlacedRecord, stream_all, stream_since
from shared.contract.contacts import load_contact_updated
from shared.contract.events import load_event
from shared.contract.ids import Platform, content_hash, message_id
from shared.domain.messages import StoredMessage, message_of
from shared.runtime.clock import Clock
from shared.store.contact_versions import StoredContact
from shared.store.contacts import Contacts
from shared.store.conversations import Conversations
from shared.store.erasures import Erasures
from shared.store.messages import MessageStore
from shared.store.mongo import Database

CLOCK_TOLERANCE = timedelta(minutes=1)
"""The largest difference between the clocks of platform, receiver and broker."""
SEARCHED_PERIOD = timedelta(minutes=15)
"""How far back the topic is searched for a message that is not stored."""

StepFields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """`steps` are (name, fields) in order. `stopped` says why the message was not published, or is empty."""

    message_id: str
    steps: tuple[tuple[str, StepFields], ...]
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class Tracer:
    database: Database
    kafka: KafkaConnection
    topics: Topics
    clock: Clock

    async def trace(self, mid: str) -> list[Trace]:
        """Return one trace for each account with such a message, or one of a message that is not stored."""
        stored = await self._stored(mid)
        if stored:
            return [await self._trace(message) for message in stored]
        return [await self._trace_unstored(mid)]

    async def _stored(self, mid: str) -> list[StoredMessage]:
        return await MessageStore(self.database).by_ids(await self._possible_ids(mid))

    async def _possible_ids(self, mid: str) -> list[str]:
        """Return every id that the message could have, over both platforms and all known accounts."""
        platform, _, rest = mid.partition(":")
        account_id, _, own = rest.partition(":")
        if platform in list(Platform) and own:
            return [message_id(Platform(platform), account_id, own)]
        accounts = await Conversations(self.database).account_ids()
        spellings = {mid, mid.removeprefix("m_"), f"m_{mid.removeprefix('m_')}"}
        return sorted({message_id(p, account, each) for p in Platform for account in accounts for each in spellings})

    async def _trace(self, message: StoredMessage) -> Trace:
        events = [("event", fields) async for fields in self._events(message)]
        steps = [*events, ("stored", stored_fields(message))]
        if message.sent_at is None:
            return Trace(
                message.message_id, tuple(steps), "the message was never seen, only a reaction or its deletion"
            )
        contact = await Contacts(self.database).load(message.conversation)
        stopped = await self._not_analysed(message, contact)
        if stopped or contact is None:
            return Trace(message.message_id, tuple(steps), stopped)
        steps.append(("analysed", contact_fields(contact)))
        published = await self._published(message.conversation, contact)
        if published is None:
            stopped = f"version {contact.version} is not published: {await self._waiting(message.conversation)}"
            return Trace(message.message_id, tuple(steps), stopped)
        steps.append(
            ("published", {"version": contact.version, **record_fields(self.topics.contact_updated, published)})
        )
        return Trace(message.message_id, tuple(steps))

    async def _events(self, message: StoredMessage) -> AsyncIterator[StepFields]:
        """Yield the events about the message that are on the topic, until their retention ends."""
        known = (*message.times.values(), *(r.received_at for r in (message.webhook, message.backfill) if r))
        others = (message.deleted_at, *(reaction.at for reaction in message.reactions.values()))
        since = min(filter(None, (*known, *others)), default=None)
        if since is None:
            return
        key, topic = message.conversation.encode(), self.topics.message_events
        async for placed in stream_since(self.kafka, topic, since - CLOCK_TOLERANCE, key):
            if fields := event_fields(topic, placed, {message.message_id}):
                yield fields

    async def _not_analysed(self, message: StoredMessage, contact: StoredContact | None) -> str:
        """Return why the contact does not include the message yet; empty if its analysis is of what is stored."""
        messages = await MessageStore(self.database).of_conversation(message.conversation)
        transcript = build_transcript(message.platform, messages)
        current = fingerprint(transcript) if transcript else content_hash([])
        analysis = contact.contact.analysis if contact and contact.contact else None
        if analysis and analysis.fingerprint == current:
            return ""
        erased_at = (await Erasures(self.database).of([message.conversation])).get(message.conversation)
        if erased_at and message.sent_at and message.sent_at <= erased_at:
            return f"the customer was erased at {erased_at:%Y-%m-%dT%H:%M:%SZ}"
        return await self._waiting(message.conversation)

    async def _waiting(self, key: str) -> str:
        conversation = await Conversations(self.database).get(key) or {}
        leased_until = conversation.get("lease", {}).get("until")
        if leased_until and leased_until > self.clock():
            return f"a worker analyses the conversation, with a lease until {leased_until:%Y-%m-%dT%H:%M:%SZ}"
        due_at = conversation.get("due_at")
        return f"it waits for its analysis, due at {due_at:%Y-%m-%dT%H:%M:%SZ}" if due_at else "it is not queued"

    async def _published(self, key: str, contact: StoredContact) -> PlacedRecord | None:
        since = contact.contact.updated_at - CLOCK_TOLERANCE if contact.contact else self.clock()
        async with aclosing(stream_since(self.kafka, self.topics.contact_updated, since, key.encode())) as updates:
            async for placed in updates:
                if _version(placed.record.value) == contact.version:
                    return placed
        return None

    async def _trace_unstored(self, mid: str) -> Trace:
        """Return the trace of a message that is not stored: on the topic, parked, or unknown."""
        ids, topic = set(await self._possible_ids(mid)), self.topics.message_events
        found, keys = [], set()
        async for placed in stream_since(self.kafka, topic, self.clock() - SEARCHED_PERIOD):
            if fields := event_fields(topic, placed, ids, spelled=mid):
                found.append(("event", fields))
                keys.add((placed.record.key or b"").decode())
        if keys and await Erasures(self.database).of(keys):
            return Trace(mid, tuple(found), "it is not stored: the customer was erased")
        if found:
            return Trace(mid, tuple(found), "it is on the topic and not stored: no analyzer has read it yet")
        if letter := await self._find_dead_letter(mid):
            return Trace(mid, (), f"it could not be processed and is parked: leadstream dlq show {letter}")
        minutes = int(SEARCHED_PERIOD.total_seconds() // 60)
        return Trace(mid, (), f"nothing is known of it, and it did not arrive in the last {minutes} minutes")

    async def _find_dead_letter(self, mid: str) -> str | None:
        async with aclosing(stream_all(self.kafka, self.topics.dead_letters)) as records:
            async for record in records:
                if (letter := read_dead_letter(record)) and mid.encode() in letter.raw:
                    return letter.letter_id
        return None


def _version(value: bytes) -> int | None:
    """Return the version; None for a tombstone and for a record of another program."""
    try:
        return load_contact_updated(value).version
    except ValueError:
        return None


def event_fields(topic: str, placed: PlacedRecord, ids: set[str], spelled: str = "") -> StepFields | None:
    """Return the fields of an event about one of `ids`, else None. `spelled` is the id where no account is known."""
    try:
        event = load_event(placed.record.value)
    except ValueError:
        return None
    own = message_of(event)
    if own is None or (own not in ids and own.split(":", 2)[-1] != spelled.removeprefix("m_")):
        return None
    headers = dict(placed.record.headers)
    return {
        "event_id": event.event_id,
        "kind": event.kind,
        "source": event.source.value,
        "occurred_at": event.occurred_at,
        "received_at": event.received_at,
        **record_fields(topic, placed),
        "traceparent": headers.get("traceparent", b"").decode() or None,
    }


def record_fields(topic: str, placed: PlacedRecord) -> StepFields:
    return {"topic": topic, "partition": placed.partition, "offset": placed.offset, "at": placed.at}


def stored_fields(message: StoredMessage) -> StepFields:
    received = {r: report.received_at for r in ("webhook", "backfill") if (report := getattr(message, r))}
    return {
        "message_id": message.message_id,
        "conversation": message.conversation,
        "direction": message.direction,
        "sent_at": message.sent_at,
        **{f"received_at_by_{source}": at for source, at in received.items()},
        "edited_at": message.edit.at if message.edit else None,
        "unsent_at": message.deleted_at,
        "text": message.text,
    }


def contact_fields(stored: StoredContact) -> StepFields:
    contact = stored.contact
    analysis = contact.analysis if contact else None
    if contact is None or analysis is None:
        return {"version": stored.version}
    return {
        "contact_id": contact.contact_id,
        "version": contact.version,
        "source": analysis.source,
        "score": analysis.lead_score,
        "status": contact.status,
        "stage": contact.stage.name if contact.stage else None,
        "messages_read": analysis.messages_read,
        "analysed_at": analysis.analysed_at,
    }
