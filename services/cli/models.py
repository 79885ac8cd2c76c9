"""`leadstream models`: the models that were trained for accounts, and which of them are in use."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import typer

from services.cli.common import fail, with_database
from services.cli.options import AsJson, ForAccount, OfAccount
from shared.runtime.settings import MongoSettings
from shared.store.account_models import SHIPPED, AccountModelStore, NoModelError
from shared.store.mongo import Document

models_app = typer.Typer(help="List and turn on the models that `train` has made for accounts.", no_args_is_help=True)


@models_app.command("list")
def list_models(account: OfAccount = None, as_json: AsJson = False) -> None:
    """List the models, oldest first, with what held-back labels said of them."""
    for model in with_database(MongoSettings(), lambda database: AccountModelStore(database).all(account)):
        typer.echo(orjson.dumps(_shown(model)) if as_json else _line(model))


@models_app.command("use")
def use_model(
    number: Annotated[int, typer.Argument(min=SHIPPED, help="The model's number; 0 is the model that is shipped.")],
    account: ForAccount,
) -> None:
    """Turn a model on for new analyses of an account's contacts. Analyzers notice within seconds."""
    try:
        with_database(MongoSettings(), lambda database: AccountModelStore(database).use(account, number))
    except NoModelError:
        fail(f"{account} has no model {number}; `leadstream models list` shows all")
    chosen = f"model {number}" if number else "the shipped model"
    typer.echo(
        f"{account} uses {chosen} from now on; `leadstream contacts reanalyse --account {account} --fallback` scores"
        " its contacts again"
    )


def _line(model: Document) -> str:
    mark = "  in use" if model.get("in_use") else ""
    made = f"{model['made_at']:%Y-%m-%d %H:%M}"
    about = f"{model['kind']} of {model['base']}, {model['labels']} labels, {made}"
    return f"{model['account']}  {model['number']}{mark}  {about}: {model['result']}"


def _shown(model: Document) -> dict[str, Any]:
    return {**{name: value for name, value in model.items() if name != "_id"}, "in_use": bool(model.get("in_use"))}
