"""Compares the messages that the platform has of each conversation with those that are stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import quote

from services.backfill.clients import require_answer
from services.backfill.crawl.checkpoints import CheckpointStore
from services.backfill.crawl.conversation_lister import ConversationLister, UnlistableConversation
from services.backfill.crawl.crawl import MESSAGE_DELETED
from services.backfill.crawl.parse_listing import Listed, read_listed
from services.backfill.crawl.values import Json, identity, read_time
from shared.contract.ids import ConversationKey, message_id
from shared.domain.accounts import Account
from shared.graph_api.client import GraphClient
from shared.graph_api.errors import FATAL, ErrorKind, GraphError
from shared.graph_api.rate_governor import Sleep
from shared.runtime.clock import Clock, utc_now
from shared.store.erasures import Erasures
from shared.store.messages import MessageStore
from shared.store.mongo import Database

COUNTED_FIELDS = "id,created_time,from"
RECENT, SETTLE_SECONDS = timedelta(minutes=1), 5.0
"""Recent messages may still be in flight through the topic: such a conversation is compared again."""
CountedBy = Literal["listing", "pages"]


@dataclass(frozen=True, slots=True)
class Compared:
    """One compared conversation, in numbers of messages.

    `listed` is what the platform has, by its listing or by counting its pages. Of those, `unavailable` are not stored
    because the platform did not show them when they were read; `missing` are not stored although it did.
    """

    key: ConversationKey
    name: str | None
    listed: int
    counted_by: CountedBy
    stored: int
    unavailable: int
    missing: int


@dataclass(frozen=True, slots=True)
class Uncompared:
    """A conversation, or with `None` the rest of the account, that could not be compared."""

    thread_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Compares one account; writes nothing.

    `by_ids` counts the pages of every conversation, otherwise only of those whose numbers do not add up. Messages that
    the platform no longer has can hide a hole from a number.
    """

    account: Account
    client: GraphClient
    database: Database
    page_size: int
    by_ids: bool = False
    clock: Clock = utc_now
    sleep: Sleep = asyncio.sleep

    async def compare(self) -> AsyncGenerator[Compared | Uncompared, None]:
        """Yield one result for each conversation. UnreachableError when the platform does not answer at all.

        Conversations that are gone from the platform are left out. Messages from before the erasure of their customer
        are missing on purpose and not counted.
        """
        async with aclosing(ConversationLister(self.client, self.account, self.page_size).pages()) as pages:
            async for page in pages:
                if isinstance(page, list):
                    async for compared in self._compare_page(page):
                        yield compared
                        if isinstance(compared, Uncompared) and compared.thread_id is None:
                            return
                elif isinstance(page, UnlistableConversation):
                    yield Uncompared(page.thread_id, str(page.refusal))
                else:
                    yield Uncompared(None, f"the conversations could not be listed: {require_answer(page)}")

    async def _compare_page(self, items: Sequence[Json]) -> AsyncIterator[Compared | Uncompared]:
        read = [(item, read_listed(item, self.account)) for item in items]
        listed = [each for _, each in read if isinstance(each, Listed)]
        stored = await MessageStore(self.database).count_standing([str(self._key(each)) for each in listed])
        known = await CheckpointStore(self.database).known([self._key(each) for each in listed])
        erased_customers = await Erasures(self.database).of(str(self._key(each)) for each in listed)
        for item, each in read:
            if isinstance(each, str):
                yield Uncompared(identity(item.get("id")) or "unknown", each)
                continue
            key = self._key(each)
            history = known[key].history if key in known else None
            unavailable = history.unavailable if history else 0
            erased_at = erased_customers.get(str(key))
            by_number = None if erased_at else self._by_number(each, stored.get(str(key), 0), unavailable)
            if compared := by_number or await self._settled(each, unavailable, erased_at):
                yield compared

    def _by_number(self, listed: Listed, stored: int, unavailable: int) -> Compared | None:
        """Compare by the listing's number; `None` when that is not conclusive."""
        count = listed.message_count
        if self.by_ids or count is None or count > stored + unavailable:
            return None
        hidden = min(unavailable, max(0, count - stored))
        return Compared(self._key(listed), _name(listed), count, "listing", stored, hidden, 0)

    async def _settled(
        self, listed: Listed, unavailable: int, erased_at: datetime | None
    ) -> Compared | Uncompared | None:
        compared, moved_at = await self._by_pages(listed, unavailable, erased_at), listed.updated_time
        if isinstance(compared, Compared) and compared.missing and moved_at and self.clock() - moved_at < RECENT:
            await self.sleep(SETTLE_SECONDS)
            return await self._by_pages(listed, unavailable, erased_at)
        return compared

    async def _by_pages(
        self, listed: Listed, unavailable: int, erased_at: datetime | None
    ) -> Compared | Uncompared | None:
        count = stored = hidden = missing = 0
        edge = f"{quote(listed.thread_id, safe='')}/messages"
        async with aclosing(self.client.pages(edge, self.page_size, {"fields": COUNTED_FIELDS})) as pages:
            async for page in pages:
                if isinstance(page, GraphError):
                    return _uncompared(listed, page)
                items = [item for item in page.items if not _is_erased(erased_at, item)]
                there = await MessageStore(self.database).sent_ids([self._id(item) for item in items])
                absent = [item for item in items if self._id(item) not in there]
                shown = sum(map(_is_shown, absent))
                count, stored = count + len(items), stored + len(items) - len(absent)
                missing, hidden = missing + shown, hidden + len(absent) - shown
        missing, hidden = missing + max(0, hidden - unavailable), min(hidden, unavailable)
        return Compared(self._key(listed), _name(listed), count, "pages", stored, hidden, missing)

    def _id(self, item: Json) -> str:
        return message_id(self.account.platform, self.account.account_id, identity(item.get("id")) or "")

    def _key(self, listed: Listed) -> ConversationKey:
        return ConversationKey(self.account.platform, self.account.account_id, listed.customer.id)


def _name(listed: Listed) -> str | None:
    return listed.customer.name or listed.customer.username


def _is_erased(at: datetime | None, item: Json) -> bool:
    said_at = read_time(item.get("created_time"))
    return at is not None and said_at is not None and said_at <= at


def _is_shown(item: Json) -> bool:
    """Whether the backfill makes an event of it (`RunConversation.message_event`)."""
    sender = item.get("from")
    has_sender = isinstance(sender, dict) and identity(sender.get("id")) is not None
    return has_sender and identity(item.get("id")) is not None and read_time(item.get("created_time")) is not None


def _uncompared(listed: Listed, refusal: GraphError) -> Uncompared | None:
    if refusal.kind is ErrorKind.GONE and refusal.subcode != MESSAGE_DELETED:
        return None
    return Uncompared(None if refusal.kind in FATAL else listed.thread_id, str(require_answer(refusal)))
