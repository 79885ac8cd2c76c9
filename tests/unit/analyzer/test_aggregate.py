"""The writes of a batch, given the stored messages."""

from __future__ import annotations

from shared.contract.events import Event
from shared.domain.messages import document, fold, fold_all
from shared.store.messages import changes
from tests.support.making import completed, listed, reacted, said, unsent


def test_a_known_message_is_not_written_again() -> None:
    event = said("How much?", 0)
    assert changes({event.message_id: (fold(None, event), 3)}, [event, event]) == []


def test_a_new_message_is_inserted_once_for_all_events_of_a_batch() -> None:
    events: list[Event] = [reacted("m_1", 5), said("How much?", 0, mid="m_1"), listed(0), completed(1)]
    (write,) = changes({}, events)
    (state,) = fold_all(events).values()
    assert write._filter == {"_id": state.message_id, "rev": 0}
    assert write._upsert is True
    assert write._doc == {**document(state), "rev": 1}


def test_a_known_message_is_replaced_only_as_it_was_read() -> None:
    event = said("How much?", 0, mid="m_1")
    (write,) = changes({event.message_id: (fold(None, event), 3)}, [unsent("m_1", 9)])
    assert write._filter == {"_id": event.message_id, "rev": 3}
    assert write._upsert is False
    assert write._doc["rev"] == 4
    assert "webhook" not in write._doc
