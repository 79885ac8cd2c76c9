"""Values that parsers misread: each is at an edge of a type, a range, a script or a format."""

from __future__ import annotations

from typing import Any

TEXTS = [
    "", "\x00", "\ud83d", "cut \ud83d", "\ude00\ud83d", "\u202eright to left", "\N{FAMILY}\u200d\ufe0f", "שלום", "0",
    ":", "a:b", "a\nb", "x" * 129, "m" * 1025, "m_", "m_m_1", "page", "instagram", "react", "unreact", "true", "٣٤٥",
    "²", "nan", "1e999",
]  # fmt: skip
TIMES = [
    1723486609, 1723486609684, 1723486609.684, "1723486609", "1723486609684", "1527459824", "2021-09-08T06:34:04+0000",
    "2021-09-08", "20210908", "2021-13-40T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    99_999_999_999, 100_000_000_000, 4_102_444_800, 4_102_444_799_999, 1_072_915_200, -62_135_596_801, 10**18, "9" * 30,
    "-1723486609", "+1723486609", "1723486609.5", " 1723486609 ", "1_723_486_609",
]  # fmt: skip
NUMBERS = [0, -1, -0.0, 0.1, 1e300, 5e-324, 2**53 + 1, 2**63, 2**64 - 1, 2**64, -(2**63) - 1, 10**30, 10**400]
SMALL: list[Any] = [None, True, False, [], {}, [[]], [None], {"": None}, {"id": None}, {"id": []}, {"id": 7}]
VALUES: list[Any] = [*TEXTS, *TIMES, *NUMBERS, *SMALL]
