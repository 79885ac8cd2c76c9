"""`leadstream evaluate`: how often analyses agree with what people set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from services.analyzer.evaluation.corrections import Comparison, agreements, comparisons, worst
from services.cli.common import with_database
from services.cli.contact_views import printable
from services.cli.options import AsJson, OfAccount
from shared.runtime.settings import MongoSettings
from shared.store.contacts import Contacts
from shared.store.mongo import Database


def evaluate(
    account: OfAccount = None,
    limit: Annotated[int, typer.Option(min=0, help="At most this many of the worst cases.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Compare the status, the stage and the tag `not a lead` that people set with the analysis then in force.

    The shares are those in which AI and fallback agreed, by model, field, stage and month of the edit. A stage of type
    WON or LOST is the outcome of a deal. A worst case is one that the analysis was sure of.
    """
    found = with_database(MongoSettings(), lambda database: _comparisons(database, account))
    if as_json:
        for agreement in agreements(found):
            typer.echo(orjson.dumps(agreement))
        for case in worst(found, limit):
            typer.echo(orjson.dumps({"worst": case}))
    else:
        for table in _tables(found, limit):
            Console(highlight=False).print(table)


async def _comparisons(database: Database, account: str | None) -> list[Comparison]:
    corrected = Contacts(database).corrected(account)
    return [each async for contact, corrections in corrected for each in comparisons(contact, corrections)]


def _tables(found: Sequence[Comparison], limit: int) -> tuple[Table, Table]:
    shares = _table("by", "analysis", "set by people", "agrees", "95 % interval")
    for group in agreements(found):
        interval = "{:.2f} to {:.2f}".format(*group.interval)
        shares.add_row(group.by, printable(group.group), str(group.cases), f"{group.share:.2f}", interval)
    cases = _table("worst cases", "by", "score", "confidence", "analysis", "person")
    for case in worst(found, limit):
        figures = (str(case.score), str(case.confidence))
        cases.add_row(case.contact_id, case.source, *figures, case.by_analysis, printable(case.by_person))
    return shares, cases


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
