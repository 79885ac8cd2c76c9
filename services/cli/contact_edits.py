"""`leadstream contacts edit` and `leadstream contacts reanalyse`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from services.cli.common import fail, with_database
from services.cli.contact_filter import ContactFilter
from services.cli.contact_views import contact_text
from services.cli.options import ContactId, OfAccount
from shared.contract.contacts import AnalysisSource, LeadStatus
from shared.domain.contact_edits import AutomaticField, ContactEdit, InvalidEditError
from shared.runtime.clock import utc_now
from shared.runtime.settings import MongoSettings
from shared.store.contact_editing import NoContactError, edit_contact
from shared.store.contacts import Contacts
from shared.store.conversations import Conversations
from shared.store.mongo import Database

REQUEUE_BATCH_SIZE = 1000
"""Conversations requeued by one update."""


class EditableField(StrEnum):
    """The names of `AutomaticField` on the command line."""

    NAME = "name"
    STAGE = "stage"
    STATUS = "status"


def edit(
    contact_id: ContactId,
    name: Annotated[
        str | None, typer.Option(help="The name: first word is the first name, the rest the last name.")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="A stage of the account's pipeline.")] = None,
    status: Annotated[LeadStatus | None, typer.Option(help="The status; it overrides every analysis.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Add this tag, several times if need be; `not a lead` counts as a label.")
    ] = None,
    untag: Annotated[list[str] | None, typer.Option(help="Remove this tag; may be given several times.")] = None,
    note: Annotated[str | None, typer.Option(help="Replace the notes.")] = None,
    give_back: Annotated[
        list[EditableField] | None, typer.Option(help="Let analyses set this field again; may be given several times.")
    ] = None,
) -> None:
    """Edit a contact and print it. No analysis overwrites an edited field until it is given back."""
    given_back = frozenset(AutomaticField[each.name] for each in give_back or ())
    change = ContactEdit(name, stage, status, note, tuple(tag or ()), tuple(untag or ()), given_back)
    if change == ContactEdit():
        raise typer.BadParameter("say what to change: --name, --stage, --status, --tag, --untag, --note, --give-back")
    try:
        contact = with_database(MongoSettings(), lambda database: edit_contact(database, contact_id, change, utc_now))
    except NoContactError:
        fail(f"no contact {contact_id}")
    except InvalidEditError as error:
        raise typer.BadParameter(str(error)) from None
    for line in contact_text(contact, ()):
        typer.echo(line)


def reanalyse(
    contact_ids: Annotated[list[str] | None, typer.Argument(metavar="[CONTACT_ID]...", help="The contacts.")] = None,
    account: OfAccount = None,
    fallback: Annotated[bool, typer.Option("--fallback", help="Contacts whose analysis is the fallback's.")] = False,
) -> None:
    """Analyse conversations again, even if nothing was written since. Running analyzers do the work."""
    if bool(contact_ids) == bool(account or fallback):
        raise typer.BadParameter("name contacts, or select them by --account or --fallback")
    where = ContactFilter(account, source=AnalysisSource.FALLBACK if fallback else None)
    asked, requeued = with_database(MongoSettings(), lambda database: _requeue(database, contact_ids, where))
    typer.echo(f"{requeued} conversations will be analysed again")
    if requeued < asked:
        fail(f"{asked - requeued} of {asked} do not exist")


async def _requeue(database: Database, contact_ids: list[str] | None, where: ContactFilter) -> tuple[int, int]:
    """Requeue the conversations. Return how many were named and how many of them exist."""
    ids = contact_ids or [contact.contact_id async for contact in Contacts(database).find(where.query())]
    each = list(dict.fromkeys(ids))
    batches = [each[start : start + REQUEUE_BATCH_SIZE] for start in range(0, len(each), REQUEUE_BATCH_SIZE)]
    return len(each), sum([await Conversations(database).requeue(batch, reanalyse=True) for batch in batches])
