"""Build the transcript that an analyst reads from stored messages. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from services.analyzer.analysis.analyst import SpeakerRole, Transcript, TranscriptLine
from shared.contract.events import Direction
from shared.contract.ids import Platform, content_hash
from shared.domain.messages import StoredMessage

ATTACHMENT_NAMES = {
    "audio": "voice",
    "like_heart": "heart",
    "story_mention": "story mention",
    "fallback": "link",
    "ig_reel": "reel",
}
"""Plain words for Facebook's attachment types; other types keep their name."""


def build_transcript(platform: Platform, messages: Iterable[StoredMessage]) -> Transcript | None:
    """Return the lines oldest first, without deleted and empty messages; None when no line is left.

    Messages of the same time are ordered by id, so that the same messages always give the same lines.
    """
    lines = [(message.message_id, line) for message in messages for line in _line(message)]
    lines.sort(key=lambda pair: (pair[1].at, pair[0]))
    return Transcript(platform, tuple(line for _, line in lines)) if lines else None


def fingerprint(transcript: Transcript) -> str:
    """Return a hash of roles, texts, marks and times in seconds: Graph has no milliseconds where a webhook has them."""
    return content_hash([[line.role, int(line.at.timestamp()), line.text, *line.marks] for line in transcript.lines])


def _line(message: StoredMessage) -> Iterator[TranscriptLine]:
    if message.sent_at is None or message.direction is None or message.deleted_at is not None:
        return
    marks = tuple(_marks(message))
    text = "" if message.postback else (message.text or "").strip()
    if text or marks:
        role = SpeakerRole.CUSTOMER if message.direction is Direction.INBOUND else SpeakerRole.BUSINESS
        yield TranscriptLine(message.sent_at, role, text, marks, message.message_id)


def _marks(message: StoredMessage) -> Iterator[str]:
    """Yield the marks. A pressed button gives one, although Graph lists it as a message with its title as text."""
    if message.postback:
        yield f"[pressed: {message.postback.title or message.text or message.postback.payload or 'a button'}]"
    content = message.content
    if content:
        kinds = dict.fromkeys(attachment.type for attachment in content.attachments)
        if "sticker" in kinds or content.sticker_id:
            kinds = {**{kind: None for kind in kinds if kind != "image"}, "sticker": None}
        yield from (f"[{ATTACHMENT_NAMES.get(kind, kind)}]" for kind in kinds)
        if content.is_unsupported:
            yield "[unsupported]"
        if content.reply_to and content.reply_to.story_id:
            yield "[reply to a story]"
    for side, reaction in sorted(message.reactions.items()):
        if reaction.action == "react":
            who = "customer" if side is Direction.INBOUND else "business"
            yield f"[{who} reacted {reaction.emoji or 'to this'}]"
