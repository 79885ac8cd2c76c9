"""Order, duplication and interleaving do not matter (promise 3); what was unsent is gone (promise 9)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.conversations import StoredMessage, document, fold, from_document
from shared.events import (
    DeletionEvent,
    Direction,
    EditEvent,
    MessageEvent,
    OfMessage,
    PostbackEvent,
    ReactionEvent,
    Source,
)
from shared.ids import Platform, message_id

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
texts = st.one_of(st.none(), st.sampled_from(["", "How much?", "Magkano po?", "deal"]))
times = st.integers(0, 5).map(lambda n: EPOCH + timedelta(milliseconds=700 * n))


def base(mid: str = "m_1") -> dict[str, Any]:
    return {
        "event_id": "any",
        "platform": Platform.MESSENGER,
        "account_id": "page",
        "customer_id": "psid",
        "message_id": message_id(Platform.MESSENGER, "page", mid),
    }


common = {"occurred_at": times, "received_at": times, "direction": st.sampled_from(Direction)}
mids = st.sampled_from(["m_1", "1"])
facts: st.SearchStrategy[OfMessage | PostbackEvent] = mids.flatmap(
    lambda mid: st.one_of(
        st.builds(MessageEvent, text=texts, source=st.sampled_from(Source), mid=st.just(mid), **common, **fixed()),
        st.builds(PostbackEvent, title=texts, source=st.just(Source.WEBHOOK), mid=st.just(mid), **common, **fixed()),
        st.builds(
            EditEvent,
            text=texts,
            num_edit=st.integers(0, 2),
            source=st.just(Source.WEBHOOK),
            mid=st.just(mid),
            **common,
            **fixed(),
        ),
        st.builds(
            ReactionEvent,
            action=st.sampled_from(["react", "unreact"]),
            emoji=st.sampled_from(["❤", "😮"]),
            source=st.just(Source.WEBHOOK),
            mid=st.just(mid),
            **common,
            **fixed(),
        ),
        st.builds(DeletionEvent, source=st.just(Source.WEBHOOK), mid=st.just(mid), **common, **fixed()),
    )
)


def fixed() -> dict[str, Any]:
    return {name: st.just(value) for name, value in base().items()}


def folded(events: list[OfMessage | PostbackEvent]) -> StoredMessage:
    return reduce(fold, events[1:], fold(None, events[0]))


@given(
    st.lists(facts, min_size=1, max_size=6).flatmap(
        lambda events: st.tuples(
            st.just(events), st.permutations(events), st.lists(st.sampled_from(events), max_size=4)
        )
    )
)
def test_any_order_and_any_duplication_gives_the_same_message(
    case: tuple[list[OfMessage | PostbackEvent], list[OfMessage | PostbackEvent], list[OfMessage | PostbackEvent]],
) -> None:
    events, shuffled, again = case
    assert folded(shuffled + again) == folded(events)


@given(st.lists(facts, min_size=1, max_size=6))
def test_a_message_survives_its_way_through_the_store(events: list[OfMessage | PostbackEvent]) -> None:
    state = folded(events)
    assert from_document(document(state)) == state


@given(st.lists(facts, min_size=1, max_size=6))
def test_what_was_unsent_is_gone_whatever_comes_after(events: list[OfMessage | PostbackEvent]) -> None:
    state = folded(events)
    unsent = any(isinstance(event, DeletionEvent) for event in events)
    if unsent:
        assert state.text is None
        assert state.content is None
        assert state.postback is None
        assert not state.reactions
    assert (state.deleted_at is not None) == unsent
