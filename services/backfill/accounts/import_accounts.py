"""Finds the Pages that a token gives access to, each with its own token and its Instagram account.

Source: developers.facebook.com/docs/graph-api/reference/user/accounts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from services.backfill.accounts.permissions import PERMISSIONS
from services.backfill.crawl.values import Json, identity, text
from shared.contract.ids import Platform, is_usable_id
from shared.domain.accounts import Account, account_key
from shared.graph_api.client import GraphClient
from shared.graph_api.errors import ErrorKind, GraphError
from shared.runtime.crypto import TokenVault

PAGE_FIELDS = "id,name,instagram_business_account{id,username,name}"
PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class FoundAccount:
    """An account that the token can read, with the token of its Page."""

    platform: Platform
    account_id: str
    page_id: str
    name: str
    token: str = field(repr=False)

    @property
    def key(self) -> str:
        return account_key(self.platform, self.account_id)


async def find_accounts(client: GraphClient) -> list[FoundAccount] | GraphError:
    """Return the accounts of a user's token; for a Page's own token, which has no `accounts` edge, only that Page."""
    found: list[FoundAccount] = []
    parameters = {"fields": f"{PAGE_FIELDS},access_token"}
    async for page in client.pages("me/accounts", PAGE_SIZE, parameters):
        if isinstance(page, GraphError):
            return await _find_page(client) if page.kind is ErrorKind.BAD_REQUEST else page
        for item in page.items:
            found.extend(_read(item, text(item.get("access_token"))))
    return found


async def _find_page(client: GraphClient) -> list[FoundAccount] | GraphError:
    item = await client.get("me", {"fields": PAGE_FIELDS})
    return item if isinstance(item, GraphError) else list(_read(item, client.token))


def _read(item: Json, token: str | None) -> Iterator[FoundAccount]:
    """Yield nothing for a Page whose token the user may not have: the platform sends none then."""
    page_id = identity(item.get("id"))
    if not token or not page_id or not is_usable_id(page_id):
        return
    yield FoundAccount(Platform.MESSENGER, page_id, page_id, text(item.get("name")) or page_id, token)
    instagram = item.get("instagram_business_account")
    account_id = identity(instagram.get("id")) if isinstance(instagram, dict) else None
    if isinstance(instagram, dict) and account_id and is_usable_id(account_id):
        name = text(instagram.get("username")) or text(instagram.get("name")) or account_id
        yield FoundAccount(Platform.INSTAGRAM, account_id, page_id, name, token)


async def withheld_permissions(client: GraphClient, platforms: Sequence[Platform]) -> list[str]:
    """Return the needed permissions that the user has not granted; none when the platform does not say."""
    answer = await client.get("me/permissions", {})
    permissions = None if isinstance(answer, GraphError) else answer.get("data")
    if not isinstance(permissions, list):
        return []
    granted = {
        each.get("permission") for each in permissions if isinstance(each, dict) and each.get("status") == "granted"
    }
    needed = dict.fromkeys(name for platform in platforms for name in PERMISSIONS[platform])
    return [name for name in needed if name not in granted]


def merged(found: FoundAccount, known: Account | None, vault: TokenVault) -> Account:
    """Return the account to store: a known account keeps its settings and gets the new token and Page."""
    new = {"page_id": found.page_id, "encrypted_token": vault.encrypt(found.token)}
    if known:
        return known.model_copy(update=new)
    return Account(platform=found.platform, account_id=found.account_id, name=found.name, **new)
