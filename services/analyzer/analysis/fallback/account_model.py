"""The model of an account: the shipped one, shifted by what the account's people correct (ADR 18). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.analyzer.analysis.fallback.model import Model
from shared.contract.ids import content_hash
from shared.domain.account_models import AccountModel


class ModelMisfitError(ValueError):
    """The model was made for other weights than those of this release."""


def edition(model: Model) -> str:
    """Return a hash of the model's weights and calibration."""
    return content_hash(model.to_json())


def account_model(shipped: Model, own: AccountModel) -> Model:
    """Return the shipped model with an account's numbers added. ModelMisfitError."""
    linear = shipped.linear
    if own.edition != edition(shipped) or not linear.weights.keys() >= set(own.features):
        raise ModelMisfitError(f"it was made for other weights of {own.base} than those of {shipped.name} here")
    added = dict(zip(own.features, own.weights, strict=True))
    weights = {name: _sum(row, added[name]) if name in added else row for name, row in linear.weights.items()}
    shifted = replace(linear, bias=_sum(linear.bias, own.bias), weights=weights)
    return replace(shipped, name=f"{shipped.name} #{own.number}", linear=shifted)


def _sum(left: Sequence[float], right: Sequence[float]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(left, right, strict=True))
