"""Fitting a model, judging it by unseen authors, and calibrating it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from services.analyzer.analysis.fallback.model import BANDS, Model, Prediction, predict
from services.analyzer.analysis.fallback.wording import Wording
from services.analyzer.evaluation.measures import Label
from services.analyzer.training.calibration import NEVER, WON_PRECISION, best_borders, calibrate, won_threshold
from services.analyzer.training.cross_validation import author_groups, cross_validate, fold_models, out_of_fold
from services.analyzer.training.fit import Step, fit
from shared.contract.contacts import Band, LeadStatus

LABELS = {
    Band.COLD: Label(1, 20, frozenset({LeadStatus.LOST}), Band.COLD, LeadStatus.LOST),
    Band.WARM: Label(35, 55, frozenset({LeadStatus.CONTACTED, LeadStatus.NEW}), Band.WARM, LeadStatus.NEW),
    Band.HOT: Label(62, 78, frozenset({LeadStatus.NEGOTIATING}), Band.HOT, LeadStatus.NEGOTIATING),
    Band.READY: Label(85, 99, frozenset({LeadStatus.WON}), Band.READY, LeadStatus.WON),
}
Row = dict[str, float]


def made(count: int = 240, seed: int = 1) -> tuple[list[Row], list[Label], list[str]]:
    """Return rows in which one feature a band says the band in four of five cases, by six authors."""
    chance = random.Random(seed)
    rows, labels, authors = [], [], []
    for number in range(count):
        band = BANDS[number % 4]
        shown = band if chance.random() < 0.8 else chance.choice(BANDS)
        rows.append({f"said:{shown.value}": 1.0, "shape:noise": chance.random()})
        labels.append(LABELS[band])
        authors.append("abcdef"[number // 4 % 6])
    return rows, labels, authors


def share_of_right_bands(predictions: Sequence[Prediction], labels: Sequence[Label]) -> float:
    return sum(each.band is label.band for each, label in zip(predictions, labels, strict=True)) / len(labels)


def test_the_model_finds_what_the_features_say() -> None:
    rows, labels, authors = made()
    unseen = out_of_fold(rows, cross_validate(rows, labels, authors))
    assert share_of_right_bands(unseen, labels) > 0.7
    assert all(sum(each.bands.values()) == pytest.approx(1) for each in unseen)


def test_labels_that_the_features_do_not_say_are_not_found_for_unseen_authors() -> None:
    rows, labels, authors = made()
    mixed = random.Random(2).sample(labels, len(labels))
    assert share_of_right_bands(out_of_fold(rows, cross_validate(rows, mixed, authors)), mixed) < 0.4


def test_the_same_rows_give_the_same_weights() -> None:
    rows, labels, _ = made()
    assert fit(rows, labels) == fit([dict(reversed(row.items())) for row in rows], labels)


def test_a_rare_feature_has_no_weight() -> None:
    rows, labels, _ = made()
    rows[0]["said:once"] = 1.0
    assert "said:once" not in fit(rows, labels).weights


def test_a_band_without_a_case_is_refused() -> None:
    rows, labels, _ = made()
    kept = [place for place, label in enumerate(labels) if label.band is not Band.HOT]
    with pytest.raises(ValueError, match="every band"):
        fit([rows[place] for place in kept], [labels[place] for place in kept])


def test_no_author_is_on_both_sides() -> None:
    rows, labels, authors = made()
    groups = author_groups(authors)
    assert sorted(author for group in groups for author in group) == sorted(set(authors))
    folds = cross_validate(rows, labels, authors)
    assert sorted(place for fold in folds for place in fold.places) == list(range(len(rows)))
    for fold in folds:
        inside = {authors[place] for place in fold.places}
        assert {place for place, author in enumerate(authors) if author in inside} == set(fold.places)


def test_a_fold_is_calibrated_without_its_own_cases() -> None:
    rows, labels, authors = made()
    folds = cross_validate(rows, labels, authors)
    mine = set(folds[0].places)
    other_labels = [LABELS[Band.COLD] if place in mine else label for place, label in enumerate(labels)]
    one, two = (fold_models("m", folds, rows, each)[0].calibration for each in (labels, other_labels))
    assert one == two


def test_steps_of_conversations_that_are_never_won_lower_won() -> None:
    rows, labels, _ = made()
    ways = [[Step({"said:ready": 1.0}, by_customer=True)]] * len(rows)
    without, with_steps = (predict(fit(rows, labels, each), {"said:ready": 1.0}) for each in ([], ways))
    assert with_steps.statuses[LeadStatus.WON] < without.statuses[LeadStatus.WON] / 2
    assert with_steps.bands == without.bands


@pytest.mark.parametrize("by_customer", [True, False])
def test_what_comes_and_goes_on_the_way_weighs_less(by_customer: bool) -> None:
    """`newest` and `said` say the same at the end of each conversation; `newest` alone changes on the way."""
    rows, labels, _ = made()
    rows = [{**row, **{name.replace("said", "newest"): 1.0 for name in row if "said" in name}} for row in rows]
    shown, hidden = Step({"newest:ready": 1.0}, by_customer), Step({}, by_customer)
    steady = fit(rows, labels, [[shown, hidden, shown, hidden]] * len(rows))
    free = fit(rows, labels)
    ready = BANDS.index(Band.READY)
    assert free.weights["newest:ready"][ready] == pytest.approx(free.weights["said:ready"][ready], rel=0.01)
    assert 0 < steady.weights["newest:ready"][ready] < steady.weights["said:ready"][ready] / 2


def test_the_borders_part_the_bands() -> None:
    rows, labels, authors = made()
    unseen = out_of_fold(rows, cross_validate(rows, labels, authors))
    borders = best_borders(unseen, labels)
    assert sorted(borders) == list(borders)
    graded = [BANDS[sum(each.place > border for border in borders)] for each in unseen]
    assert sum(found is label.band for found, label in zip(graded, labels, strict=True)) > 0.7 * len(labels)


def predictions(*chances: float) -> list[Prediction]:
    statuses = dict.fromkeys(LeadStatus, 0.0)
    return [Prediction(dict.fromkeys(BANDS, 0.25), {**statuses, LeadStatus.WON: chance}) for chance in chances]


def test_won_is_called_from_where_nearly_all_are_won() -> None:
    chances = [0.99 - place / 1000 for place in range(100)]
    labels = [LABELS[Band.READY]] * 60 + [LABELS[Band.HOT]] * 40
    threshold = won_threshold(predictions(*chances), labels)
    called = [label for chance, label in zip(chances, labels, strict=True) if chance >= threshold]
    won = sum(label is LABELS[Band.READY] for label in called)
    assert won == 60
    assert won / len(called) >= WON_PRECISION


def test_won_is_never_called_where_it_cannot_be_known() -> None:
    labels = [LABELS[Band.HOT], LABELS[Band.READY]] * 20
    assert won_threshold(predictions(*[0.9, 0.8] * 20), labels) == NEVER


def test_confidence_is_the_share_of_right_verdicts() -> None:
    rows, labels, authors = made(count=960)
    unseen = out_of_fold(rows, cross_validate(rows, labels, authors))
    calibration = calibrate(unseen, labels)
    sure = [each for each in zip(unseen, labels, strict=True) if max(each[0].bands.values()) > 0.5]
    claimed = [calibration.confidence(each.bands[each.band], max(each.statuses.values())) for each, _ in sure]
    right = share_of_right_bands([each for each, _ in sure], [label for _, label in sure])
    assert sum(claimed) / len(claimed) == pytest.approx(right, abs=0.05)


def test_a_model_survives_its_file() -> None:
    rows, labels, authors = made()
    folds = cross_validate(rows, labels, authors)
    model = fold_models("m", folds, rows, labels)[0]
    nothing = np.zeros(0, np.float32)
    read = Model.from_json(model.to_json(Wording({}, nothing, nothing)))
    assert read.predict(rows[0]) == predict(model.linear, rows[0])
    assert replace(read, linear=model.linear) == model


def test_contributions_say_what_speaks_for_a_band() -> None:
    rows, labels, authors = made()
    model = fold_models("m", cross_validate(rows, labels, authors), rows, labels)[0]
    found = model.linear.contributions({"said:hot": 1.0, "shape:noise": 0.5, "said:unknown": 1.0}, Band.HOT)
    assert max(found, key=found.__getitem__) == "hot"
    assert "unknown" not in found
