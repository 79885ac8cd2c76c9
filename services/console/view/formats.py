"""How values read on a page: times, numbers, names, words of our own. Pure."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from shared.contract.contacts import Band, LeadStatus, band
from shared.contract.failures import Reason
from shared.domain.accounts import format_every
from shared.domain.pipelines import Mode

STATUS_WORDS = {status: status.replace("_", " ").capitalize() for status in LeadStatus}
BAND_WORDS = {Band.COLD: "Cold", Band.WARM: "Warm", Band.HOT: "Hot", Band.READY: "Ready"}
MODE_WORDS = {
    Mode.SKIP_EXISTING: "Leave a stage that is set",
    Mode.UPDATE_EXISTING: "Move contacts on with each analysis",
}
REASON_WORDS = {
    Reason.NOT_JSON: "It cannot be read as JSON.",
    Reason.TOO_DEEP: "Its JSON is nested too deeply to be read safely.",
    Reason.UNKNOWN_OBJECT: "It is about another kind of object than a Page or an Instagram account.",
    Reason.UNKNOWN_KIND: "It tells of something that this version does not know.",
    Reason.MALFORMED: "It does not have the shape that its kind has.",
    Reason.NO_ACCOUNT: "It does not say which account it is about.",
    Reason.NO_CUSTOMER: "It does not say which customer it is about.",
    Reason.NO_MESSAGE_ID: "Its message has no id.",
    Reason.BAD_ID: "One of its ids is none.",
    Reason.BAD_TIME: "It does not say when it happened, or not as a time.",
    Reason.NOT_AN_EVENT: "What lay on the topic is not an event.",
}
FAILURE_TITLES = {
    401: "Sign in first",
    403: "Not allowed",
    404: "Not here",
    500: "Something broke",
    503: "No answer just now",
}
HUES = 8


def initials(name: str) -> str:
    """Of the first and the last word; letters and digits only."""
    words = [word for word in ("".join(c for c in part if c.isalnum()) for part in name.split()) if word]
    chosen = words[:1] + words[1:][-1:]
    return "".join(word[0] for word in chosen).upper() or "?"


def hue(text: str) -> int:
    """One of the avatar's colours, the same for the same text wherever it is asked."""
    return hashlib.sha256(text.encode(errors="replace")).digest()[0] % HUES


def ago(at: datetime | None, now: datetime) -> str:
    """`5 min ago`; a date when it is longer ago than a week."""
    if at is None:
        return "never"
    past = now - at
    if past < timedelta(minutes=1):
        return "just now"
    if past < timedelta(hours=1):
        return f"{int(past.total_seconds() // 60)} min ago"
    if past < timedelta(days=1):
        return f"{int(past.total_seconds() // 3600)} h ago"
    if past < timedelta(days=8):
        return f"{past.days} d ago"
    return day(at) if at.year == now.year else f"{day(at)} {at.year}"


def day(at: datetime) -> str:
    return f"{at.day} {at:%b}"


def moment(at: datetime | None) -> str:
    """In full, UTC."""
    return f"{at.day} {at:%b %Y, %H:%M} UTC" if at else "–"


def iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `1 h 5 min`."""
    whole = max(round(seconds), 0)
    if whole == 0:
        return "under 1 s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def sentence(text: str) -> str:
    """A reason, as a log has it, to stand alone."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}" if text else ""


def number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def score_band(score: int) -> str:
    return band(score).value


def score_word(score: int) -> str:
    return BAND_WORDS[band(score)]


def size(count: int) -> str:
    """Of bytes."""
    return f"{count} B" if count < 1024 else f"{count / 1024:.0f} KB"


def utc_day(text: str) -> datetime | None:
    """Midnight UTC of `2026-11-24`; None for anything else."""
    try:
        return datetime.fromisoformat(f"{text}T00:00:00+00:00") if len(text) == 10 else None
    except ValueError:
        return None


def every(seconds: int | None) -> str:
    """As `parse_every` reads it; empty for never."""
    return format_every(seconds) if seconds else ""


def pair(text: str) -> tuple[str, str]:
    """An option whose value is its word."""
    return text, text
