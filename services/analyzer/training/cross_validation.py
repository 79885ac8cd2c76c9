"""Predict each author's conversations with a model that was fitted on other authors' ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.analyzer.analysis.fallback.model import Linear, Model, Prediction, predict
from services.analyzer.evaluation.measures import Label
from services.analyzer.training.calibration import calibrate
from services.analyzer.training.fit import Row, Step, fit

FOLDS = 8


@dataclass(frozen=True, slots=True)
class Fold:
    """`places` are the indexes of the cases that `linear` has not seen, nor any other case of their authors."""

    places: tuple[int, ...]
    linear: Linear


def cross_validate(
    rows: Sequence[Row],
    labels: Sequence[Label],
    authors: Sequence[str],
    most_authors: int | None = None,
    ways: Sequence[Sequence[Step]] = (),
) -> list[Fold]:
    """Return one fold a group of authors; each is fitted on the others, or on `most_authors` of them.

    `ways` has the steps of each case, or is empty.
    """
    folds = []
    for left_out, seen in splits(authors, most_authors):
        places = [place for place, author in enumerate(authors) if author in seen]
        seen_ways = [ways[place] for place in places] if ways else []
        linear = fit([rows[place] for place in places], [labels[place] for place in places], seen_ways)
        folds.append(Fold(tuple(place for place, author in enumerate(authors) if author in left_out), linear))
    return folds


def splits(authors: Sequence[str], most_authors: int | None = None) -> list[tuple[set[str], set[str]]]:
    """Return for each group of authors the group, and the other authors that its model sees."""
    each = sorted(set(authors))
    return [
        (left_out, set([author for author in each if author not in left_out][:most_authors]))
        for left_out in author_groups(authors)
    ]


def author_groups(authors: Sequence[str]) -> list[set[str]]:
    """Return the authors in up to FOLDS groups."""
    each = sorted(set(authors))
    return [set(each[number::FOLDS]) for number in range(min(FOLDS, len(each)))]


def out_of_fold(rows: Sequence[Row], folds: Sequence[Fold]) -> list[Prediction]:
    found = {place: predict(fold.linear, rows[place]) for fold in folds for place in fold.places}
    return [found[place] for place in range(len(rows))]


def fold_models(name: str, folds: Sequence[Fold], rows: Sequence[Row], labels: Sequence[Label]) -> list[Model]:
    """Return the model of each fold, calibrated on predictions for the other folds' cases."""
    predictions = out_of_fold(rows, folds)
    models = []
    for fold in folds:
        others = [place for each in folds if each is not fold for place in each.places]
        calibration = calibrate([predictions[place] for place in others], [labels[place] for place in others])
        models.append(Model(name, fold.linear, calibration))
    return models
