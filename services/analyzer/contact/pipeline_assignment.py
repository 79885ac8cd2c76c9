"""What was chosen for each account: its pipeline, name and time zone. One that was never added has the defaults."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, tzinfo

import structlog

from services.analyzer.contact.merge import Placement
from services.analyzer.conversation import Conversation
from shared.domain.accounts import account_key
from shared.runtime.clock import time_zone
from shared.store.accounts import AccountStore
from shared.store.mongo import Database
from shared.store.pipelines import PipelineStore

log = structlog.get_logger()


class PipelineAssignments:
    def __init__(self, database: Database) -> None:
        self._accounts = AccountStore(database)
        self._pipelines = PipelineStore(database)

    async def of(self, conversations: Iterable[Conversation]) -> dict[str, Placement]:
        """Return the placement of each conversation's account, by account key.

        It is read each time, so that what an owner changes counts from the next analysis on.
        """
        placements = {account_of(conversation): Placement() for conversation in conversations}
        choices = await self._accounts.choices(placements)
        names = {choice.pipeline for choice in choices.values() if choice.pipeline}
        pipelines = await self._pipelines.by_names(names) if names else {}
        for account, choice in choices.items():
            pipeline = pipelines.get(choice.pipeline) if choice.pipeline else None
            if choice.pipeline and not pipeline:
                log.warning("pipeline_missing", account=account, pipeline=choice.pipeline)
            placements[account] = Placement(pipeline, choice.mode, choice.name, _zone(account, choice.timezone))
        return placements


def _zone(account: str, name: str) -> tzinfo:
    """Return UTC for a zone that this machine does not know: a contact never waits for it."""
    try:
        return time_zone(name)
    except ValueError:
        log.warning("timezone_unknown", account=account, timezone=name)
        return UTC


def account_of(conversation: Conversation) -> str:
    return account_key(conversation.platform, conversation.account_id)
