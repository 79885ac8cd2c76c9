"""A contact with all that its page shows, out of the database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from services.console.transcript import Said, transcript
from shared.accounts import Account, account_key
from shared.contacts import Activity, Contact, Score, activities_of
from shared.conversations import from_document
from shared.mongo import Database
from shared.pipeline_store import PipelineStore
from shared.pipelines import Pipeline

TOGETHER = 500
"""Contacts read by one query, where many are."""


@dataclass(frozen=True, slots=True)
class Whole:
    """`pipeline` is that of the contact's account, `is_due` that an analysis is on its way."""

    contact: Contact
    scores: tuple[Score, ...]
    activities: tuple[Activity, ...]
    messages: tuple[Said, ...]
    account: Account | None
    pipeline: Pipeline | None
    is_due: bool


async def contact_of(database: Database, contact_id: str) -> Contact | None:
    """None where there is none, or it was forgotten."""
    stored = await database.contacts.find_one({"_id": contact_id, "forgotten_at": {"$exists": False}}, {"outbox": 0})
    return Contact.model_validate(stored) if stored else None


async def whole_of(database: Database, contact_id: str) -> Whole | None:
    stored = await database.contacts.find_one({"_id": contact_id, "forgotten_at": {"$exists": False}}, {"outbox": 0})
    if stored is None:
        return None
    contact = Contact.model_validate(stored)
    account = await _account_of(database, contact)
    activities = database.activities.find(activities_of(contact_id)).sort("version", -1)
    conversation = await database.conversations.find_one({"_id": contact_id}, {"due_at": True})
    return Whole(
        contact=contact,
        scores=tuple(Score.model_validate(each) for each in stored.get("scores", ())),
        activities=tuple([Activity.model_validate(each) async for each in activities]),
        messages=tuple(await messages_of(database, contact_id)),
        account=account,
        pipeline=await PipelineStore(database).get(account.pipeline if account else None),
        is_due=bool(conversation and conversation.get("due_at")),
    )


async def messages_of(database: Database, contact_id: str) -> list[Said]:
    found = database.messages.find({"conversation": contact_id})
    return transcript([from_document(stored) async for stored in found])


async def contacts_of(database: Database, contact_ids: Sequence[str]) -> AsyncIterator[Contact]:
    """In the order of `contact_ids`; who is gone by now is left out."""
    for start in range(0, len(contact_ids), TOGETHER):
        ids = list(contact_ids[start : start + TOGETHER])
        asked = {"_id": {"$in": ids}, "forgotten_at": {"$exists": False}}
        found = {each["_id"]: each async for each in database.contacts.find(asked, {"outbox": 0, "scores": 0})}
        for contact_id in ids:
            if contact_id in found:
                yield Contact.model_validate(found[contact_id])


async def _account_of(database: Database, contact: Contact) -> Account | None:
    stored = await database.accounts.find_one({"_id": account_key(contact.platform, contact.account_id)})
    return Account.model_validate(stored) if stored else None
