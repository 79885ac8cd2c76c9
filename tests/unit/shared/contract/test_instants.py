"""Both parsers read a time alike: in UTC, with milliseconds, and never without an offset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared.contract.events import Instant, format_instant

instants: TypeAdapter[datetime] = TypeAdapter(Instant)
NOW = datetime(2024, 8, 12, 18, 16, 49, 684_000, UTC)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_a_written_time_is_read_back_to_the_millisecond(at: datetime) -> None:
    found = instants.validate_python(format_instant(at))
    assert found == at.replace(microsecond=at.microsecond // 1000 * 1000)
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "2024-08-12T18:16:49.684Z",
        "2024-08-12T20:16:49.684+02:00",
        "2024-08-12T18:16:49.684999+00:00",
        "2024-08-12T18:16:49.6840000Z",
        "2024-08-12 18:16:49.684Z",
        NOW,
        NOW + timedelta(microseconds=999),
        NOW.astimezone(timezone(timedelta(hours=2))),
    ],
)
def test_other_notations_of_a_time_are_read_alike(value: object) -> None:
    assert instants.validate_python(value) == NOW
    assert instants.validate_python(value).microsecond == 684_000


@pytest.mark.parametrize(
    "value", ["2024-08-12T18:16:49.684", "2024-13-12T18:16:49.684Z", "secret secret secre.684Z", "secret", None, {}]
)
def test_a_malformed_time_is_refused_without_being_quoted(value: object) -> None:
    with pytest.raises(ValueError) as error:
        instants.validate_python(value)
    assert isinstance(error.value, ValidationError)
    assert "secret" not in str(error.value.errors(include_input=False))
