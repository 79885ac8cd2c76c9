"""The `fields` parameter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.simulator.errors import RefusedError
from services.simulator.fields import parse_fields, project
from services.simulator.nodes import CONVERSATION

NODE = {"id": "t_1", "snippet": None, "participants": {"data": [{"id": "1", "name": "A"}, {"id": "2"}]}, "unread": 3}


def test_a_projection_has_the_id_and_the_requested_fields_that_are_not_empty() -> None:
    assert project(NODE, parse_fields("snippet,participants{name}", CONVERSATION)) == {
        "id": "t_1",
        "participants": {"data": [{"id": "1", "name": "A"}, {"id": "2"}]},
    }


def test_an_expansion_has_its_own_limit_and_fields() -> None:
    (field,) = parse_fields("messages.limit(3).after(abc){id,from{name}}", CONVERSATION)
    assert field.modifiers == {"limit": "3", "after": "abc"}
    assert field.inner_text == "id,from{name}"
    assert [each.name for each in field.inner] == ["id", "from"]


@pytest.mark.parametrize(
    ("text", "code"),
    [("nonsense", 100), ("messages{nonsense}", 100), ("id{name}", 100), ("messages{id", 2500), ("id}", 2500)],
)
def test_unknown_fields_and_syntax_errors_are_refused(text: str, code: int) -> None:
    with pytest.raises(RefusedError) as caught:
        parse_fields(text, CONVERSATION)
    assert caught.value.refusal.code == code


@given(text=st.text(alphabet="id,{}().messages x", max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        fields = parse_fields(text, CONVERSATION)
    except RefusedError:
        return
    assert all(field.name in CONVERSATION for field in fields)
