"""The `fields` parameter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.simulator.errors import RefusedError
from services.simulator.fields import parse_fields, project
from services.simulator.nodes import CONVERSATION

NODE = {"id": "t_1", "snippet": None, "participants": {"data": [{"id": "1", "name": "A"}, {"id": "2"}]}, "unread": 3}


def test_what_was_not_asked_for_and_what_is_empty_is_left_out_but_never_the_id() -> None:
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
def test_what_a_node_does_not_have_is_refused_and_what_is_not_well_formed(text: str, code: int) -> None:
    with pytest.raises(RefusedError) as caught:
        parse_fields(text, CONVERSATION)
    assert caught.value.refusal.code == code


@given(text=st.text(alphabet="id,{}().messages x", max_size=30))
def test_garbage_is_refused_or_read_but_never_a_crash(text: str) -> None:
    try:
        fields = parse_fields(text, CONVERSATION)
    except RefusedError:
        return
    assert all(field.name in CONVERSATION for field in fields)
