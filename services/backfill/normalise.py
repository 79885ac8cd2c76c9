"""The Graph API's messages to events. Pure.

Shapes: https://developers.facebook.com/docs/graph-api/reference/message, and for Instagram
https://developers.facebook.com/docs/instagram-platform.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.backfill.listing import Listed
from services.backfill.values import Json, identity, objects, read_time, text
from shared.accounts import Account
from shared.events import (
    Attachment,
    ConversationCompletedEvent,
    ConversationListedEvent,
    Direction,
    MessageEvent,
    ReplyTo,
    Source,
    compact,
    format_instant,
)
from shared.ids import ConversationKey, event_id, message_id

MESSAGE_FIELDS = (
    "id,created_time,from,to,message,sticker,reply_to,is_unsupported,story,"
    "attachments{id,mime_type,name,size,file_url,image_data,video_data,generic_template},"
    "shares{id,link,name,description,template}"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One conversation read by one run: what all its events share."""

    account: Account
    listed: Listed
    run_id: str

    @property
    def key(self) -> ConversationKey:
        return ConversationKey(self.account.platform, self.account.account_id, self.listed.customer.id)

    def listed_event(self, now: datetime) -> ConversationListedEvent:
        listed = self.listed
        updated = format_instant(listed.updated_time) if listed.updated_time else ""
        return ConversationListedEvent(
            event_id=event_id("conversation_listed", self.key, listed.thread_id, updated, listed.message_count),
            thread_id=listed.thread_id,
            updated_time=listed.updated_time,
            message_count=listed.message_count,
            participants=listed.participants,
            **self._common(Direction.INBOUND, listed.updated_time or now, now),
        )

    def completed_event(self, read: int, unavailable: int, now: datetime) -> ConversationCompletedEvent:
        listed = self.listed
        return ConversationCompletedEvent(
            event_id=event_id("conversation_completed", self.key, self.run_id),
            thread_id=listed.thread_id,
            updated_time=listed.updated_time,
            messages_read=read,
            messages_unavailable=unavailable,
            **self._common(Direction.INBOUND, listed.updated_time or now, now),
        )

    def message_event(self, item: Json, now: datetime) -> MessageEvent | None:
        """None for what the platform does not show: Instagram gives only ids beyond the twenty newest.

        Source: https://developers.facebook.com/docs/messenger-platform/conversations.
        """
        mid, sender, sent_at = identity(item.get("id")), item.get("from"), read_time(item.get("created_time"))
        if not mid or not isinstance(sender, dict) or not identity(sender.get("id")) or sent_at is None:
            return None
        inbound = identity(sender["id"]) == self.listed.customer.id
        own_id = message_id(self.account.platform, self.account.account_id, mid)
        return MessageEvent(
            event_id=event_id("message", own_id),
            message_id=own_id,
            mid=mid,
            text=text(item.get("message")),
            attachments=tuple(_attachments(item)),
            reply_to=_reply_to(item),
            is_unsupported=item.get("is_unsupported") is True,
            sender_name=text(sender.get("name")),
            sender_username=text(sender.get("username")),
            **self._common(Direction.INBOUND if inbound else Direction.OUTBOUND, sent_at, now),
        )

    def _common(self, direction: Direction, at: datetime, now: datetime) -> dict[str, Any]:
        return {
            "platform": self.account.platform,
            "account_id": self.account.account_id,
            "customer_id": self.listed.customer.id,
            "direction": direction,
            "occurred_at": at,
            "received_at": now,
            "source": Source.BACKFILL,
            "run_id": self.run_id,
        }


def _attachments(item: Json) -> Iterator[Attachment]:
    for each in objects(item.get("attachments")):
        yield _attachment(each)
    sticker = text(item.get("sticker"))
    if sticker:
        yield Attachment(type="sticker", url=sticker)
    for share in objects(item.get("shares")):
        more = compact({name: share.get(name) for name in ("description", "template")})
        yield Attachment(type="share", url=text(share.get("link")), title=text(share.get("name")), payload=more)
    story = item.get("story")
    mention = story.get("mention") if isinstance(story, dict) else None
    if isinstance(mention, dict):
        yield Attachment(type="story_mention", url=text(mention.get("link")))


def _attachment(each: Json) -> Attachment:
    """`unavailable` is one with nothing but a name, which is a notice then (European privacy rules)."""
    title, template = text(each.get("name")), each.get("generic_template")
    if isinstance(template, dict):
        url, title = text(template.get("media_url")), text(template.get("title"))
        return Attachment(type="template", url=url, title=title, payload=template)
    for kind in ("video", "image"):  # a video has both: the picture is its preview
        data = each.get(f"{kind}_data")
        if isinstance(data, dict):
            shown = "sticker" if data.get("render_as_sticker") is True else kind
            return Attachment(type=shown, url=text(data.get("url")), title=title)
    url, mime_type = text(each.get("file_url")), text(each.get("mime_type"))
    if not url and not mime_type:
        return Attachment(type="unavailable", title=title)
    family = (mime_type or "").partition("/")[0]
    return Attachment(type=family if family in ("image", "video", "audio") else "file", url=url, title=title)


def _reply_to(item: Json) -> ReplyTo | None:
    reply, story = item.get("reply_to"), item.get("story")
    answered = story.get("reply_to") if isinstance(story, dict) else None
    if isinstance(answered, dict):
        return ReplyTo(story_id=text(answered.get("id")), story_url=text(answered.get("link")))
    return ReplyTo(mid=text(reply.get("mid"))) if isinstance(reply, dict) else None
