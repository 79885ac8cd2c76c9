"""The Graph API's nodes of conversations, messages, people and Pages. Pure.

Shapes: developers.facebook.com/docs/graph-api/reference/conversation, .../reference/message and
developers.facebook.com/docs/instagram-platform. Each node is complete; `fields.project` selects the requested fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from services.simulator.corpus import SimulatedAccount, SimulatedConversation, SimulatedMessage
from services.simulator.fields import Schema
from services.simulator.personas import Persona
from shared.contract.ids import Platform

Json = dict[str, Any]


def _plain(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split())


PERSON = _plain("id name username email user_id")
MEDIA = _plain("width height max_width max_height url preview_url image_type render_as_sticker")
ATTACHMENT = _plain("id mime_type name size file_url generic_template") | {"image_data": MEDIA, "video_data": MEDIA}
SHARE = _plain("id link name description template")
STORY = {"reply_to": _plain("id link"), "mention": _plain("id link")}
MESSAGE = _plain("id created_time message sticker is_unsupported") | {
    "from": PERSON, "to": PERSON, "attachments": ATTACHMENT, "shares": SHARE, "story": STORY, "tags": _plain("name"),
    "reactions": _plain("reaction users"), "reply_to": _plain("mid is_self_reply"),
}  # fmt: skip
CONVERSATION = _plain(
    "id updated_time message_count link snippet unread_count can_reply is_subscribed scoped_thread_key name subject "
    "wallpaper"
) | {"participants": PERSON, "senders": PERSON, "former_participants": PERSON, "messages": MESSAGE}
PAGE = _plain("id name username link category") | {"instagram_business_account": _plain("id")}
INSTAGRAM_ACCOUNT = _plain("id name username profile_picture_url")
PROFILES: dict[Platform, Schema] = {
    Platform.MESSENGER: _plain("id name first_name last_name profile_pic locale timezone gender"),
    Platform.INSTAGRAM: _plain("id name username profile_pic follower_count is_verified_user"),
}

ATTACHMENTS = {"image": "image/jpeg", "file": "application/pdf", "voice": "audio/mp4", "video": "video/mp4"}
CDN = "https://cdn.example.com"
INSTAGRAM_DETAILED_MESSAGES = 20
"""Instagram shows the details of this many of a conversation's newest messages."""


def graph_time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S+0000")


def newest_first(conversation: SimulatedConversation) -> Iterator[SimulatedMessage]:
    """Return the messages that are not deleted, in the order of every edge."""
    return (message for message in reversed(conversation.messages) if not message.deleted)


def is_detailed(account: SimulatedAccount, conversation: SimulatedConversation, message: SimulatedMessage) -> bool:
    newest = islice(newest_first(conversation), INSTAGRAM_DETAILED_MESSAGES)
    return account.platform is Platform.MESSENGER or any(each is message for each in newest)


def customer_node(account: SimulatedAccount, person: Persona) -> Json:
    if account.platform is Platform.INSTAGRAM:
        return {"username": person.username, "id": person.id} | ({"name": person.name} if person.shows_name else {})
    return {"name": person.name, "email": f"{person.id}@facebook.com", "id": person.id}


def account_node(account: SimulatedAccount) -> Json:
    if account.platform is Platform.INSTAGRAM:
        return {"username": account.username, "id": account.id}
    return {"name": account.name, "email": f"{account.id}@facebook.com", "id": account.id}


def profile_node(account: SimulatedAccount, person: Persona) -> Json:
    shared = {"id": person.id, "profile_pic": f"{CDN}/people/{person.id}.jpg"}
    if account.platform is Platform.INSTAGRAM:
        return {**shared, "name": person.name if person.shows_name else None, "username": person.username}
    names = {"name": person.name, "first_name": person.first, "last_name": person.last}
    return {**shared, **names, "locale": "en_PH", "timezone": 8}


def page_node(page: SimulatedAccount, instagram: SimulatedAccount) -> Json:
    node: Json = {"id": page.page_id, "name": page.name, "username": page.username}
    return node | ({"instagram_business_account": {"id": instagram.id}} if instagram.page_id == page.page_id else {})


def instagram_node(instagram: SimulatedAccount) -> Json:
    return {"id": instagram.id, "username": instagram.username, "name": instagram.name}


def conversation_node(account: SimulatedAccount, conversation: SimulatedConversation) -> Json:
    """Return a conversation without `messages`, which is an edge. Instagram has fewer fields."""
    messages = list(newest_first(conversation))
    sides = {"data": [customer_node(account, conversation.customer), account_node(account)]}
    node: Json = {
        "id": conversation.thread_id,
        "updated_time": graph_time(messages[0].at) if messages else None,
        "participants": sides,
    }
    if account.platform is Platform.INSTAGRAM:
        return node
    return node | {
        "message_count": len(messages),
        "link": f"/{account.page_id}/inbox/{conversation.thread_id.removeprefix('t_')}/",
        "snippet": messages[0].text or None if messages else None,
        "unread_count": 0,
        "can_reply": True,
        "senders": sides,
    }


def message_node(account: SimulatedAccount, conversation: SimulatedConversation, message: SimulatedMessage) -> Json:
    """Return a message; an Instagram message that is not among the newest has only an id and a time."""
    node: Json = {"id": message.id, "created_time": graph_time(message.at)}
    if not is_detailed(account, conversation, message):
        return node
    customer, business = customer_node(account, conversation.customer), account_node(account)
    return node | {
        "from": customer if message.inbound else business,
        "to": {"data": [business if message.inbound else customer]},
        "message": message.text,
        "attachments": _attachments(message),
        "sticker": f"{CDN}/stickers/{message.id[-12:]}.png" if message.attachment == "sticker" else None,
        "is_unsupported": True if message.attachment == "unsupported" else None,
        "reactions": {"data": [{"reaction": message.reaction, "users": [customer]}]} if message.reaction else None,
        "tags": {"data": [{"name": "inbox"}, {"name": "source:mobile"}]},
    }


def _attachments(message: SimulatedMessage) -> Json | None:
    mime_type = ATTACHMENTS.get(message.attachment or "")
    if mime_type is None:
        return None
    number = str(int.from_bytes(message.id[-6:].encode()))
    details: Json = {"id": number, "mime_type": mime_type, "name": f"{message.attachment}-{number}", "size": 54_531}
    url = f"{CDN}/{number}"
    if message.attachment in ("image", "video"):
        media = {"width": 720, "height": 960, "max_width": 720, "max_height": 960, "url": url}
        return {"data": [{**details, f"{message.attachment}_data": media}]}
    return {"data": [{**details, "file_url": url}]}
