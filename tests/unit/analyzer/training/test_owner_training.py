"""An account's labels shift the shipped model, as far as they are many and agree."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from services.analyzer.analysis.analyst import AnalysisInput, SpeakerRole, Transcript, TranscriptLine
from services.analyzer.analysis.fallback.model import BANDS, STATUSES, Linear
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from services.analyzer.training.owner_fit import CHOSEN_STATUSES, OwnerCase, Shift, fit_shift
from services.analyzer.training.owner_labels import ANY_BAND, ANY_STATUS, OwnerLabel
from services.analyzer.training.owner_training import train_account
from shared.contract.contacts import Band, LeadStatus
from shared.contract.ids import Platform
from shared.domain.account_models import ModelKind
from tests.support.making import EPOCH, at

SCORER = FallbackScorer()
LINEAR = SCORER.model.linear
ASKS = "How much is the blue one?"
LEAVES = "No thank you, I am not interested any more. Goodbye"
BIAS_OF = {output: place for place, output in enumerate([*BANDS, *STATUSES])}


def label(
    text: str, number: int, bands: frozenset[Band] = ANY_BAND, statuses: frozenset[LeadStatus] = ANY_STATUS
) -> OwnerLabel:
    lines = (TranscriptLine(EPOCH, SpeakerRole.CUSTOMER, text),)
    return OwnerLabel(
        f"messenger:1:{number}", AnalysisInput(Transcript(Platform.MESSENGER, lines), at(60)), bands, statuses
    )


def shift_of(labels: Sequence[OwnerLabel], kind: ModelKind = ModelKind.CALIBRATION) -> Shift:
    return fit_shift(LINEAR, [OwnerCase(each, SCORER.read(each.analysis_input).values, 1.0) for each in labels], kind)


def other_status(text: str) -> LeadStatus:
    """Return the status that the shipped model finds the second most probable of those that it chooses from."""
    statuses = SCORER.model.predict(SCORER.read(label(text, 0).analysis_input).values).statuses
    return sorted(CHOSEN_STATUSES, key=statuses.__getitem__)[-2]


def test_labels_raise_what_they_say_the_more_of_them_there_are() -> None:
    hot = frozenset({Band.HOT})
    few, many = [shift_of([label(ASKS, number, hot) for number in range(count)]).bias for count in (5, 100)]
    of_bands = [many[BIAS_OF[each]] for each in BANDS]
    assert max(of_bands) == many[BIAS_OF[Band.HOT]]
    assert 0 < few[BIAS_OF[Band.HOT]] < many[BIAS_OF[Band.HOT]]


def test_what_says_nothing_changes_nothing() -> None:
    assert set(shift_of([label(ASKS, number) for number in range(100)]).bias) == {0.0}


def test_of_several_possible_bands_none_is_preferred_but_by_the_model() -> None:
    bands = frozenset({Band.HOT, Band.READY})
    shift = shift_of([label(ASKS, number, bands) for number in range(100)]).bias
    before = SCORER.model.predict(SCORER.read(label(ASKS, 0).analysis_input).values).bands
    likely, other = sorted(bands, key=before.__getitem__, reverse=True)
    assert shift[BIAS_OF[likely]] > shift[BIAS_OF[other]]


@pytest.mark.parametrize("kind", list(ModelKind))
def test_won_keeps_its_numbers(kind: ModelKind) -> None:
    """The label WON raises the band alone."""
    won = [label(ASKS, number, frozenset({Band.READY}), frozenset({LeadStatus.WON})) for number in range(50)]
    lost = [label(LEAVES, number, frozenset({Band.COLD}), frozenset({LeadStatus.LOST})) for number in range(50)]
    shift = shift_of([*won, *lost], kind)
    assert {row[BIAS_OF[LeadStatus.WON]] for row in (shift.bias, *shift.weights.values())} == {0.0}
    assert bool(shift.weights) is (kind is ModelKind.WEIGHTS)


def test_weights_tell_apart_what_a_calibration_cannot() -> None:
    hot, cold = frozenset({Band.READY}), frozenset({Band.COLD})
    labels = [label(ASKS, number, hot) for number in range(300)] + [
        label("Hello", number, cold) for number in range(300)
    ]
    shift = shift_of(labels, ModelKind.WEIGHTS)

    def added(text: str, output: Band) -> float:
        values, place = SCORER.read(label(text, 0).analysis_input).values, BIAS_OF[output]
        weights = {name: row[place] for name, row in shift.weights.items()}
        return shift.bias[place] + sum(value * weights.get(name, 0.0) for name, value in values.items())

    assert added(ASKS, Band.READY) > added(ASKS, Band.COLD)
    assert added("Hello", Band.READY) < added("Hello", Band.COLD)


def test_a_way_of_speaking_of_the_account_is_learned_and_said_to_be_better() -> None:
    other = frozenset({other_status(ASKS)})
    labels = [label(ASKS, number, statuses=other) for number in range(60)] + [
        label(LEAVES, number, statuses=frozenset({LeadStatus.LOST})) for number in range(60, 120)
    ]
    made, held_back = train_account("messenger:1", labels, SCORER, ModelKind.CALIBRATION, lambda: EPOCH)
    assert (held_back.shipped.value, held_back.trained.value) == (0.5, 1.0)
    assert made.result.startswith("Better: it agrees with 100 %")
    assert (made.account, made.labels, made.base, made.features) == ("messenger:1", 120, SCORER.model.name, ())
    again = train_account("messenger:1", labels, SCORER, ModelKind.CALIBRATION, lambda: EPOCH)
    assert again == (made, held_back)


def test_labels_that_agree_with_the_model_do_not_make_it_better() -> None:
    verdict = SCORER.score(label(ASKS, 0).analysis_input)
    labels = [label(ASKS, number, statuses=frozenset({verdict.lead_status})) for number in range(100)]
    made, _ = train_account("messenger:1", labels, SCORER, ModelKind.CALIBRATION, lambda: EPOCH)
    assert made.result.startswith("No difference can be told")


def test_labels_that_agree_keep_choices_of_which_the_model_is_less_sure_than_people() -> None:
    """QUALIFIED is said nine times as often, and yet the tenth case stays NEW."""

    def row(likely: LeadStatus) -> tuple[float, ...]:
        return tuple(0.3 if output is likely else 0.0 for output in BIAS_OF)

    said = {"a": LeadStatus.QUALIFIED, "b": LeadStatus.NEW}
    linear = Linear(
        (0.0,) * len(BIAS_OF), {name: row(status) for name, status in said.items()}, dict.fromkeys(said, 0.5)
    )
    cases = [
        OwnerCase(label(ASKS, number, statuses=frozenset({said[name]})), {name: 1.0}, 1.0)
        for number, name in enumerate("aaaaaaaaab" * 10)
    ]
    bias = fit_shift(linear, cases, ModelKind.CALIBRATION).bias
    moved = bias[BIAS_OF[LeadStatus.QUALIFIED]] - bias[BIAS_OF[LeadStatus.NEW]]
    assert 0 < moved < 0.3
