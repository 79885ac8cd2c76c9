"""Train an account's model on what its people set, and judge it by labels of customers that it has not seen.

`evaluation/held_back.py` says how it is taken into account that people set what is wrong more often than what is right.
The level of the confidence stays for the same reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.analyzer.analysis.fallback.account_model import account_model, edition
from services.analyzer.analysis.fallback.model import Model
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from services.analyzer.evaluation.held_back import HeldBack, agreeing_share, compare, folds
from services.analyzer.training.owner_fit import OwnerCase, fit_shift
from services.analyzer.training.owner_labels import OwnerLabel
from shared.domain.account_models import AccountModel, ModelKind
from shared.runtime.clock import Clock

MIN_LABELS = {ModelKind.CALIBRATION: 100, ModelKind.WEIGHTS: 1_000}


def train_account(
    account: str, labels: Sequence[OwnerLabel], scorer: FallbackScorer, kind: ModelKind, clock: Clock
) -> tuple[AccountModel, HeldBack]:
    """Return the model of all labels, not numbered yet, and how such a model does on customers it has not seen."""
    verdicts = [scorer.score(label.analysis_input) for label in labels]
    agrees = [label.agrees(verdict) for label, verdict in zip(labels, verdicts, strict=True)]
    share = agreeing_share(agrees, [verdict.confidence / 100 for verdict in verdicts])
    cases = [
        OwnerCase(label, scorer.read(label.analysis_input).values, share if agreed else 1.0)
        for label, agreed in zip(labels, agrees, strict=True)
    ]

    def fitted(seen: Sequence[OwnerCase]) -> AccountModel:
        return _fitted(account, seen, scorer.model, kind, clock)

    customers, trained = [label.customer for label in labels], [False] * len(labels)
    for left_out in map(set, folds(customers)):
        seen = [case for place, case in enumerate(cases) if place not in left_out]
        own = scorer.with_model(account_model(scorer.model, fitted(seen)))
        for place in left_out:
            trained[place] = labels[place].agrees(own.score(labels[place].analysis_input))
    held_back = compare(customers, agrees, trained, share)
    return fitted(cases).model_copy(update={"result": held_back.result}), held_back


def _fitted(account: str, cases: Sequence[OwnerCase], shipped: Model, kind: ModelKind, clock: Clock) -> AccountModel:
    shift = fit_shift(shipped.linear, cases, kind)
    return AccountModel(
        account=account, number=1, kind=kind, base=shipped.name, edition=edition(shipped), made_at=clock(),
        labels=len(cases), result="", bias=shift.bias, features=tuple(shift.weights),
        weights=tuple(shift.weights.values()),
    )  # fmt: skip
