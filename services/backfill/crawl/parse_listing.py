"""Parses the Graph API's list of conversations. Pure.

Shape: https://developers.facebook.com/docs/graph-api/reference/conversation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from services.backfill.crawl.values import Json, identity, objects, read_time, text
from shared.contract.events import Participant
from shared.contract.ids import is_usable_id
from shared.domain.accounts import Account

LISTING_FIELDS = "id,participants,updated_time,message_count"


@dataclass(frozen=True, slots=True)
class Listed:
    """A conversation as the listing shows it. `participants` has both sides; `customer` is the other side."""

    thread_id: str
    customer: Participant
    participants: tuple[Participant, ...]
    updated_time: datetime | None
    message_count: int | None


def read_listed(item: Json, account: Account) -> Listed | str:
    """Return the conversation, or the reason why it cannot be read."""
    thread_id = identity(item.get("id"))
    if not thread_id:
        return "the listing gives it no id"
    everyone = [person for person in objects(item.get("participants")) if identity(person.get("id"))]
    customers = _customers(everyone, account)
    if len(customers) != 1 or not is_usable_id(customers[0].id):
        return f"{len(customers)} of its {len(everyone)} participants could be the customer"
    count = item.get("message_count")
    return Listed(
        thread_id,
        customers[0],
        tuple(map(_participant, everyone)),
        read_time(item.get("updated_time")),
        count if isinstance(count, int) else None,
    )


def _customers(everyone: list[Json], account: Account) -> list[Participant]:
    """Return the participants that are not the account itself.

    On Instagram the account's own id in this list may be neither its id nor the Page's. It is then recognised by
    `user_id`, else by name, unless that leaves nobody.
    """
    ours = {account.account_id, account.page_id}
    others = [person for person in everyone if identity(person["id"]) not in ours]
    signs: tuple[Callable[[Json], bool], ...] = (
        lambda person: identity(person.get("user_id")) in ours,
        lambda person: account.name in (person.get("username"), person.get("name")),
    )
    for is_ours in signs:
        if len(others) > 1:
            others = [person for person in others if not is_ours(person)] or others
    return [_participant(person) for person in others]


def _participant(person: Json) -> Participant:
    names = {name: text(person.get(name)) for name in ("name", "username")}
    return Participant(id=identity(person["id"]) or "", **names)
