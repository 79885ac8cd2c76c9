"""Lists an account's conversations page by page, across expired cursors and pages that cannot be read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from services.backfill.crawl.conversation_reader import RestartLimit, is_expired
from services.backfill.crawl.parse_listing import LISTING_FIELDS
from services.backfill.crawl.values import Json, identity, read_time
from shared.domain.accounts import Account
from shared.graph_api.client import GraphClient, GraphPage, read_page
from shared.graph_api.errors import ErrorKind, GraphError


@dataclass(frozen=True, slots=True)
class UnlistableConversation:
    """A conversation that the platform refuses to list, because it alone is too much data."""

    thread_id: str
    updated_time: datetime | None
    refusal: GraphError


@dataclass(slots=True)
class ListingPosition:
    """How far a listing has come: to a time, and which conversations of that time were listed."""

    at: datetime | None = None
    ids: set[str | None] = field(default_factory=set)

    def advance(self, items: Sequence[Json]) -> None:
        for item in items:
            at = read_time(item.get("updated_time"))
            if at != self.at:
                self.at, self.ids = at, set()
            self.ids.add(identity(item.get("id")))

    def has_passed(self, item: Json) -> bool:
        """Whether the listing had come past `item`, or it has moved to the front since then, before the restart."""
        at = read_time(item.get("updated_time"))
        if self.at is None or at is None:
            return self.at is not None
        return at > self.at or (at == self.at and identity(item.get("id")) in self.ids)


@dataclass(slots=True)
class ConversationLister:
    client: GraphClient
    account: Account
    page_size: int
    is_complete: bool = False  # once the last page was yielded
    _position: ListingPosition = field(default_factory=ListingPosition)
    _restarts: RestartLimit = field(default_factory=RestartLimit)
    _has_restarted: bool = False
    _listed: int = 0

    async def pages(self) -> AsyncGenerator[list[Json] | UnlistableConversation | GraphError, None]:
        """Yield pages, latest activity first. A refusal is the last item; an empty page is not the end.

        When a cursor has expired, the listing restarts at the top and leaves out what was listed before.
        """
        following: dict[str, str] | None = {}
        while following is not None:
            step: GraphPage | UnlistableConversation | GraphError | None = None
            async with aclosing(self._from(following)) as pages:
                async for step in pages:
                    if isinstance(step, GraphPage):
                        following = step.following
                        self.is_complete = following is None
                        yield self._not_yet_listed(step.items)
            if not isinstance(step, GraphError):
                return
            if is_expired(step, following) and self._restarts.allows(self._listed):
                self._has_restarted, following = True, {}
            elif step.kind is ErrorKind.REDUCE_DATA:
                parked, following = await self._park(following or {}, step)
                yield parked
            else:
                yield step
                return

    def _from(self, following: dict[str, str]) -> AsyncGenerator[GraphPage | GraphError, None]:
        return self.client.pages(self._edge, self.page_size, {**self._parameters(LISTING_FIELDS), **following})

    async def _park(
        self, following: dict[str, str], refusal: GraphError
    ) -> tuple[UnlistableConversation | GraphError, dict[str, str] | None]:
        """Return the conversation that breaks the page, asked for by id alone, and the parameters of the next page."""
        answer = await self.client.get(self._edge, {**self._parameters("id,updated_time"), **following, "limit": "1"})
        page = answer if isinstance(answer, GraphError) else read_page(answer)
        if isinstance(page, GraphError):
            return page, None
        self._position.advance(page.items)
        item = page.items[0] if page.items else {}
        parked = UnlistableConversation(
            identity(item.get("id")) or "unknown", read_time(item.get("updated_time")), refusal
        )
        return parked, page.following

    def _not_yet_listed(self, items: list[Json]) -> list[Json]:
        new = [item for item in items if not (self._has_restarted and self._position.has_passed(item))]
        self._position.advance(new)
        self._listed += len(new)
        return new

    def _parameters(self, fields: str) -> dict[str, str]:
        return {"platform": self.account.platform.value, "fields": fields}

    @property
    def _edge(self) -> str:
        return f"{self.account.page_id}/conversations"
