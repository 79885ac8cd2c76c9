"""Facebook's ids and times in all their forms."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.receiver.fields import read_id, read_time
from shared.failures import Reason, RejectedError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1527459824, datetime(2018, 5, 27, 22, 23, 44, tzinfo=UTC)),
        ("1527459824", datetime(2018, 5, 27, 22, 23, 44, tzinfo=UTC)),
        (1723486609684, datetime(2024, 8, 12, 18, 16, 49, 684000, tzinfo=UTC)),
        ("1723486609684", datetime(2024, 8, 12, 18, 16, 49, 684000, tzinfo=UTC)),
        (1723486609684.0, datetime(2024, 8, 12, 18, 16, 49, 684000, tzinfo=UTC)),
        ("2021-09-08T06:34:04+0000", datetime(2021, 9, 8, 6, 34, 4, tzinfo=UTC)),
        (None, None),
    ],
)
def test_a_time_is_told_by_its_magnitude(value: object, expected: datetime | None) -> None:
    assert read_time(value) == expected


@pytest.mark.parametrize("value", [True, "soon", [], {}, 0, -1, 10**30, float("inf"), float("nan"), "9" * 400])
def test_what_is_no_time_is_rejected(value: object) -> None:
    with pytest.raises(RejectedError) as caught:
        read_time(value)
    assert caught.value.reason is Reason.BAD_TIME


@pytest.mark.parametrize(
    ("value", "expected"), [(12345654332, "12345654332"), ("17841", "17841"), (None, None), ("", None)]
)
def test_an_id_is_text_whatever_it_came_as(value: object, expected: str | None) -> None:
    assert read_id(value) == expected


@pytest.mark.parametrize("value", [True, 1.5, [], {}, "a:b", "a\nb", "x" * 129])
def test_what_cannot_be_part_of_a_key_is_rejected(value: object) -> None:
    with pytest.raises(RejectedError) as caught:
        read_id(value)
    assert caught.value.reason is Reason.BAD_ID
