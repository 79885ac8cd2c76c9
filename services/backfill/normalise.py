"""The Graph API's conversations and messages to events. Pure.

Shapes: developers.facebook.com/docs/graph-api/reference/conversation and .../reference/message, and for Instagram
developers.facebook.com/docs/instagram-platform.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.accounts import Account
from shared.events import (
    Attachment,
    ConversationCompletedEvent,
    ConversationListedEvent,
    Direction,
    MessageEvent,
    Participant,
    ReplyTo,
    Source,
    format_instant,
)
from shared.ids import ConversationKey, event_id, is_usable_id, message_id

Json = dict[str, Any]
LISTING_FIELDS = "id,participants,updated_time,message_count"
MESSAGE_FIELDS = (
    "id,created_time,from,to,message,sticker,reply_to,is_unsupported,story,"
    "attachments{id,mime_type,name,size,file_url,image_data,video_data,generic_template},"
    "shares{id,link,name,description,template}"
)


@dataclass(frozen=True, slots=True)
class Listed:
    """A conversation as the listing shows it. `participants` has both sides; `customer` is the one that is not ours."""

    thread_id: str
    customer: Participant
    participants: tuple[Participant, ...]
    updated_time: datetime | None
    message_count: int | None


def read_listed(item: Json, account: Account) -> Listed | str:
    """A conversation of the listing, or the reason why it cannot be read."""
    thread_id = item.get("id")
    if not isinstance(thread_id, str):
        return "the listing gives it no id"
    participants = tuple(_participants(item.get("participants")))
    ours = {account.account_id, account.page_id}
    strangers = [p for p in participants if p.id not in ours]
    customers = [p for p in strangers if account.name not in (p.name, p.username)] or strangers
    if len(customers) != 1 or not is_usable_id(customers[0].id):
        return f"{len(customers)} of its {len(participants)} participants could be the customer"
    count = item.get("message_count")
    return Listed(
        thread_id,
        customers[0],
        participants,
        read_time(item.get("updated_time")),
        count if isinstance(count, int) else None,
    )


def read_time(value: object) -> datetime | None:
    """Graph's `2021-07-23T09:50:48+0000`; None for anything that is not a time."""
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


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
        """None for what the platform does not show: Instagram gives only ids beyond the twenty newest."""
        mid, sender, sent_at = item.get("id"), item.get("from"), read_time(item.get("created_time"))
        if not isinstance(mid, str) or not mid or not isinstance(sender, dict) or sent_at is None:
            return None
        inbound = str(sender.get("id")) == self.listed.customer.id
        own_id = message_id(self.account.platform, self.account.account_id, mid)
        return MessageEvent(
            event_id=event_id("message", own_id),
            message_id=own_id,
            mid=mid,
            text=_text(item.get("message")),
            attachments=tuple(_attachments(item)),
            reply_to=_reply_to(item),
            is_unsupported=item.get("is_unsupported") is True,
            sender_name=_text(sender.get("name")),
            sender_username=_text(sender.get("username")),
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


def _participants(value: object) -> Iterator[Participant]:
    for item in _data(value):
        if item.get("id"):
            yield Participant(id=str(item["id"]), name=_text(item.get("name")), username=_text(item.get("username")))


def _attachments(item: Json) -> Iterator[Attachment]:
    for each in _data(item.get("attachments")):
        yield _attachment(each)
    sticker = _text(item.get("sticker"))
    if sticker:
        yield Attachment(type="sticker", url=sticker)
    for share in _data(item.get("shares")):
        yield Attachment(type="share", url=_text(share.get("link")), title=_text(share.get("name")))
    story = item.get("story")
    mention = story.get("mention") if isinstance(story, dict) else None
    if isinstance(mention, dict):
        yield Attachment(type="story_mention", url=_text(mention.get("link")))


def _attachment(each: Json) -> Attachment:
    template = each.get("generic_template")
    if isinstance(template, dict):
        return Attachment(type="template", url=_text(template.get("media_url")), title=_text(template.get("title")))
    for kind in ("image", "video"):
        data = each.get(f"{kind}_data")
        if isinstance(data, dict):
            return Attachment(type=kind, url=_text(data.get("url")), title=_text(each.get("name")))
    family = (_text(each.get("mime_type")) or "").partition("/")[0]
    kind = family if family in ("image", "video", "audio") else "file"
    return Attachment(type=kind, url=_text(each.get("file_url")), title=_text(each.get("name")))


def _reply_to(item: Json) -> ReplyTo | None:
    reply, story = item.get("reply_to"), item.get("story")
    answered = story.get("reply_to") if isinstance(story, dict) else None
    if isinstance(answered, dict):
        return ReplyTo(story_id=_text(answered.get("id")), story_url=_text(answered.get("link")))
    return ReplyTo(mid=_text(reply.get("mid"))) if isinstance(reply, dict) else None


def _data(value: object) -> list[Json]:
    data = value.get("data") if isinstance(value, dict) else value
    return [each for each in data if isinstance(each, dict)] if isinstance(data, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
