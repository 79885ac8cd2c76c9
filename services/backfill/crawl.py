"""One account's conversations, listed and each read to its beginning, onto the topic page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import structlog

from services.backfill.history import HistoryStore
from services.backfill.listing import LISTING_FIELDS, Listed, read_listed
from services.backfill.normalise import MESSAGE_FIELDS, Reading
from services.backfill.tally import Tally
from shared.accounts import Account
from shared.clock import Clock
from shared.drafts import Draft
from shared.graph import GraphClient
from shared.graph_errors import FATAL, GraphError

PublishDrafts = Callable[[Sequence[Draft]], Awaitable[None]]
"""Returns when all of the events are acknowledged."""

log = structlog.get_logger()


class AccountStoppedError(Exception):
    """No further call for this account can succeed; the message says what the operator must do."""


@dataclass(slots=True)
class Crawl:
    """Reads one account; `tally` is its progress."""

    account: Account
    client: GraphClient
    history: HistoryStore
    publish: PublishDrafts
    clock: Clock
    page_size: int
    parallelism: int
    tally: Tally

    async def read(self, run_id: str) -> None:
        """Reads everything. AccountStoppedError when no further call can succeed.

        The lister feeds readers by a short queue, so that memory does not grow with the account.
        """
        queue: asyncio.Queue[Reading | None] = asyncio.Queue(self.parallelism * 2)
        try:
            async with asyncio.TaskGroup() as group:
                readers = [group.create_task(self._read_all(queue)) for _ in range(self.parallelism)]
                await self._list(run_id, queue)
                for _ in readers:
                    await queue.put(None)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _list(self, run_id: str, queue: asyncio.Queue[Reading | None]) -> None:
        edge = f"{self.account.page_id}/conversations"
        parameters = {"platform": self.account.platform.value, "fields": LISTING_FIELDS}
        async for page in self.client.pages(edge, self.page_size, parameters):
            if isinstance(page, GraphError):
                raise AccountStoppedError(f"the conversations could not be listed: {page}")
            for item in page.items:
                self.tally.add(conversations_listed=1)
                listed = read_listed(item, self.account)
                if isinstance(listed, Listed):
                    await queue.put(Reading(self.account, listed, run_id))
                else:
                    self.tally.fail(str(item.get("id", "unknown")), listed)
        self.tally.listing_is_complete = True

    async def _read_all(self, queue: asyncio.Queue[Reading | None]) -> None:
        while (reading := await queue.get()) is not None:
            known, updated_time = await self.history.history(reading.key), reading.listed.updated_time
            if known is None or updated_time is None or known.updated_time != updated_time:
                await self._read(reading)
            elif known.run_id == reading.run_id:
                self.tally.add(conversations_read=1)
            else:
                self.tally.add(conversations_unchanged=1)

    async def _read(self, reading: Reading) -> None:
        await self.publish([reading.listed_draft(self.clock())])
        read = unavailable = 0
        edge = f"{quote(reading.listed.thread_id, safe='')}/messages"
        async for page in self.client.pages(edge, self.page_size, {"fields": MESSAGE_FIELDS}):
            if isinstance(page, GraphError):
                if page.kind in FATAL:
                    raise AccountStoppedError(str(page))
                self.tally.fail(reading.listed.thread_id, str(page))
                return
            now = self.clock()
            events = [draft for item in page.items if (draft := reading.message_draft(item, now))]
            await self.publish(events)
            read, unavailable = read + len(events), unavailable + len(page.items) - len(events)
            self.tally.add(messages_published=len(events), messages_unavailable=len(page.items) - len(events))
        await self.publish([reading.completed_draft(read, unavailable, self.clock())])
        await self.history.remember(reading, read, unavailable)
        self.tally.add(conversations_read=1)
        log.debug("conversation_read", conversation=str(reading.key), messages=read, unavailable=unavailable)
