"""`leadstream pipelines …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from services.cli.common import fail, with_database
from services.cli.contact_views import printable
from services.cli.options import AsJson, OfAccount
from services.console.api.bodies import error_text
from shared.domain.pipelines import TEMPLATES, Pipeline, Stage, fill_ranges, template
from shared.runtime.settings import MongoSettings
from shared.store.accounts import AccountStore
from shared.store.mongo import Database
from shared.store.pipelines import PipelineStore

pipelines_app = typer.Typer(help="List and import pipelines.", no_args_is_help=True)


@pipelines_app.command("list")
def list_pipelines(as_json: AsJson = False) -> None:
    """List the pipelines that accounts can have."""
    for pipeline in with_database(MongoSettings(), _pipelines):
        _print_pipeline(pipeline, as_json)


@pipelines_app.command("templates")
def list_templates(as_json: AsJson = False) -> None:
    """List the pipelines that `import` knows by name."""
    for pipeline in TEMPLATES:
        _print_pipeline(pipeline, as_json)


@pipelines_app.command("import")
def import_pipeline(
    source: Annotated[str, typer.Argument(metavar="NAME_OR_FILE", help="A template's name, or a JSON file.")],
    account: OfAccount = None,
) -> None:
    """Import a pipeline, replacing one of the same name. With --account, assign it to that account.

    A file is {"name", "stages": [{"name", "type", "range": {"low", "high"}}]}. Missing ranges are computed; ranges that
    a person has set, in the file or before, are kept.
    """
    pipeline = template(source) or _read_pipeline(Path(source))
    with_database(MongoSettings(), lambda database: _store(database, pipeline, account))
    typer.echo(f"pipeline {pipeline.name}: {len(pipeline.stages)} stages{f', of {account}' if account else ''}")


async def _pipelines(database: Database) -> list[Pipeline]:
    return await PipelineStore(database).all()


async def _store(database: Database, pipeline: Pipeline, account: str | None) -> None:
    accounts = AccountStore(database)
    if account and not await accounts.by_key(account):
        fail(f"no account {account}; `leadstream accounts list` shows all")
    await PipelineStore(database).put(pipeline)
    if account:
        await accounts.set_pipeline(account, pipeline.name)


def _read_pipeline(path: Path) -> Pipeline:
    """Read a pipeline from a file. Its ranges count as set by a person unless the file says otherwise."""
    try:
        pipeline = Pipeline.model_validate_json(path.read_bytes())
        stages = tuple(_as_edited(stage) for stage in pipeline.stages)
        fill_ranges(stages)
        return pipeline.model_copy(update={"stages": stages})
    except OSError:
        names = ", ".join(each.name for each in TEMPLATES)
        raise typer.BadParameter(f"{path} is neither a template ({names}) nor a file that can be read") from None
    except ValidationError as error:
        raise typer.BadParameter(f"{path} is not a pipeline: {error_text(error)}") from None
    except ValueError as error:
        raise typer.BadParameter(f"{path}: {error}") from None


def _as_edited(stage: Stage) -> Stage:
    is_edited = stage.range is not None and "range_edited" not in stage.model_fields_set
    return stage.model_copy(update={"range_edited": True}) if is_edited else stage


def _print_pipeline(pipeline: Pipeline, as_json: bool) -> None:
    if as_json:
        typer.echo(pipeline.model_dump_json(exclude_none=True))
        return
    typer.echo(printable(pipeline.name))
    for stage in pipeline.stages:
        scores = f"{stage.range.low}-{stage.range.high}" if stage.range else "by status"
        if stage.range and stage.range_edited:
            scores += ", set by a person"
        typer.echo(printable(f"  {stage.name}  {stage.type}  {scores}"))
