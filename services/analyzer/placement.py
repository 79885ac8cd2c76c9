"""Which pipeline an account's contacts go through. An account that was never added has the defaults."""

from __future__ import annotations

import time
from collections.abc import Iterable

import structlog

from services.analyzer.conversation import Conversation
from services.analyzer.merge import Placement
from shared.accounts import account_key
from shared.mongo import Database
from shared.pipelines import Mode, Pipeline

REMEMBERED_SECONDS = 0.1
"""Where many groups are read one after the other, each would ask for the same accounts."""

log = structlog.get_logger()

Of = dict[str, Placement]
"""By account key."""


class Placements:
    def __init__(self, database: Database) -> None:
        self._accounts = database.accounts
        self._pipelines = database.pipelines
        self._read: Of = {}
        self._forget_at = 0.0

    async def of(self, conversations: Iterable[Conversation], *, anew: bool = False) -> Of:
        """Of each one's account, at most `REMEMBERED_SECONDS` old: what an owner changes counts from the next look on,
        unless that comes at once. With `anew` it does then as well."""
        keys = {account_of(conversation) for conversation in conversations}
        if anew or time.monotonic() >= self._forget_at:
            self._read, self._forget_at = {}, time.monotonic() + REMEMBERED_SECONDS
        read = self._read
        if missing := keys - read.keys():
            read |= await self._ask(missing)
        return {key: read[key] for key in keys}

    async def _ask(self, keys: Iterable[str]) -> Of:
        """The token is not read."""
        placements: Of = {key: Placement() for key in keys}
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
