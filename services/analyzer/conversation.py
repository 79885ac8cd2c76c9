"""The identity of a conversation. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from shared.contract.events import Participant
from shared.contract.ids import Platform


@dataclass(frozen=True, slots=True)
class Conversation:
    """`key` is the id of the conversation and of its contact. `participants` are from a backfill's listing."""

    key: str
    platform: Platform
    account_id: str
    customer_id: str
    participants: tuple[Participant, ...] = ()
