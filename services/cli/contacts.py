"""`leadstream contacts`: list, show and export; its other commands are in modules of their own."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.cli.common import fail, with_database
from services.cli.contact_edits import edit, reanalyse
from services.cli.contact_filter import ContactFilter
from services.cli.contact_views import contact_text, show_contacts
from services.cli.erase import erase
from services.cli.options import AsJson, ContactId, OfAccount
from services.cli.tail import tail
from shared.contract.contacts import Activity, Contact, LeadStatus
from shared.domain.contact_export import Format, write_contacts
from shared.runtime.settings import MongoSettings
from shared.store.activities import ActivityStore
from shared.store.contacts import Contacts
from shared.store.mongo import Database

contacts_app = typer.Typer(help="List, show, edit, export and erase contacts.", no_args_is_help=True)
contacts_app.command()(edit)
contacts_app.command()(reanalyse)
contacts_app.command()(erase)
contacts_app.command("forget", hidden=True, help="Alias of `erase`.")(erase)
contacts_app.command()(tail)

OfStatus = Annotated[
    LeadStatus | None, typer.Option("--status", help="Only this status, whether set by a person or an analysis.")
]
OfStage = Annotated[str | None, typer.Option("--stage", help="Only the stage of this name.")]


@contacts_app.command("list")
def list_contacts(
    account: OfAccount = None,
    status: OfStatus = None,
    stage: OfStage = None,
    limit: Annotated[int, typer.Option(min=0, help="At most this many; 0 means all.")] = 0,
    as_json: AsJson = False,
) -> None:
    """List contacts in the order of their ids."""
    where = ContactFilter(account, status, stage)
    with_database(MongoSettings(), lambda database: _print_contacts(database, where, limit, as_json=as_json))


async def _print_contacts(database: Database, where: ContactFilter, limit: int, *, as_json: bool) -> None:
    found = Contacts(database).find(where.query(), limit)
    if as_json:
        async for contact in found:
            typer.echo(contact.model_dump_json(exclude_none=True))
    else:
        show_contacts(Console(highlight=False), [contact async for contact in found])


@contacts_app.command("show")
def show_contact(contact_id: ContactId, as_json: AsJson = False) -> None:
    """Show one contact and the changes of its stage. Status 1 if there is none."""
    shown = with_database(MongoSettings(), lambda database: _find(database, contact_id))
    if shown is None:
        fail(f"no contact {contact_id}")
    contact, activities = shown
    if as_json:
        for each in (contact, *activities):
            typer.echo(each.model_dump_json(exclude_none=True))
    else:
        for line in contact_text(contact, activities):
            typer.echo(line)


async def _find(database: Database, contact_id: str) -> tuple[Contact, list[Activity]] | None:
    contact = await Contacts(database).read(contact_id)
    return (contact, await ActivityStore(database).of(contact_id)) if contact else None


@contacts_app.command("export")
def export(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The file to write; without it, standard output.")
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="CSV for a spreadsheet, or JSON lines with every field.")
    ] = Format.CSV,
    account: OfAccount = None,
    status: OfStatus = None,
    stage: OfStage = None,
) -> None:
    """Write contacts to a file. In CSV, an apostrophe precedes a cell that a spreadsheet would take for a formula."""
    where = ContactFilter(account, status, stage)

    async def go(database: Database) -> int:
        with file.open("w", encoding="utf-8", newline="") if file else nullcontext(sys.stdout) as sink:
            return await write_contacts(Contacts(database).find(where.query()), form, sink)

    try:
        number = with_database(MongoSettings(), go)
    except OSError as error:
        fail(f"{file or 'standard output'} cannot be written: {error.strerror}")
    if file:
        typer.echo(f"{number} contacts in {file}")
