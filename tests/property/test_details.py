"""The filter before the phone number library passes every number that the library finds."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import Leniency, PhoneNumberFormat, PhoneNumberMatcher, format_number

from services.analyzer.contact.contact_details import DEFAULT_REGION, MAX_DETAILS, find_details

BETWEEN = ["", "", "", " ", "-", ".", "/", ") ", " (", "–", "\u2011", "\u00a0", "~", "x", " - ", ",", "a"]
numbers = st.tuples(
    st.sampled_from(["", "call ", "+63", "+1 ", "(0", "09"]),
    st.lists(st.tuples(st.sampled_from("0123456789٠٥９"), st.sampled_from(BETWEEN)), min_size=5, max_size=14),
).map(lambda parts: parts[0] + "".join(digit + between for digit, between in parts[1]))


@given(numbers)
@example("+63 917 555 0123")
@example("0917–555–0123")
@example("(02) 8555-0123")
@example("٠٩١٧٥٥٥٠١٢٣")
def test_every_number_is_found(text: str) -> None:
    matches = PhoneNumberMatcher(text, DEFAULT_REGION, leniency=Leniency.VALID)
    found = {format_number(match.number, PhoneNumberFormat.E164) for match in matches}
    assert set(find_details([text]).phones) == found


def test_the_number_of_details_is_limited() -> None:
    found = find_details(f"a{number}@example.org 0917 555 {number:04}" for number in range(5 * MAX_DETAILS))
    assert (len(found.emails), len(found.phones)) == (MAX_DETAILS, MAX_DETAILS)
    assert found.emails[0] == "a0@example.org"
