"""Bulk actions: many contacts changed by one form."""

from __future__ import annotations

from typing import cast

import pytest
from aiohttp.test_utils import TestClient, TestServer

from services.console.auth.auth_middleware import CSRF_HEADER
from services.console.auth.sessions import Access, AccessRole
from services.console.contacts.actions import ContactActions
from services.console.index.list_query import ListQuery
from services.console.view.rendering import Renderer
from shared.store.mongo import Database
from tests.unit.console.api.test_api import Changes
from tests.unit.console.console_app import app_of
from tests.unit.console.rows import contact, contact_index

KNOWN = contact_index(contact("1", "María Santos", tags=("50% & more",)), contact("2", "José", tags=("vip",)))


@pytest.mark.parametrize(
    ("list_query", "found"),
    [
        (ListQuery(account="messenger:371"), ["messenger:371:1", "messenger:371:2"]),
        (ListQuery(q="maría santos"), ["messenger:371:1"]),
        (ListQuery(tag="50% & more"), ["messenger:371:1"]),
        (ListQuery(account="messenger:372"), []),
    ],
)
async def test_a_bulk_action_on_all_matching_contacts_changes_those_of_the_list(
    list_query: ListQuery, found: list[str]
) -> None:
    changes, csrf = Changes(), ""

    def pages(renderer: Renderer) -> ContactActions:
        nonlocal csrf
        csrf = renderer.signer.csrf(Access(AccessRole.EDITOR, "open"))
        return ContactActions(KNOWN, cast(Database, None), renderer, changes)

    async with TestClient(TestServer(app_of(pages))) as client:
        form = {"every": "yes", "query": list_query.url("").removeprefix("?"), "action": "tag", "value": "seen"}
        answer = await client.post("/contacts/bulk", data=form, headers={CSRF_HEADER: csrf}, allow_redirects=False)
    assert (answer.status, sorted(changes.done)) == (303, found)
