"""`leadstream train`: an account's model, from what its people have set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec

import typer

from services.analyzer.analysis.fallbacks import compose_fallback
from services.analyzer.evaluation.held_back import HeldBack
from services.analyzer.evaluation.uncertainty import Figure
from services.cli.common import fail, with_database
from services.cli.options import ForAccount
from shared.runtime.clock import utc_now
from shared.runtime.settings import AnalyzerSettings
from shared.store.account_models import AccountModelStore
from shared.store.mongo import Database

BIAS = """\
People set what they find wrong more often than what is right. So a label with which the shipped model agrees counts
more in the fit and in the gain, and neither says how often the model is right over all contacts."""


def train(account: ForAccount) -> None:
    """Fit the fallback to the statuses, stages and tags `not a lead` that people set in an account's contacts.

    From 100 labels on this shifts the calibration, from 1,000 on all weights as well. It says how each model does on
    labels of customers that it has not seen. Nothing changes until `leadstream models use` turns a model on.
    """
    if not find_spec("sklearn"):
        fail("training needs scikit-learn: pip install 'leadstream[train]'")
    settings = AnalyzerSettings()
    for line in with_database(settings, lambda database: _train(database, account, settings)):
        typer.echo(line)


async def _train(database: Database, account: str, settings: AnalyzerSettings) -> Sequence[str]:
    # These import scikit-learn, which is not installed everywhere.
    from services.analyzer.training.label_loader import load_owner_labels  # noqa: PLC0415
    from services.analyzer.training.owner_training import MIN_LABELS, train_account  # noqa: PLC0415

    labels = await load_owner_labels(database, account)
    least = min(MIN_LABELS.values())
    if len(labels) < least:
        fail(f"{account} has {len(labels)} labels that people have set; training needs {least}")
    store, scorer = AccountModelStore(database), compose_fallback(settings.fallback)
    customers = len({label.customer for label in labels})
    lines = [f"{len(labels)} labels of {customers} contacts; the shipped model is {scorer.model.name}"]
    for kind, enough in MIN_LABELS.items():
        if len(labels) >= enough:
            model, held_back = train_account(account, labels, scorer, kind, utc_now)
            stored = await store.add(model)
            lines += _report(f"model {stored.number}, {kind}", held_back)
    return [*lines, BIAS, f"Nothing is turned on. To do so: leadstream models use NUMBER --account {account}"]


def _report(name: str, held_back: HeldBack) -> Iterator[str]:
    yield f"{name}: {held_back.result}"
    yield f"  shipped model agrees  {_with_interval(held_back.shipped)} of {held_back.shipped.cases} labels"
    yield f"  this one agrees       {_with_interval(held_back.trained)} on customers it has not seen"
    counts = f"a label that agrees with the shipped model counts {held_back.share:.1f}"
    yield f"  weighted gain         {_with_interval(held_back.gain, '+.2f')}; {counts}"


def _with_interval(figure: Figure, form: str = ".2f") -> str:
    low, high = figure.interval or (0.0, 0.0)
    return f"{figure.value or 0:{form}} ({low:{form}} to {high:{form}})"
