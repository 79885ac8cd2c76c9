"""Converts the Graph API's messages to encoded events. Pure.

Shapes: https://developers.facebook.com/docs/graph-api/reference/message, and for Instagram
https://developers.facebook.com/docs/instagram-platform.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.backfill.crawl.parse_listing import Listed
from services.backfill.crawl.values import Json, identity, instant_of, objects, read_time, text
from shared.contract.encoded_events import EncodedEvent
from shared.contract.events import Direction, Source, compact, format_instant
from shared.contract.ids import ConversationKey, event_id, message_id
from shared.domain.accounts import Account

INBOUND, OUTBOUND, BACKFILL = Direction.INBOUND.value, Direction.OUTBOUND.value, Source.BACKFILL.value

CARRIERS = frozenset({"attachments", "sticker", "shares", "story"})
"""Fields of a message that become attachments."""

MESSAGE_FIELDS = (
    "id,created_time,from,to,message,sticker,reply_to,is_unsupported,story,"
    "attachments{id,mime_type,name,size,file_url,image_data,video_data,generic_template},"
    "shares{id,link,name,description,template}"
)


@dataclass(frozen=True, slots=True)
class RunConversation:
    """One conversation as one run reads it; makes its events."""

    account: Account
    listed: Listed
    run_id: str
    name: str = field(init=False)
    """The key as a string; every event contains it."""
    shared: Json = field(init=False, compare=False, repr=False)
    """The fields that are the same in all its events."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", str(self.key))
        object.__setattr__(self, "shared", {
            "platform": self.account.platform.value, "account_id": self.account.account_id,
            "customer_id": self.listed.customer.id, "source": BACKFILL, "run_id": self.run_id,
        })  # fmt: skip

    @property
    def key(self) -> ConversationKey:
        return ConversationKey(self.account.platform, self.account.account_id, self.listed.customer.id)

    def listed_event(self, now: datetime) -> EncodedEvent:
        listed = self.listed
        own_id = event_id("conversation_listed", self.key, listed.thread_id, self._updated, listed.message_count)
        people = [person.model_dump(exclude_none=True) for person in listed.participants]
        return self._conversation_event(
            "conversation_listed", own_id, now, message_count=listed.message_count, participants=people
        )

    def completed_event(self, read: int, unavailable: int, now: datetime) -> EncodedEvent:
        """Return the event for the state up to which the run has read; a run may read several states."""
        own_id = event_id("conversation_completed", self.key, self.run_id, self._updated)
        counts = {"messages_read": read, "messages_unavailable": unavailable}
        return self._conversation_event("conversation_completed", own_id, now, **counts)

    def message_event(self, item: Json, now: datetime) -> EncodedEvent | None:
        """Return `None` for a message that is not shown: Instagram gives only the ids of all but the 20 newest.

        Source: https://developers.facebook.com/docs/messenger-platform/conversations.
        """
        mid, sender = identity(item.get("id")), item.get("from")
        created_time: Any = item.get("created_time")
        sent_at = read_time(created_time)
        sender_id = identity(sender.get("id")) if isinstance(sender, dict) else None
        if not mid or not isinstance(sender, dict) or not sender_id or sent_at is None:
            return None
        own_id = message_id(self.account.platform, self.account.account_id, mid)
        fields = {
            "message_id": own_id,
            "mid": mid,
            "text": text(item.get("message")),
            "attachments": None if CARRIERS.isdisjoint(item) else list(_attachments(item)) or None,
            "reply_to": _reply_to(item),
            "is_unsupported": True if item.get("is_unsupported") is True else None,
            "sender_name": text(sender.get("name")),
            "sender_username": text(sender.get("username")),
        }
        direction = INBOUND if sender_id == self.listed.customer.id else OUTBOUND
        return self._event(
            "message", event_id("message", own_id), direction, instant_of(created_time, sent_at), now, fields
        )

    @property
    def _updated(self) -> str:
        return format_instant(self.listed.updated_time) if self.listed.updated_time else ""

    def _conversation_event(self, kind: str, own_id: str, now: datetime, **more: object) -> EncodedEvent:
        listed = self.listed
        fields = {"thread_id": listed.thread_id, "updated_time": self._updated or None, **more}
        return self._event(kind, own_id, INBOUND, format_instant(listed.updated_time or now), now, fields)

    def _event(
        self, kind: str, own_id: str, direction: str, occurred_at: str, now: datetime, fields: dict[str, Any]
    ) -> EncodedEvent:
        value = {
            "kind": kind,
            "event_id": own_id,
            "direction": direction,
            "occurred_at": occurred_at,
            "received_at": format_instant(now),
            **self.shared,
            **compact(fields),
        }
        return EncodedEvent(kind, own_id, self.name, occurred_at, value)


def _attachments(item: Json) -> Iterator[Json]:
    for each in objects(item.get("attachments")):
        yield _attachment(each)
    sticker = text(item.get("sticker"))
    if sticker:
        yield _attachment_of("sticker", url=sticker)
    for share in objects(item.get("shares")):
        more = compact({name: share.get(name) for name in ("description", "template")})
        yield _attachment_of("share", url=text(share.get("link")), title=text(share.get("name")), payload=more or None)
    story = item.get("story")
    mention = story.get("mention") if isinstance(story, dict) else None
    if isinstance(mention, dict):
        yield _attachment_of("story_mention", url=text(mention.get("link")))


def _attachment(each: Json) -> Json:
    """An attachment with nothing but a name is a notice (European privacy rules); its type is `unavailable`."""
    title, template = text(each.get("name")), each.get("generic_template")
    if isinstance(template, dict):
        url, title = text(template.get("media_url")), text(template.get("title"))
        return _attachment_of("template", url=url, title=title, payload=template or None)
    for kind in ("video", "image"):  # a video has both: the picture is its preview
        data = each.get(f"{kind}_data")
        if isinstance(data, dict):
            shown = "sticker" if data.get("render_as_sticker") is True else kind
            return _attachment_of(shown, url=text(data.get("url")), title=title)
    url, mime_type = text(each.get("file_url")), text(each.get("mime_type"))
    if not url and not mime_type:
        return _attachment_of("unavailable", title=title)
    family = (mime_type or "").partition("/")[0]
    return _attachment_of(family if family in ("image", "video", "audio") else "file", url=url, title=title)


def _attachment_of(kind: str, **more: object) -> Json:
    return compact({"type": kind, **more})


def _reply_to(item: Json) -> Json | None:
    reply, story = item.get("reply_to"), item.get("story")
    story_reply = story.get("reply_to") if isinstance(story, dict) else None
    if isinstance(story_reply, dict):
        return compact({"story_id": text(story_reply.get("id")), "story_url": text(story_reply.get("link"))})
    return compact({"mid": text(reply.get("mid"))}) if isinstance(reply, dict) else None
