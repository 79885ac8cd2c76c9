"""`leadstream contacts edit` and `reanalyse`: what a person asks the analyzers to take over."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from services.cli.common import fail, with_database
from services.cli.contact_query import Wanted, find_contacts
from services.cli.contact_views import contact_text
from services.cli.options import ContactId, OfAccount
from shared.contract.contacts import AnalysisSource, LeadStatus
from shared.domain.contact_edits import AutomaticField, ContactEdit, InvalidEditError
from shared.runtime.clock import utc_now
from shared.runtime.settings import MongoSettings
from shared.store.contact_editing import NoContactError, edit_contact
from shared.store.conversations import Conversations
from shared.store.mongo import Database

AT_ONCE = 1000
"""Conversations made due by one update."""


class Given(StrEnum):
    """As a person names what `AutomaticField` names."""

    NAME = "name"
    STAGE = "stage"
    STATUS = "status"


def edit(
    contact_id: ContactId,
    name: Annotated[str | None, typer.Option(help="What they are called: first word, then the rest.")] = None,
    stage: Annotated[str | None, typer.Option(help="A stage of their account's pipeline.")] = None,
    status: Annotated[LeadStatus | None, typer.Option(help="It counts, whatever an analysis says.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Add this tag; may be given several times.")] = None,
    untag: Annotated[list[str] | None, typer.Option(help="Take this tag away.")] = None,
    note: Annotated[str | None, typer.Option(help="In place of the notes that are there.")] = None,
    give_back: Annotated[
        list[Given] | None, typer.Option(help="Let the machine set this again; may be given several times.")
    ] = None,
) -> None:
    """Set what no machine overwrites from then on, or give it back to the machine. Prints the contact as it is then."""
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
    contact_ids: Annotated[list[str] | None, typer.Argument(metavar="[CONTACT_ID]...", help="These.")] = None,
    account: OfAccount = None,
    fallback: Annotated[bool, typer.Option("--fallback", help="Those whose analysis is the fallback's.")] = False,
) -> None:
    """Have conversations analysed anew by the running analyzers, whether or not anything was said since."""
    if bool(contact_ids) == bool(account or fallback):
        raise typer.BadParameter("name contacts, or choose them by --account or --fallback")
    wanted = Wanted(account, source=AnalysisSource.FALLBACK if fallback else None)
    asked, made = with_database(MongoSettings(), lambda database: _make_due(database, contact_ids, wanted))
    typer.echo(f"{made} conversations will be analysed anew")
    if made < asked:
        fail(f"{asked - made} of {asked} are not known")


async def _make_due(database: Database, contact_ids: list[str] | None, wanted: Wanted) -> tuple[int, int]:
    """How many were asked for, and how many of them there are."""
    ids = contact_ids or [contact.contact_id async for contact in find_contacts(database, wanted)]
    each = list(dict.fromkeys(ids))
    batches = [each[start : start + AT_ONCE] for start in range(0, len(each), AT_ONCE)]
    return len(each), sum([await Conversations(database).requeue(batch, reanalyse=True) for batch in batches])
