"""Which pipeline an account's contacts go through. An account that was never added has the defaults."""

from __future__ import annotations

import structlog

from services.analyzer.conversation import Conversation
from services.analyzer.merge import Placement
from shared.accounts import account_key
from shared.mongo import Database
from shared.pipelines import Mode, Pipeline

log = structlog.get_logger()


class Placements:
    def __init__(self, database: Database) -> None:
        self._accounts = database.accounts
        self._pipelines = database.pipelines

    async def of(self, conversation: Conversation) -> Placement:
        """Read anew each time, so that what an owner changes counts from the next look on. The token is not read."""
        key = account_key(conversation.platform, conversation.account_id)
        account = await self._accounts.find_one({"_id": key}, {"pipeline": True, "mode": True})
        if account is None or not account.get("pipeline"):
            return Placement()
        stored = await self._pipelines.find_one({"_id": account["pipeline"]})
        if stored is None:
            log.warning("pipeline_missing", account=key, pipeline=account["pipeline"])
            return Placement()
        return Placement(Pipeline.model_validate(stored), Mode(account.get("mode", Mode.SKIP_EXISTING)))
