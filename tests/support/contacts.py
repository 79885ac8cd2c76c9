"""Contacts as the analyzer would have left them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.analyzer.contact.merge import Placement, next_contact
from services.analyzer.conversation import Conversation
from shared.contract.contacts import Analysis, AnalysisSource, Change, Contact, LeadStatus
from shared.contract.events import Event
from shared.contract.ids import ConversationKey
from shared.domain.accounts import Account
from shared.domain.messages import fold_all
from shared.domain.pipelines import Mode, template
from shared.store.contact_versions import VersionWrite
from shared.store.contacts import Contacts
from shared.store.mongo import Database, Document
from tests.support.making import EPOCH, MARIA, at, said

SALES = template("Sales")


def analysis(score: int = 60, status: LeadStatus = LeadStatus.QUALIFIED, **more: object) -> Analysis:
    said_of_it = {"summary": "s", "reasoning": "because", "confidence": 80, "messages_read": 1}
    fields = {"source": AnalysisSource.AI, "fingerprint": f"of {score} {status}", "analysed_at": EPOCH, **more}
    return Analysis.model_validate({**said_of_it, **fields, "lead_score": score, "lead_status": status})


def contact(
    who: ConversationKey = MARIA, events: Sequence[Event] = (), verdict: Analysis | None = None, staged: bool = True
) -> Contact:
    """Its first version, of one message where no others are given."""
    messages = list(fold_all(events or [said("How much?", 1, who=who)]).values())
    placement = Placement(SALES, Mode.UPDATE_EXISTING) if staged else Placement()
    change = next_contact(None, Conversation(str(who), *who), messages, verdict or analysis(), placement, at(100))
    assert change is not None
    return change.contact


async def put(database: Database, *contacts: Contact) -> None:
    """With their conversations, on which nothing is to be done; all is published."""
    for each in contacts:
        identity = {"platform": each.platform, "account_id": each.account_id, "customer_id": each.customer_id}
        await database.conversations.insert_one({"_id": each.contact_id, **identity, "revision": 1, "fence": 1})
    await Contacts(database).write_all([VersionWrite(Change(each, (), None), 0, 1) for each in contacts])


async def published_contact(database: Database, **wanted: Any) -> Document | None:
    """A contact with these fields, once its version is published and nobody is at its conversation."""
    found: Document | None = await database.contacts.find_one({**wanted, "outbox": []})
    if found is None or await database.conversations.find_one({"_id": found["_id"], "lease": {"$exists": True}}):
        return None
    return found


async def put_account(database: Database, who: ConversationKey = MARIA, token: str = "x") -> Account:
    """In the Sales pipeline, which `setup` has made."""
    account = Account(
        platform=who.platform, account_id=who.account_id, page_id=who.account_id, name="The Page",
        encrypted_token=token, pipeline="Sales", mode=Mode.UPDATE_EXISTING,
    )  # fmt: skip
    await database.accounts.insert_one({"_id": account.key, **account.model_dump(mode="json")})
    return account
