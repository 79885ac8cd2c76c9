"""Changes an editor makes to contacts, by a page or the API: to one contact, or to many."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable

from services.console.index.contact_index import ContactIndex, row_of
from services.console.ports import Erase
from shared.bus.producer import AIOKafkaProducer
from shared.contract.contacts import Contact
from shared.contract.failures import UnreachableError
from shared.contract.ids import ConversationKey
from shared.domain.contact_edits import ContactEdit, InvalidEditError
from shared.runtime.clock import Clock
from shared.store.contact_editing import NoContactError, edit_contact
from shared.store.conversations import Conversations
from shared.store.mongo import ConnectionFailure, Database

MAX_BULK_SECONDS = 120.0
"""For all contacts of a request together: while a server is away, each change waits for it."""


class BusyError(Exception):
    """A worker holds the conversation for too long. It can be tried again."""


class ContactChanges:
    def __init__(
        self, contact_index: ContactIndex, database: Database, producer: AIOKafkaProducer, clock: Clock, erase: Erase
    ) -> None:
        self._contact_index = contact_index
        self._database = database
        self._producer = producer
        self._clock = clock
        self._erase = erase

    async def edit(self, contact_id: str, edit: ContactEdit) -> Contact:
        """Edit a contact and return it; the lists show it at once. NoContactError, InvalidEditError."""
        contact = await edit_contact(self._database, contact_id, edit, self._clock)
        self._contact_index.put(row_of(contact))
        return contact

    async def analyse(self, contact_id: str) -> None:
        """Queue the conversation to be analysed again. NoContactError."""
        if not await Conversations(self._database).requeue([contact_id], reanalyse=True):
            raise NoContactError(contact_id)

    async def erase(self, contact_id: str) -> None:
        """Erase the customer. NoContactError, BusyError."""
        try:
            version = await self._erase(self._database, self._producer, ConversationKey.parse(contact_id))
        except (ValueError, LookupError):
            raise NoContactError(contact_id) from None
        except RuntimeError as error:
            raise BusyError(str(error)) from None
        self._contact_index.remove(contact_id, version)


async def apply_to_each(
    ids: Iterable[str], act: Callable[[str], Awaitable[object]], seconds: float = MAX_BULK_SECONDS
) -> dict[str, str]:
    """Apply `act` to each contact, whether or not others fail. Return the reason of each failure by contact id."""
    refused, until = dict[str, str](), time.monotonic() + seconds
    for contact_id in ids:
        try:
            if time.monotonic() > until:
                raise BusyError("it took too long: try again")
            await act(contact_id)
        except NoContactError:
            refused[contact_id] = "the contact no longer exists"
        except (InvalidEditError, BusyError) as error:
            refused[contact_id] = str(error).rstrip(".")
        except (ConnectionFailure, UnreachableError):
            refused[contact_id] = "the database or the broker does not answer"
    return refused
