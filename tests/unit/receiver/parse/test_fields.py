"""Parsing of Facebook's ids and times in all their forms."""

from __future__ import annotations

import pytest

from services.receiver.parse.fields import read_id, read_instant
from shared.contract.failures import Reason, RejectedError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1527459824, "2018-05-27T22:23:44.000Z"),
        ("1527459824", "2018-05-27T22:23:44.000Z"),
        (1723486609684, "2024-08-12T18:16:49.684Z"),
        ("1723486609684", "2024-08-12T18:16:49.684Z"),
        (1723486609684.0, "2024-08-12T18:16:49.684Z"),
        ("2021-09-08T06:34:04+0000", "2021-09-08T06:34:04.000Z"),
        (1_072_915_200_000, "2004-01-01T00:00:00.000Z"),
        (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
        (None, None),
    ],
)
def test_the_unit_of_a_time_follows_from_its_magnitude(value: object, expected: str | None) -> None:
    assert read_instant(value) == expected


@pytest.mark.parametrize(
    "value",
    [True, "soon", [], {}, 0, -1, 1_072_915_199_999, 4_102_444_800_000, 10**30, float("inf"), float("nan"), "9" * 400],
)
def test_an_invalid_time_is_rejected(value: object) -> None:
    with pytest.raises(RejectedError) as caught:
        read_instant(value)
    assert caught.value.reason is Reason.BAD_TIME


@pytest.mark.parametrize(
    ("value", "expected"), [(12345654332, "12345654332"), ("17841", "17841"), (None, None), ("", None)]
)
def test_an_id_of_any_type_is_read_as_text(value: object, expected: str | None) -> None:
    assert read_id(value) == expected


@pytest.mark.parametrize("value", [True, 1.5, [], {}, "a:b", "a\nb", "x" * 129])
def test_an_id_that_cannot_be_part_of_a_key_is_rejected(value: object) -> None:
    with pytest.raises(RejectedError) as caught:
        read_id(value)
    assert caught.value.reason is Reason.BAD_ID
