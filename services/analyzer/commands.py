"""`leadstream analyzer`, `contacts` and `pipelines`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from services.analyzer.app import run
from shared.commands import with_database
from shared.contacts import Activity, Contact
from shared.mongo import Database
from shared.pipelines import TEMPLATES, Pipeline, template, with_ranges
from shared.service import run_service
from shared.settings import AnalyzerSettings, MongoSettings

contacts_app = typer.Typer(help="Look at contacts.", no_args_is_help=True)
pipelines_app = typer.Typer(help="Look at pipelines and bring them in.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def analyzer() -> None:
    """Turn events into contacts: aggregate, analyse, publish."""
    settings = AnalyzerSettings()
    run_service(settings, lambda stop: run(settings, stop))


@contacts_app.command("list")
def list_contacts(as_json: AsJson = False) -> None:
    """Every contact, in the order of their ids."""
    with_database(MongoSettings(), lambda database: _print_contacts(database, as_json))


@contacts_app.command("show")
def show_contact(contact_id: Annotated[str, typer.Argument(metavar="CONTACT_ID")], as_json: AsJson = False) -> None:
    """One contact and how its stage changed. Status 1 where there is none."""
    if not with_database(MongoSettings(), lambda database: _print_contact(database, contact_id, as_json)):
        typer.echo(f"leadstream: no contact {contact_id}", err=True)
        raise typer.Exit(1)


@pipelines_app.command("list")
def list_pipelines(as_json: AsJson = False) -> None:
    """The pipelines that accounts can have."""
    for pipeline in with_database(MongoSettings(), _pipelines):
        _print_pipeline(pipeline, as_json)


@pipelines_app.command("templates")
def list_templates(as_json: AsJson = False) -> None:
    """The pipelines that `import` knows by name."""
    for pipeline in TEMPLATES:
        _print_pipeline(pipeline, as_json)


@pipelines_app.command("import")
def import_pipeline(
    source: Annotated[str, typer.Argument(metavar="NAME_OR_FILE", help="A template's name, or a JSON file.")],
) -> None:
    """Bring a pipeline in, or replace the one of its name. Ranges that the file leaves out are made."""
    pipeline = template(source) or _read_pipeline(Path(source))
    with_database(MongoSettings(), lambda database: _store(database, pipeline))
    typer.echo(f"pipeline {pipeline.name}: {len(pipeline.stages)} stages")


async def _print_contacts(database: Database, as_json: bool) -> None:
    async for stored in database.contacts.find({}, {"outbox": False}).sort("_id", 1):
        contact = Contact.model_validate(stored)
        typer.echo(contact.model_dump_json(exclude_none=True) if as_json else _line(contact))


async def _print_contact(database: Database, contact_id: str, as_json: bool) -> bool:
    stored = await database.contacts.find_one({"_id": contact_id}, {"outbox": False})
    if stored is None:
        return False
    typer.echo(Contact.model_validate(stored).model_dump_json(exclude_none=True, indent=None if as_json else 2))
    async for activity in database.activities.find({"contact_id": contact_id}).sort("version", 1):
        found = Activity.model_validate(activity)
        moved = f"version {found.version}: {found.from_stage or 'no stage'} -> {found.to_stage} (score {found.score})"
        typer.echo(found.model_dump_json(exclude_none=True) if as_json else printable(moved))
    return True


async def _pipelines(database: Database) -> list[Pipeline]:
    return [Pipeline.model_validate(stored) async for stored in database.pipelines.find().sort("_id", 1)]


async def _store(database: Database, pipeline: Pipeline) -> None:
    stored = pipeline.model_dump(mode="json")
    await database.pipelines.replace_one({"_id": pipeline.name}, {"_id": pipeline.name, **stored}, upsert=True)


def _read_pipeline(path: Path) -> Pipeline:
    try:
        pipeline = Pipeline.model_validate_json(path.read_bytes())
    except OSError:
        names = ", ".join(each.name for each in TEMPLATES)
        raise typer.BadParameter(f"{path} is neither a template ({names}) nor a file that can be read") from None
    except ValidationError as error:
        raise typer.BadParameter(f"{path} is not a pipeline: {error}") from None
    return pipeline.model_copy(update={"stages": with_ranges(pipeline.stages)})


def _line(contact: Contact) -> str:
    analysis = contact.analysis
    score = f"{analysis.lead_score:>3} {analysis.lead_status} ({analysis.source})" if analysis else "  – not analysed"
    stage = contact.stage.name if contact.stage else "no stage"
    return printable(f"{contact.contact_id}  v{contact.version}  {score}  {stage}  {contact.name.full}")


def printable(text: str) -> str:
    """Without the controls by which a name could write to the rest of a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def _print_pipeline(pipeline: Pipeline, as_json: bool) -> None:
    if as_json:
        typer.echo(pipeline.model_dump_json(exclude_none=True))
        return
    typer.echo(printable(pipeline.name))
    for stage in pipeline.stages:
        scores = f"{stage.range.low}-{stage.range.high}" if stage.range else "by status"
        typer.echo(printable(f"  {stage.name}  {stage.type}  {scores}"))
