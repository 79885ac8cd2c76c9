"""What the console uses of other services. The composition root passes it in, as no service imports another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from shared.bus.dead_letter_replay import ReadWebhook
from shared.bus.producer import AIOKafkaProducer
from shared.contract.ids import ConversationKey
from shared.domain.accounts import Account
from shared.store.mongo import Database

Erase = Callable[[Database, AIOKafkaProducer, ConversationKey], Awaitable[int]]
"""Erases a customer and returns the version of the tombstone. LookupError when the customer is unknown; RuntimeError
when a worker holds the conversation for too long."""

Check = Callable[[Database, Account], Awaitable[dict[str, Any]]]
"""Asks the platform about an account and returns `is_well`, `is_refused`, `problems`, `permissions_…`, `webhooks_…` and
`token`: facts about the token, not the token itself. ValueError when the token cannot be decrypted, UnreachableError
when the platform does not answer."""


@dataclass(frozen=True, slots=True)
class Ports:
    erase: Erase
    check: Check
    read_webhook: ReadWebhook
