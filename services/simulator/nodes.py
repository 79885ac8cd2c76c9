"""Conversations, messages and people as the Graph API writes them. Pure.

Shapes: developers.facebook.com/docs/graph-api/reference/conversation and .../docs/instagram-platform.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.simulator.corpus import ATTACHMENTS, Account, Conversation, Message
from services.simulator.errors import NAMED
from services.simulator.fields import Field, names
from services.simulator.people import Person
from shared.ids import Platform

MESSAGE_FIELDS = frozenset(
    "id created_time from to message attachments shares story reactions sticker tags is_unsupported reply_to".split()
)
CONVERSATION_FIELDS = frozenset(
    "id updated_time message_count participants messages link snippet unread_count can_reply name senders".split()
)
MESSENGER_ONLY = frozenset("message_count link snippet unread_count can_reply name senders".split())
INSTAGRAM_DETAILED = 20
"""Instagram shows the details of so many of a conversation's newest messages."""


def graph_time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S+0000")


def visible(conversation: Conversation) -> list[Message]:
    """Newest first, as every edge lists them."""
    return [message for message in reversed(conversation.messages) if not message.deleted]


def customer_node(account: Account, person: Person) -> dict[str, Any]:
    if account.platform is Platform.INSTAGRAM:
        return {"username": person.username, "id": person.id}
    return {"name": person.name, "email": f"{person.id}@facebook.com", "id": person.id}


def account_node(account: Account) -> dict[str, Any]:
    if account.platform is Platform.INSTAGRAM:
        return {"username": account.username, "id": account.id}
    return {"name": account.name, "email": f"{account.id}@facebook.com", "id": account.id}


def profile_node(account: Account, person: Person) -> dict[str, Any]:
    if account.platform is Platform.INSTAGRAM:
        return {"name": person.name, "username": person.username, "id": person.id}
    return {"first_name": person.first, "last_name": person.last, "locale": "en_PH", "timezone": 8, "id": person.id}


def conversation_node(account: Account, conversation: Conversation, fields: tuple[Field, ...]) -> dict[str, Any]:
    """Without `messages`, which is an edge. Instagram leaves out what it does not have."""
    wanted = names(fields, CONVERSATION_FIELDS) or {"id", "updated_time"}
    messages = visible(conversation)
    sides = [customer_node(account, conversation.customer), account_node(account)]
    node: dict[str, Any] = {
        "id": conversation.thread_id,
        "updated_time": graph_time(messages[0].at) if messages else None,
        "message_count": len(messages),
        "participants": {"data": sides},
        "link": f"/{account.page_id}/inbox/{conversation.thread_id.removeprefix('t_')}/",
        "snippet": messages[0].text if messages else "",
        "unread_count": 0,
        "can_reply": True,
        "senders": {"data": sides},
    }
    hidden = MESSENGER_ONLY if account.platform is Platform.INSTAGRAM else frozenset[str]()
    return {key: value for key, value in node.items() if key in {*wanted, "id"} - hidden and value is not None}


def message_node(
    account: Account, conversation: Conversation, message: Message, fields: tuple[Field, ...], *, alone: bool = False
) -> dict[str, Any]:
    """RefusedError for an Instagram message beyond the newest twenty that is asked for alone."""
    wanted = names(fields, MESSAGE_FIELDS) or {"id", "created_time"}
    if not is_detailed(account, conversation, message):
        if alone:
            raise NAMED["message_deleted"]
        return {"id": message.id, "created_time": graph_time(message.at)}
    sides = [customer_node(account, conversation.customer), account_node(account)]
    sender, recipient = sides if message.inbound else reversed(sides)
    node: dict[str, Any] = {
        "id": message.id,
        "created_time": graph_time(message.at),
        "from": sender,
        "to": {"data": [recipient]},
        "message": message.text,
        "attachments": _attachments(message),
        "sticker": _sticker_url(message) if message.attachment == "sticker" else None,
        "tags": {"data": [{"name": "inbox"}, {"name": "source:mobile"}]},
    }
    return {key: value for key, value in node.items() if key in {*wanted, "id"} and value is not None}


def is_detailed(account: Account, conversation: Conversation, message: Message) -> bool:
    return account.platform is Platform.MESSENGER or message in visible(conversation)[:INSTAGRAM_DETAILED]


def _attachments(message: Message) -> dict[str, Any] | None:
    mime_type = ATTACHMENTS.get(message.attachment or "")
    if mime_type is None:
        return None
    url = f"https://cdn.example.com/{message.id[-12:]}"
    details: dict[str, Any] = {
        "id": message.id[-15:],
        "mime_type": mime_type,
        "name": f"{message.attachment}-1",
        "size": 54_531,
    }
    if message.attachment in ("image", "video"):
        details[f"{message.attachment}_data"] = {"width": 720, "height": 960, "url": url}
    else:
        details["file_url"] = url
    return {"data": [details]}


def _sticker_url(message: Message) -> str:
    return f"https://cdn.example.com/sticker/{message.id[-12:]}.png"
