"""Reads the labels that the people of an account have set. Those of an erased customer are gone with the contact."""

from __future__ import annotations

from services.analyzer.contact.conversation_loader import ConversationLoader
from services.analyzer.conversation import Conversation
from services.analyzer.training.owner_labels import OwnerLabel, owner_labels
from shared.store.contacts import Contacts
from shared.store.mongo import Database
from shared.store.pipelines import PipelineStore


async def load_owner_labels(database: Database, account: str) -> list[OwnerLabel]:
    """Return the labels in the order of the contacts' ids. `account` is `platform:account_id`."""
    pipeline, loader = await PipelineStore(database).of_account(account), ConversationLoader(database)
    found: list[OwnerLabel] = []
    async for contact, corrections in Contacts(database).corrected(account):
        conversation = Conversation(contact.contact_id, contact.platform, contact.account_id, contact.customer_id)
        loaded = await loader.load([conversation], limit=None)
        if loaded:
            found += owner_labels(contact, corrections, loaded[contact.contact_id].messages, pipeline)
    return found
