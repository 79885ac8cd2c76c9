"""Cursors as the Graph API has them: opaque, tied to an item, with empty pages and short ones on the way. Pure.

Source: developers.facebook.com/docs/graph-api/results. A page may be empty and still have `next`; only its absence is
the end.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from services.simulator.errors import NAMED

DEFAULT_LIMIT, MOST = 25, 500


@dataclass(frozen=True, slots=True)
class Page:
    """Positions `start` to `end` of the whole; cursors to go on or back, None at the ends."""

    start: int
    end: int
    before: str | None
    after: str | None


def page_of(ids: Sequence[str], limit: int, after: str | None, before: str | None) -> Page:
    """RefusedError when a cursor is not one of ours or its item is gone."""
    if before is not None:
        end = _position(ids, before.removeprefix("="))
        start = max(0, end - limit)
        return _page(ids, start, end)
    if after is None:
        return _page(ids, 0, min(_size(ids, limit, 0), len(ids)))
    start = _position(ids, after) + 1
    if _is_gap(after):
        return Page(start, start, None, _cursor(ids[start - 1], gap=False))
    return _page(ids, start, min(start + _size(ids, limit, start), len(ids)))


def parse_limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not text.isdecimal() or int(text) == 0:
        raise NAMED["bad_limit"]
    return min(int(text), MOST)


def _page(ids: Sequence[str], start: int, end: int) -> Page:
    before = _cursor(ids[start], gap=False) if start > 0 else None
    gap = end > start and zlib.crc32(ids[end - 1].encode()) % 4 == 0
    return Page(start, end, before, _cursor(ids[end - 1], gap=gap) if end < len(ids) else None)


def _size(ids: Sequence[str], limit: int, start: int) -> int:
    """Some pages are one shorter than asked for."""
    short = zlib.crc32(ids[start].encode()) % 3 == 0 if start < len(ids) else False
    return max(1, limit - short)


def _cursor(item: str, *, gap: bool) -> str:
    return base64.urlsafe_b64encode(f"{'g' if gap else 'i'}{item}".encode()).decode()


def _decoded(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise NAMED["bad_cursor"] from None


def _is_gap(cursor: str) -> bool:
    return _decoded(cursor).startswith("g")


def _position(ids: Sequence[str], cursor: str) -> int:
    item = _decoded(cursor)[1:]
    if item not in ids:
        raise NAMED["bad_cursor"]
    return ids.index(item)
