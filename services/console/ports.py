"""What other services do for the console: the composition root hands it in, as no service imports another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from shared.bus.dead_letter_queue import ReadWebhook
from shared.bus.producer import AIOKafkaProducer
from shared.contract.ids import ConversationKey
from shared.domain.accounts import Account
from shared.store.mongo import Database

Erase = Callable[[Database, AIOKafkaProducer, ConversationKey], Awaitable[int]]
"""Erases a customer and returns the version of the tombstone. LookupError when nothing is known of them; RuntimeError
when a worker has the conversation for too long."""

Check = Callable[[Database, Account], Awaitable[dict[str, Any]]]
"""What the platform says of an account: `is_well`, `is_refused`, `problems`, `token`, `permissions_…`, `webhooks_…`,
without its token. ValueError when the token cannot be decrypted, UnreachableError when the platform does not answer."""


@dataclass(frozen=True, slots=True)
class Ports:
    erase: Erase
    check: Check
    read_webhook: ReadWebhook
