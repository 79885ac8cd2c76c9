"""Checks whether an account can be read: its token, the token's permissions and the webhooks of its Page.

Sources: developers.facebook.com/docs/graph-api/reference/debug_token and .../reference/page/subscribed_apps.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import orjson

from services.backfill.accounts.health import AccountHealth, TokenFacts
from services.backfill.accounts.permissions import PERMISSIONS, WEBHOOK_FIELDS
from services.backfill.clients import require_answer
from services.backfill.crawl.values import Json, identity, objects
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.graph_api.client import GraphClient
from shared.graph_api.errors import FATAL, ErrorKind, GraphError
from shared.runtime.clock import Clock

EXPIRY_WARNING = timedelta(days=7)
REFUSALS = FATAL | {ErrorKind.GONE}
"""Refusals that only another token or id can change; all others are temporary."""


class ThrottledError(Exception):
    """The platform throttles calls, and a check does not wait."""


@dataclass(frozen=True, slots=True)
class Checker:
    account: Account
    client: GraphClient
    clock: Clock

    async def check(self, *, subscribe: bool = False) -> AccountHealth:
        """Make the call that a run makes first, then ask for permissions and webhooks unless that call was refused.

        UnreachableError when the platform does not answer at all.
        """
        try:
            refusal = await self._probe()
            token = await self._debug() if refusal is None or refusal.kind is ErrorKind.PERMISSION else None
            if refusal and refusal.kind is not ErrorKind.PERMISSION:
                problem = f"its conversations cannot be listed: {refusal}"
                return AccountHealth(self.account, (problem,), is_refused=refusal.kind in REFUSALS)
            fields = await self._subscribed(subscribe=subscribe)
        except ThrottledError as throttled:
            return AccountHealth(self.account, (str(throttled),))
        return self._judge(refusal, token, fields)

    def _judge(
        self, refusal: GraphError | None, token: TokenFacts | None, fields: list[str] | GraphError
    ) -> AccountHealth:
        needed = PERMISSIONS[self.account.platform]
        missing = tuple(name for name in needed if token and name not in token.scopes)
        unsubscribed = _missing_fields(self.account.platform, fields)
        problems = [
            f"its conversations cannot be listed: {refusal}" if refusal else "",
            *(_token_problems(token, self.clock()) if token else ()),
            f"permissions are missing: {', '.join(missing)}" if missing else "",
            f"its webhooks cannot be checked: {fields}" if isinstance(fields, GraphError) else "",
            f"its webhooks are not subscribed: {', '.join(unsubscribed)}; `--subscribe` subscribes them"
            if unsubscribed
            else "",
        ]
        subscribed = None if isinstance(fields, GraphError) else tuple(fields)
        return AccountHealth(
            self.account, tuple(filter(None, problems)), token, missing, subscribed, unsubscribed, refusal is not None
        )

    async def _probe(self) -> GraphError | None:
        parameters = {"platform": self.account.platform.value, "fields": "id", "limit": "1"}
        answer = await self.client.get(f"{self.account.page_id}/conversations", parameters)
        return require_answer(answer) if isinstance(answer, GraphError) else None

    async def _debug(self) -> TokenFacts | None:
        """Return what the platform says about the token, or `None` when it does not say.

        The call is a batch, because the inspected token is then in the body and not in a URL.
        Source: developers.facebook.com/docs/graph-api/batch-requests.
        """
        part = {"method": "GET", "relative_url": f"debug_token?input_token={quote(self.client.token, safe='')}"}
        answer = await self.client.post("", {}, {"batch": json.dumps([part]), "include_headers": "false"})
        parts = [] if isinstance(answer, GraphError) else objects(answer)
        try:
            data = orjson.loads(parts[0]["body"])["data"]
            return _token(data, self.account)
        except (IndexError, KeyError, TypeError, ValueError):
            return None

    async def _subscribed(self, *, subscribe: bool) -> list[str] | GraphError:
        """Return the webhook fields of the calling app; the platform shows no other app's."""
        edge = f"{self.account.page_id}/subscribed_apps"
        answer = await self.client.get(edge, {})
        if isinstance(answer, GraphError):
            return answer
        fields = [str(field) for app in objects(answer) for field in app.get("subscribed_fields") or ()]
        if subscribe and _missing_fields(self.account.platform, fields):
            wanted = dict.fromkeys((*fields, *WEBHOOK_FIELDS))
            answer = await self.client.post(edge, {"subscribed_fields": ",".join(wanted)})
            return answer if isinstance(answer, GraphError) else await self._subscribed(subscribe=False)
        return fields


def _missing_fields(platform: Platform, fields: list[str] | GraphError) -> tuple[str, ...]:
    if isinstance(fields, GraphError) or (fields and platform is Platform.INSTAGRAM):
        return ()
    return tuple(name for name in WEBHOOK_FIELDS if name not in fields)


def _token(data: Json, account: Account) -> TokenFacts:
    return TokenFacts(
        scopes=tuple(map(str, data["scopes"])),
        is_valid=data["is_valid"] is True,
        is_of_page=data["type"] == "PAGE" and identity(data.get("profile_id")) in (None, account.page_id),
        expires_at=_instant(data.get("expires_at")),
        data_access_expires_at=_instant(data.get("data_access_expires_at")),
    )


def _instant(value: object) -> datetime | None:
    """Convert seconds since 1970; 0 means never."""
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int) and value > 0 else None


def _token_problems(token: TokenFacts, now: datetime) -> list[str]:
    problems = [] if token.is_valid else ["the token is not valid; connect the account again"]
    if not token.is_of_page:
        problems.append("the token is not the Page's own; `accounts import` gets that")
    for what, at in (("the token", token.expires_at), ("data access", token.data_access_expires_at)):
        if at and at - now < EXPIRY_WARNING:
            ends = "has ended" if at <= now else f"ends {at:%Y-%m-%d}"
            problems.append(f"{what} {ends}; connect the account again")
    return problems


def refusing(seconds: float) -> None:
    """Raise ThrottledError: a check does not wait."""
    raise ThrottledError(f"the platform makes calls wait for another {seconds:.0f} s; check again then")
