"""The pipeline of each account's contacts. An account that was never added has the default placement."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from services.analyzer.contact.merge import Placement
from services.analyzer.conversation import Conversation
from shared.domain.accounts import account_key
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
        choices = await self._accounts.pipeline_choices(placements)
        names = {choice.pipeline for choice in choices.values() if choice.pipeline}
        pipelines = await self._pipelines.by_names(names) if names else {}
        for account, choice in choices.items():
            if choice.pipeline in pipelines:
                placements[account] = Placement(pipelines[choice.pipeline], choice.mode)
            elif choice.pipeline:
                log.warning("pipeline_missing", account=account, pipeline=choice.pipeline)
        return placements


def account_of(conversation: Conversation) -> str:
    return account_key(conversation.platform, conversation.account_id)
