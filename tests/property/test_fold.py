"""Order, duplication and interleaving do not matter (promise 3); deleted content is removed (promise 9)."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from shared.contract.events import DeletionEvent, MessageScopedEvent, PostbackEvent
from shared.domain.messages import StoredMessage, document, fold, from_document
from tests.support.facts import facts


def folded(events: list[MessageScopedEvent | PostbackEvent]) -> StoredMessage:
    return reduce(fold, events[1:], fold(None, events[0]))


@given(
    st.lists(facts, min_size=1, max_size=6).flatmap(
        lambda events: st.tuples(
            st.just(events), st.permutations(events), st.lists(st.sampled_from(events), max_size=4)
        )
    )
)
def test_any_order_and_duplication_give_the_same_message(
    case: tuple[
        list[MessageScopedEvent | PostbackEvent],
        list[MessageScopedEvent | PostbackEvent],
        list[MessageScopedEvent | PostbackEvent],
    ],
) -> None:
    events, shuffled, again = case
    assert folded(shuffled + again) == folded(events)


@given(st.lists(facts, min_size=1, max_size=6))
def test_a_message_is_unchanged_by_storing_it(events: list[MessageScopedEvent | PostbackEvent]) -> None:
    state = folded(events)
    assert from_document(document(state)) == state


@given(st.lists(facts, min_size=1, max_size=6))
def test_a_deleted_message_has_no_content_whatever_comes_after(
    events: list[MessageScopedEvent | PostbackEvent],
) -> None:
    state = folded(events)
    unsent = any(isinstance(event, DeletionEvent) for event in events)
    if unsent:
        assert state.text is None
        assert state.content is None
        assert state.postback is None
        assert not state.reactions
    assert (state.deleted_at is not None) == unsent
