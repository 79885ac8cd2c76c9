"""What a contact's page shows of the messages."""

from __future__ import annotations

from services.console.contacts.message_list import displayed_messages
from shared.contract.events import Attachment
from shared.domain.messages import fold_all
from tests.support.making import answered, reacted, said, unsent


def test_a_conversation_shows_both_sides_in_order_of_time() -> None:
    found = displayed_messages(fold_all([answered("Yes", 2, mid="m_b"), said("Is it there?", 1, mid="m_a")]).values())
    assert [(each.text, each.is_customer) for each in found] == [("Is it there?", True), ("Yes", False)]
    assert [each.is_first_of_day for each in found] == [True, False]


def test_an_unsent_message_is_marked_and_shows_no_content() -> None:
    (only,) = displayed_messages(fold_all([said("my secret", 1, mid="m_a"), unsent("m_a", 2)]).values())
    assert only.is_unsent
    assert (only.text, only.marks) == ("", ())


def test_attachments_and_reactions_are_shown() -> None:
    picture = said(None, 1, mid="m_a", attachments=(Attachment(type="image"),))
    (only,) = displayed_messages(fold_all([picture, reacted("m_a", 2)]).values())
    assert (only.marks, only.reactions) == (("image",), ("❤",))


def test_a_message_known_only_by_a_reaction_is_not_shown() -> None:
    assert displayed_messages(fold_all([reacted("m_a", 2)]).values()) == []
