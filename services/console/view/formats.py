"""Formats values for pages: times, numbers, names, and the words for statuses and reasons. Pure."""

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
    Mode.SKIP_EXISTING: "Keep the stage once it is set",
    Mode.UPDATE_EXISTING: "Update the stage after each analysis",
}
REASON_WORDS = {
    Reason.NOT_JSON: "It is not valid JSON.",
    Reason.TOO_DEEP: "Its JSON is nested too deeply.",
    Reason.UNKNOWN_OBJECT: "It is not about a Page or an Instagram account.",
    Reason.UNKNOWN_KIND: "Its type is unknown to this version.",
    Reason.MALFORMED: "Its fields do not match its type.",
    Reason.NO_ACCOUNT: "It does not name its account.",
    Reason.NO_CUSTOMER: "It does not name its customer.",
    Reason.NO_MESSAGE_ID: "Its message has no id.",
    Reason.BAD_ID: "One of its ids is not valid.",
    Reason.BAD_TIME: "Its time is missing or not valid.",
    Reason.NOT_AN_EVENT: "The record on the topic is not an event.",
    Reason.TOO_LARGE: "The event is larger than its topic accepts.",
    Reason.ODD_PART: "A part of it could not be read; the rest was published.",
}
FAILURE_TITLES = {
    401: "Sign in first",
    403: "Not allowed",
    404: "Page not found",
    500: "Something went wrong",
    503: "Service unavailable",
}
HUES = 8


def initials(name: str) -> str:
    """Return the initials of the first and the last word, letters and digits only; `?` when there are none."""
    words = [word for word in ("".join(c for c in part if c.isalnum()) for part in name.split()) if word]
    chosen = words[:1] + words[1:][-1:]
    return "".join(word[0] for word in chosen).upper() or "?"


def hue(text: str) -> int:
    """Return the number of an avatar's colour. The same text has the same colour in every process."""
    return hashlib.sha256(text.encode(errors="replace")).digest()[0] % HUES


def ago(at: datetime | None, now: datetime) -> str:
    """Return `5 min ago`, or a date after eight days."""
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
    """Return the date and time in UTC."""
    return f"{at.day} {at:%b %Y, %H:%M} UTC" if at else "–"


def iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """Return `45 s`, `3 min 20 s` or `1 h 5 min`."""
    whole = max(round(seconds), 0)
    if whole == 0:
        return "under 1 s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def sentence(text: str) -> str:
    """Make a sentence of a reason: a capital letter first, a full stop at the end."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}" if text else ""


def number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def score_band(score: int) -> str:
    return band(score).value


def score_word(score: int) -> str:
    return BAND_WORDS[band(score)]


def size(count: int) -> str:
    """Format a number of bytes."""
    return f"{count} B" if count < 1024 else f"{count / 1024:.0f} KB"


def utc_day(text: str) -> datetime | None:
    """Return midnight UTC of a day like `2026-11-24`; None for anything else."""
    try:
        return datetime.fromisoformat(f"{text}T00:00:00+00:00") if len(text) == 10 else None
    except ValueError:
        return None


def every(seconds: int | None) -> str:
    """Format an interval as `parse_every` reads it; empty for none."""
    return format_every(seconds) if seconds else ""


def pair(text: str) -> tuple[str, str]:
    """Return an option whose value is also its label."""
    return text, text
