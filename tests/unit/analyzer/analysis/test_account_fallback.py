"""An account's own model scores its conversations, and no others."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from services.analyzer.analysis.account_fallback import REFRESH_SECONDS, AccountFallback
from services.analyzer.analysis.analyst import AnalysisInput, SpeakerRole, Transcript, TranscriptLine
from services.analyzer.analysis.fallback.account_model import ModelMisfitError, account_model, edition
from services.analyzer.analysis.fallback.model import BANDS
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from shared.contract.contacts import Band, Verdict, band
from shared.contract.ids import Platform
from shared.domain.account_models import AccountModel, ModelKind
from tests.support.making import EPOCH

ACCOUNT = "messenger:371"
SHIPPED = FallbackScorer()
LINES = (TranscriptLine(EPOCH, SpeakerRole.CUSTOMER, "How much is the blue one?"),)
FEATURE = next(iter(SHIPPED.read(AnalysisInput(Transcript(Platform.MESSENGER, LINES), EPOCH)).values))


def made(number: int = 1, to: Band = Band.COLD, **more: object) -> AccountModel:
    """Return a model that calls every conversation `to`."""
    bias = [30.0 if each is to else 0.0 for each in BANDS] + [0.0] * (len(SHIPPED.model.linear.bias) - len(BANDS))
    fields = {
        "account": ACCOUNT, "number": number, "kind": ModelKind.CALIBRATION, "base": SHIPPED.model.name,
        "edition": edition(SHIPPED.model), "made_at": EPOCH, "labels": 100, "result": "", "bias": bias,
    }  # fmt: skip
    return AccountModel.model_validate({**fields, **more})


@dataclass
class Models:
    """A model whose `load` is a ValueError cannot be read."""

    used: dict[str, int] = field(default_factory=dict)
    stored: dict[int, AccountModel | None] = field(default_factory=dict)

    async def in_use(self) -> dict[str, int]:
        return self.used

    async def load(self, account: str, number: int) -> AccountModel | None:
        if number not in self.stored:
            raise ValueError("of a later release")
        return self.stored[number]


@dataclass
class Rig:
    models: Models = field(default_factory=Models)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.fallback = AccountFallback(SHIPPED, self.models, lambda: self.now)

    async def verdict(self, account: str = ACCOUNT) -> Verdict:
        read = AnalysisInput(Transcript(Platform.MESSENGER, LINES), EPOCH, account=account)
        return await self.fallback.analyse(read)


async def test_the_model_in_use_scores_its_account_alone() -> None:
    rig = Rig(Models({ACCOUNT: 1}, {1: made(to=Band.READY)}))
    own, other, nobodys = [await rig.verdict(account) for account in (ACCOUNT, "messenger:3710", "")]
    assert (band(own.lead_score), own.model) == (Band.READY, f"{SHIPPED.model.name} #1")
    assert other == nobodys
    assert other.model == SHIPPED.model.name
    assert band(other.lead_score) is not Band.READY


async def test_what_is_turned_on_counts_after_a_moment_and_can_be_turned_off() -> None:
    rig = Rig(Models({}, {1: made(1, Band.COLD), 2: made(2, Band.READY)}))
    names = [(await rig.verdict()).model]
    for rig.models.used in ({ACCOUNT: 1}, {ACCOUNT: 2}, {}):
        names.append((await rig.verdict()).model)
        rig.now += REFRESH_SECONDS
        names.append((await rig.verdict()).model)
    shipped = SHIPPED.model.name
    first, second = f"{shipped} #1", f"{shipped} #2"
    assert names == [shipped, shipped, first, first, second, second, shipped]


@pytest.mark.parametrize(
    "stored",
    [
        {1: made(edition="of other weights")},
        {1: made(bias=[0.0])},
        {1: made(features=["no such feature"], weights=[[0.0] * 12])},
        {},
    ],
)
async def test_a_model_that_does_not_fit_is_ignored_with_one_line(stored: dict[int, AccountModel | None]) -> None:
    rig = Rig(Models({ACCOUNT: 1}, stored))
    with capture_logs() as logs:
        for _ in range(3):
            assert (await rig.verdict()).model == SHIPPED.model.name
            rig.now += REFRESH_SECONDS
    assert [(line["event"], line["account"], line["number"]) for line in logs] == [
        ("account_model_ignored", ACCOUNT, 1)
    ]


async def test_a_model_that_is_gone_leaves_the_shipped_one() -> None:
    assert (await Rig(Models({ACCOUNT: 1}, {1: None})).verdict()).model == SHIPPED.model.name


def test_numbers_are_added_to_bias_and_weights() -> None:
    row = [float(number) for number in range(12)]
    linear = account_model(SHIPPED.model, made(bias=row, features=[FEATURE], weights=[row])).linear
    shipped = SHIPPED.model.linear
    assert list(linear.bias) == pytest.approx([a + b for a, b in zip(shipped.bias, row, strict=True)])
    assert list(linear.weights[FEATURE]) == pytest.approx(
        [a + b for a, b in zip(shipped.weights[FEATURE], row, strict=True)]
    )
    assert {name: each for name, each in linear.weights.items() if name != FEATURE} == {
        name: each for name, each in shipped.weights.items() if name != FEATURE
    }


def test_a_model_of_other_weights_is_refused() -> None:
    with pytest.raises(ModelMisfitError, match="other weights"):
        account_model(SHIPPED.model, made(edition="before"))
