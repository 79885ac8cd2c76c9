"""Sends webhooks with Facebook's shapes, escapes and signatures.

Source: developers.facebook.com/docs/messenger-platform/webhooks.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from services.simulator.corpus import SimulatedAccount, SimulatedConversation, SimulatedMessage
from shared.contract.ids import Platform
from shared.runtime.crypto import webhook_signature

Json = dict[str, Any]
OBJECTS = {Platform.MESSENGER: "page", Platform.INSTAGRAM: "instagram"}
ATTACHMENT_TYPES = {"voice": "audio", "unsupported": "unsupported_type"}
INBOX_APP_ID = 26390203743090
WEBHOOK_DELAY_MS = 250
"""The time between an event and its webhook."""

_ESCAPES = str.maketrans({"/": "\\/", "<": "\\u003C", "%": "\\u0025", "@": "\\u0040"})


def milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def webhook_item(
    account: SimulatedAccount, conversation: SimulatedConversation, at: datetime, *, inbound: bool, **kind: Any
) -> Json:
    customer, business = {"id": conversation.customer.id}, {"id": account.id}
    sender, recipient = (customer, business) if inbound else (business, customer)
    return {"sender": sender, "recipient": recipient, "timestamp": milliseconds(at), **kind}


def message_webhook_item(
    account: SimulatedAccount, conversation: SimulatedConversation, message: SimulatedMessage
) -> Json:
    """Return the item of a message, an echo or a postback."""
    if message.pressed:
        payload = message.text.upper().replace(" ", "_")
        postback = {"mid": message.id, "title": message.text, "payload": payload}
        return webhook_item(account, conversation, message.at, inbound=True, postback=postback)
    content: Json = {"mid": message.id}
    if not message.inbound:
        content["is_echo"] = True
        if account.platform is Platform.MESSENGER:
            content["app_id"] = INBOX_APP_ID
    if message.text:
        content["text"] = message.text
    if message.attachment == "unsupported":
        content["is_unsupported"] = True
    if message.attachment:
        kind = ATTACHMENT_TYPES.get(message.attachment, message.attachment)
        content["attachments"] = [{"type": kind, "payload": {"url": f"https://cdn.example.com/{message.id[-12:]}"}}]
    return webhook_item(account, conversation, message.at, inbound=message.inbound, message=content)


def webhook_body(account: SimulatedAccount, item: Json, at: datetime) -> bytes:
    """Return a body with one item, sent at `at`. Like Facebook, it escapes non-ASCII and some ASCII characters."""
    sent_at = max(milliseconds(at), item["timestamp"]) + WEBHOOK_DELAY_MS
    entry = {"time": sent_at, "id": account.id, "messaging": [item]}
    text = json.dumps({"object": OBJECTS[account.platform], "entry": [entry]}, separators=(",", ":"))
    return text.translate(_ESCAPES).encode()


@dataclass(slots=True)
class WebhookSender:
    """Posts to the app's callback."""

    app_secret: str
    session: ClientSession
    callback: str = ""

    async def send(self, raw: bytes, *, secret: str | None = None) -> int | None:
        """Return the status of the callback's response; None without a response or a callback."""
        if not self.callback:
            return None
        key = secret or self.app_secret
        headers = {
            "Content-Type": "application/json",
            "X-Hub-Signature-256": webhook_signature(key, raw),
            "X-Hub-Signature": "sha1=" + hmac.new(key.encode(), raw, hashlib.sha1).hexdigest(),
            "User-Agent": "facebookexternalua",
        }
        try:
            async with self.session.post(
                self.callback, data=raw, headers=headers, timeout=ClientTimeout(10)
            ) as response:
                return response.status
        except (ClientError, TimeoutError):
            return None

    async def shake_hands(self, verify_token: str) -> bool:
        """Return whether the callback echoes the challenge, which Facebook requires before it subscribes it."""
        challenge = "1158201444"
        query = {"hub.mode": "subscribe", "hub.verify_token": verify_token, "hub.challenge": challenge}
        try:
            async with self.session.get(self.callback, params=query, timeout=ClientTimeout(10)) as response:
                return response.status == 200 and await response.text() == challenge
        except (ClientError, TimeoutError):
            return False
