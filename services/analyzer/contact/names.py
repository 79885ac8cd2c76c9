"""Chooses the name of a customer from what the platform has sent. Pure.

Sources, weakest first (`NameSource`): a placeholder, the username, the profile, the participants of a listing, the
sender of a message, a person. An analysis calls `best_name` (`merge.py`). The profile comes later and replaces only a
placeholder or username (`services/analyzer/profiles/profile.py`). A person's name comes by an edit
(`shared/domain/contact_edits.py`), and no source replaces it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

from shared.contract.contacts import Name, NameSource
from shared.contract.events import Direction, Participant
from shared.contract.ids import Platform
from shared.domain.messages import StoredMessage

_STRENGTH = list(NameSource)
_PLACEHOLDERS = {Platform.MESSENGER: "User", Platform.INSTAGRAM: "IG User"}


def best_name(
    platform: Platform,
    customer_id: str,
    messages: Iterable[StoredMessage],
    participants: Sequence[Participant],
    known: Name | None,
) -> Name:
    """Return the newest name of the strongest source. A weaker source never replaces the known name."""
    candidates = [*_of_messages(messages), *_of_participants(customer_id, participants)]
    candidates.append(_placeholder(platform, customer_id))
    best = max(candidates, key=lambda name: _STRENGTH.index(name.source))
    username = next((name.username for name in candidates if name.username), None) or (
        known.username if known else None
    )
    if known and _STRENGTH.index(known.source) > _STRENGTH.index(best.source):
        best = known
    return best.model_copy(update={"username": username}) if username != best.username else best


def _of_messages(messages: Iterable[StoredMessage]) -> Iterator[Name]:
    """Yield the customer's names, newest first, each once: most messages have the same. Only Graph names the sender."""
    senders = [
        (message.sent_at, message.message_id, message.backfill.sender_name, message.backfill.sender_username)
        for message in messages
        if message.sent_at and message.backfill and message.direction is Direction.INBOUND
    ]
    senders.sort(key=itemgetter(0, 1), reverse=True)
    for name, username in dict.fromkeys((name, username) for _, _, name, username in senders):
        yield from _named(name, username, NameSource.MESSAGE)


def _of_participants(customer_id: str, participants: Sequence[Participant]) -> Iterator[Name]:
    for participant in participants:
        if participant.id == customer_id:
            yield from _named(participant.name, participant.username, NameSource.PARTICIPANTS)


def _named(name: str | None, username: str | None, source: NameSource) -> Iterator[Name]:
    if name and name.strip():
        yield Name.split(name, source, username)
    elif username:
        yield Name(first=username, username=username, source=NameSource.USERNAME)


def _placeholder(platform: Platform, customer_id: str) -> Name:
    return Name(first=_PLACEHOLDERS[platform], last=customer_id[-6:], source=NameSource.PLACEHOLDER)
