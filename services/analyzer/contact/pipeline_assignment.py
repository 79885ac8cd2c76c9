"""Which pipeline an account's contacts go through. An account that was never added has the defaults."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from services.analyzer.analysis.conversation import Conversation
from services.analyzer.contact.merge import Placement
from shared.domain.accounts import account_key
from shared.domain.pipelines import Mode, Pipeline
from shared.store.mongo import Database

log = structlog.get_logger()

Of = dict[str, Placement]
"""By account key."""


class PipelineAssignments:
    def __init__(self, database: Database) -> None:
        self._accounts = database.accounts
        self._pipelines = database.pipelines

    async def of(self, conversations: Iterable[Conversation]) -> Of:
        """Of each one's account. Read anew each time, so that what an owner changes counts from the next look on. The
        token is not read."""
        placements: Of = {account_of(conversation): Placement() for conversation in conversations}
        asked = {"_id": {"$in": list(placements)}}
        accounts = await self._accounts.find(asked, {"pipeline": True, "mode": True}).to_list(None)
        named = {account["_id"]: account["pipeline"] for account in accounts if account.get("pipeline")}
        pipelines = await self._named(set(named.values())) if named else {}
        for account in accounts:
            key, pipeline = account["_id"], pipelines.get(account.get("pipeline", ""))
            if pipeline:
                placements[key] = Placement(pipeline, Mode(account.get("mode", Mode.SKIP_EXISTING)))
            elif key in named:
                log.warning("pipeline_missing", account=key, pipeline=named[key])
        return placements

    async def _named(self, names: Iterable[str]) -> dict[str, Pipeline]:
        found = self._pipelines.find({"_id": {"$in": list(names)}})
        return {stored["_id"]: Pipeline.model_validate(stored) async for stored in found}


def account_of(conversation: Conversation) -> str:
    return account_key(conversation.platform, conversation.account_id)
