"""Whose messages they are. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from shared.contract.events import Participant
from shared.contract.ids import Platform


@dataclass(frozen=True, slots=True)
class Conversation:
    """`key` is the conversation's and the contact's id. `participants` are as a backfill has listed them."""

    key: str
    platform: Platform
    account_id: str
    customer_id: str
    participants: tuple[Participant, ...] = ()
