"""Strategies of events about a few messages of one conversation, from either producer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from shared.contract.events import (
    ConversationCompletedEvent,
    ConversationListedEvent,
    DeletionEvent,
    Direction,
    EditEvent,
    Event,
    MessageEvent,
    MessageScopedEvent,
    Participant,
    PostbackEvent,
    ReactionEvent,
    Referral,
    ReferralEvent,
    Source,
)
from shared.contract.ids import Platform, message_id

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

texts = st.one_of(st.none(), st.sampled_from(["", "How much?", "Magkano po?", "deal"]))
times = st.integers(0, 5).map(lambda n: EPOCH + timedelta(milliseconds=700 * n))
common = {"occurred_at": times, "received_at": times, "direction": st.sampled_from(Direction)}
webhook = {"source": st.just(Source.WEBHOOK), **common}
conversation: dict[str, Any] = {
    name: st.just(value)
    for name, value in {
        "event_id": "any",
        "platform": Platform.MESSENGER,
        "account_id": "page",
        "customer_id": "psid",
    }.items()
}


def of(mid: str) -> dict[str, Any]:
    name = message_id(Platform.MESSENGER, "page", mid)
    return {**conversation, "message_id": st.just(name), "mid": st.just(mid)}


def facts_of(mid: str) -> st.SearchStrategy[MessageScopedEvent | PostbackEvent]:
    return st.one_of(
        st.builds(MessageEvent, text=texts, source=st.sampled_from(Source), **common, **of(mid)),
        st.builds(PostbackEvent, title=texts, **webhook, **of(mid)),
        st.builds(EditEvent, text=texts, num_edit=st.integers(0, 2), **webhook, **of(mid)),
        st.builds(
            ReactionEvent,
            action=st.sampled_from(["react", "unreact"]),
            emoji=st.sampled_from(["❤", "😮"]),
            **webhook,
            **of(mid),
        ),
        st.builds(DeletionEvent, **webhook, **of(mid)),
    )


facts = st.sampled_from(["m_1", "1"]).flatmap(facts_of)
"""Events about one message, whose id each producer writes in its own form."""

told = {
    "thread_id": st.just("t_1"),
    "run_id": st.sampled_from(["one", "two"]),
    "source": st.just(Source.BACKFILL),
    **common,
    **conversation,
}
names = st.sampled_from([None, "Maria Santos"])
people = names.map(lambda name: (Participant(id="psid", name=name), Participant(id="page", name="The Page")))
referrals = st.sampled_from(["ad", "link"]).map(lambda ref: Referral(ref=ref))
events: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from(["m_1", "1", "m_2", "m_3"]).flatmap(facts_of),
    st.builds(ConversationListedEvent, participants=people, **told),
    st.builds(ConversationCompletedEvent, messages_read=st.just(3), **told),
    st.builds(ReferralEvent, referral=referrals, **webhook, **conversation),
)
"""Events about three messages and about the whole conversation."""
