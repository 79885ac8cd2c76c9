"""The Graph API's cursors: opaque, invalid when their item is removed, with empty and short pages. Pure.

A page may be empty and still have `next`; only a page without one is the last.
Source: developers.facebook.com/docs/graph-api/results.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from services.simulator.errors import refused

DEFAULT_LIMIT, MAX_LIMIT = 25, 500

Key = tuple[int, str]
"""An item's position: its time in milliseconds and its id. Edges list the greatest first."""


@dataclass(frozen=True, slots=True)
class PageSlice:
    """A page: items `start` to `end`, its cursors, and whether there are items before and after it."""

    start: int
    end: int
    before: str
    after: str
    has_previous: bool
    has_next: bool


def page_of(keys: Sequence[Key], limit: int, after: str | None = None, before: str | None = None) -> PageSlice | None:
    """Return the page at a cursor, None without any items. RefusedError for an invalid cursor or one of a removed item.

    When a cursor's item has moved to the front since, paging continues where the item was.
    """
    if not keys:
        return None
    if before is not None:
        end = sum(key > _key_of(keys, before) for key in keys)
        return _page(keys, max(0, end - limit), end)
    if after is None:
        return _page(keys, 0, min(_size(keys, limit, 0), len(keys)))
    start = len(keys) - sum(key < _key_of(keys, after) for key in keys)
    if after.startswith(_EMPTY_PAGE_PREFIX) and start < len(keys):
        return PageSlice(start, start, after, after.removeprefix(_EMPTY_PAGE_PREFIX), has_previous=True, has_next=True)
    return _page(keys, start, min(start + _size(keys, limit, start), len(keys)))


def parse_limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not text.isdecimal() or int(text) == 0:
        raise refused("bad_limit")
    return min(int(text), MAX_LIMIT)


def paging(page: PageSlice, base: str, query: Mapping[str, str], limit: int) -> dict[str, Any]:
    """Return cursors and links. Like the real ones, links repeat the query, including a token in it."""
    kept = {name: value for name, value in query.items() if name not in ("after", "before", "limit", "appsecret_proof")}
    links: dict[str, Any] = {"cursors": {"before": page.before, "after": page.after}}
    if page.has_next:
        links["next"] = f"{base}?{urlencode({**kept, 'limit': limit, 'after': page.after})}"
    if page.has_previous:
        links["previous"] = f"{base}?{urlencode({**kept, 'limit': limit, 'before': page.before})}"
    return links


_EMPTY_PAGE_PREFIX = "QVFH"
"""The prefix of a cursor whose next page is empty."""


def _page(keys: Sequence[Key], start: int, end: int) -> PageSlice:
    first, last = keys[min(start, len(keys) - 1)], keys[end - 1]
    prefix = _EMPTY_PAGE_PREFIX if end > start and zlib.crc32(last[1].encode()) % 4 == 0 else ""
    return PageSlice(
        start, end, _cursor(first), prefix + _cursor(last), has_previous=start > 0, has_next=end < len(keys)
    )


def _size(keys: Sequence[Key], limit: int, start: int) -> int:
    """Return the size of the page at `start`: some pages are one item shorter than requested."""
    is_short = start < len(keys) and zlib.crc32(keys[start][1].encode()) % 3 == 0
    return max(1, limit - is_short)


def _cursor(key: Key) -> str:
    return base64.urlsafe_b64encode(f"i{key[0]}:{key[1]}".encode()).decode()


def _key_of(keys: Sequence[Key], cursor: str) -> Key:
    try:
        text = base64.b64decode(cursor.removeprefix(_EMPTY_PAGE_PREFIX), altchars=b"-_", validate=True).decode()
        at, _, item = text.removeprefix("i").partition(":")
        key = int(at), item
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise refused("bad_cursor") from None
    if all(item != known for _, known in keys):
        raise refused("bad_cursor")
    return key
