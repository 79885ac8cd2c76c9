"""One message from its arrival to the contact that tells of it, as servers remember it: ids, places and times."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from services.analyzer.analysis.transcript import build_transcript, fingerprint
from shared.bus.dead_letter_queue import read_dead_letter
from shared.bus.producer import Topics
from shared.bus.reader import PlacedRecord, stream_all, stream_since
from shared.contract.contacts import load_contact_updated
from shared.contract.events import load_event
from shared.contract.ids import Platform, content_hash, message_id
from shared.domain.messages import StoredMessage, from_document, message_of
from shared.runtime.clock import Clock
from shared.store.contact_versions import StoredContact
from shared.store.contacts import Contacts
from shared.store.erasures import Erasures
from shared.store.mongo import Database

MARGIN = timedelta(minutes=1)
"""By how much the clocks of platform, receiver and broker may disagree."""
RECENT = timedelta(minutes=15)
"""How far back the topic is searched for what is not in the store."""

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trace:
    """`steps` are (name, facts) in their order. `stopped` says why it has not got through, or is empty."""

    message_id: str
    steps: tuple[tuple[str, Facts], ...]
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class Tracer:
    database: Database
    kafka: str
    topics: Topics
    clock: Clock

    async def trace(self, mid: str) -> list[Trace]:
        """One for each account that has such a message, or one that tells how far it is from being stored."""
        stored = await self._stored(mid)
        if stored:
            return [await self._trace(message) for message in stored]
        return [await self._missing(mid)]

    async def _stored(self, mid: str) -> list[StoredMessage]:
        found = self.database.messages.find({"_id": {"$in": await self._ids(mid)}}).sort("_id", 1)
        return [from_document(each) async for each in found]

    async def _ids(self, mid: str) -> list[str]:
        """Every id that it could have: a platform is told by nothing, an account by the conversations."""
        platform, _, rest = mid.partition(":")
        account_id, _, own = rest.partition(":")
        if platform in list(Platform) and own:
            return [message_id(Platform(platform), account_id, own)]
        accounts = await self.database.conversations.distinct("account_id")
        spellings = {mid, mid.removeprefix("m_"), f"m_{mid.removeprefix('m_')}"}
        return sorted({message_id(p, account, each) for p in Platform for account in accounts for each in spellings})

    async def _trace(self, message: StoredMessage) -> Trace:
        events = [("event", facts) async for facts in self._events(message)]
        steps = [*events, ("stored", stored_facts(message))]
        if message.sent_at is None:
            return Trace(message.message_id, tuple(steps), "it was never seen: only that it was reacted to or unsent")
        contact = await Contacts(self.database).load(message.conversation)
        why = await self._not_analysed(message, contact)
        if why or contact is None:
            return Trace(message.message_id, tuple(steps), why)
        steps.append(("analysed", contact_facts(contact)))
        published = await self._published(message.conversation, contact)
        if published is None:
            why = f"version {contact.version} is not published: {await self._waiting(message.conversation)}"
            return Trace(message.message_id, tuple(steps), why)
        steps.append(("published", {"version": contact.version, **place(self.topics.contact_updated, published)}))
        return Trace(message.message_id, tuple(steps))

    async def _events(self, message: StoredMessage) -> AsyncIterator[Facts]:
        """What is on the topic about it; after its retention, nothing is."""
        known = (*message.times.values(), *(r.received_at for r in (message.webhook, message.backfill) if r))
        others = (message.deleted_at, *(reaction.at for reaction in message.reactions.values()))
        since = min(filter(None, (*known, *others)), default=None)
        if since is None:
            return
        key, topic = message.conversation.encode(), self.topics.message_events
        async for placed in stream_since(self.kafka, topic, since - MARGIN, key):
            if facts := event_facts(topic, placed, {message.message_id}):
                yield facts

    async def _not_analysed(self, message: StoredMessage, contact: StoredContact | None) -> str:
        """Why the contact does not say it yet; empty when its analysis is of what is stored now."""
        found = self.database.messages.find({"conversation": message.conversation})
        transcript = build_transcript(message.platform, [from_document(each) async for each in found])
        current = fingerprint(transcript) if transcript else content_hash([])
        analysis = contact.contact.analysis if contact and contact.contact else None
        if analysis and analysis.fingerprint == current:
            return ""
        forgotten_at = (await Erasures(self.database).of([message.conversation])).get(message.conversation)
        if forgotten_at and message.sent_at and message.sent_at <= forgotten_at:
            return f"the customer was forgotten at {forgotten_at:%Y-%m-%dT%H:%M:%SZ}"
        return await self._waiting(message.conversation)

    async def _waiting(self, key: str) -> str:
        conversation = await self.database.conversations.find_one({"_id": key}) or {}
        lease = conversation.get("lease", {}).get("until")
        if lease and lease > self.clock():
            return f"a worker is at the conversation, with a lease until {lease:%Y-%m-%dT%H:%M:%SZ}"
        due_at = conversation.get("due_at")
        return f"it waits for its analysis, due at {due_at:%Y-%m-%dT%H:%M:%SZ}" if due_at else "it is not queued"

    async def _published(self, key: str, contact: StoredContact) -> PlacedRecord | None:
        since = contact.contact.updated_at - MARGIN if contact.contact else self.clock()
        async with aclosing(stream_since(self.kafka, self.topics.contact_updated, since, key.encode())) as updates:
            async for placed in updates:
                if _version(placed.record.value) == contact.version:
                    return placed
        return None

    async def _missing(self, mid: str) -> Trace:
        """It is on the topic, or parked, or was never heard of."""
        ids, topic = set(await self._ids(mid)), self.topics.message_events
        found, keys = [], set()
        async for placed in stream_since(self.kafka, topic, self.clock() - RECENT):
            if facts := event_facts(topic, placed, ids, spelled=mid):
                found.append(("event", facts))
                keys.add((placed.record.key or b"").decode())
        if keys and await Erasures(self.database).of(keys):
            return Trace(mid, tuple(found), "it is not stored: the customer was forgotten")
        if found:
            return Trace(mid, tuple(found), "it is on the topic and not in the store: no analyzer has taken it yet")
        if letter := await self._letter(mid):
            return Trace(mid, (), f"it could not be understood and is parked: leadstream dlq show {letter}")
        minutes = int(RECENT.total_seconds() // 60)
        return Trace(mid, (), f"nothing is known of it, and it did not come in the last {minutes} minutes")

    async def _letter(self, mid: str) -> str | None:
        async with aclosing(stream_all(self.kafka, self.topics.dead_letters)) as records:
            async for record in records:
                if (letter := read_dead_letter(record)) and mid.encode() in letter.raw:
                    return letter.letter_id
        return None


def _version(value: bytes) -> int | None:
    """None for a tombstone, and for what somebody else has put there."""
    try:
        return load_contact_updated(value).version
    except ValueError:
        return None


def event_facts(topic: str, placed: PlacedRecord, ids: set[str], spelled: str = "") -> Facts | None:
    """None for what is about another message, or is no event. `spelled` is its id where no account is known."""
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
        **place(topic, placed),
        "traceparent": headers.get("traceparent", b"").decode() or None,
    }


def place(topic: str, placed: PlacedRecord) -> Facts:
    return {"topic": topic, "partition": placed.partition, "offset": placed.offset, "at": placed.at}


def stored_facts(message: StoredMessage) -> Facts:
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


def contact_facts(stored: StoredContact) -> Facts:
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
