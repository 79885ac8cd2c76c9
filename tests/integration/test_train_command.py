"""People's corrections become a model of their account, which the analyzer uses once it is turned on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

import pytest
from typer.testing import CliRunner, Result

from services.analyzer.analysis.account_fallback import AccountFallback
from services.analyzer.analysis.analyst import AnalysisInput, SpeakerRole, Transcript, TranscriptLine
from services.analyzer.analysis.fallback.account_model import account_model
from services.analyzer.analysis.fallback.scorer import FallbackScorer
from services.analyzer.training.owner_training import MIN_LABELS
from services.cli.main import app
from shared.contract.contacts import Analysis, LeadStatus
from shared.contract.ids import ConversationKey, Platform
from shared.domain.account_models import ModelKind
from shared.domain.contact_edits import ContactEdit
from shared.runtime.clock import utc_now
from shared.store.account_models import AccountModelStore
from shared.store.contact_editing import edit_contact
from shared.store.contacts import Contacts
from shared.store.messages import MessageStore
from shared.store.mongo import Database
from tests.conftest import Stack
from tests.integration.test_analyzer_worker import Rig
from tests.support.contacts import contact, put
from tests.support.making import EPOCH, at, said

ACCOUNT = "messenger:371"
ASKS = "How much is the blue one?"
LEAVES = "No thank you, I am not interested any more. Goodbye"
OPEN = (LeadStatus.QUALIFIED, LeadStatus.PROPOSAL_SENT)
"""Two statuses that leave the same bands possible."""
Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(stack: Stack) -> Run:
    environment = stack.env | {"COLUMNS": "200", "LEADSTREAM_FALLBACK": "fast"}

    async def invoke(*arguments: str) -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, arguments, env=environment))

    return invoke


def shipped_status() -> LeadStatus:
    lines = (TranscriptLine(EPOCH, SpeakerRole.CUSTOMER, ASKS),)
    return FallbackScorer().score(AnalysisInput(Transcript(Platform.MESSENGER, lines), at(60))).lead_status


async def corrected(database: Database, number: int, text: str, status: LeadStatus) -> ConversationKey:
    """Store a customer who wrote `text`, and whose status a person sets a minute later."""
    who = ConversationKey(Platform.MESSENGER, "371", f"99{number}")
    events = [said(text, 0, mid=f"m_{number}", who=who)]
    await MessageStore(database).merge(events)
    await put(database, contact(who, events))
    await edit_contact(database, str(who), ContactEdit(status=status), lambda: at(60))
    return who


async def put_corrections(database: Database, count: int) -> tuple[LeadStatus, Sequence[ConversationKey]]:
    """Correct who asks to a status that the shipped model does not give, and confirm who leaves, by turns."""
    other = next(status for status in OPEN if status is not shipped_status())
    pairs = [(ASKS, other) if number % 2 else (LEAVES, LeadStatus.LOST) for number in range(count)]
    return other, [await corrected(database, number, *pair) for number, pair in enumerate(pairs)]


async def test_a_model_of_an_account_is_trained_turned_on_and_off(database: Database, run: Run) -> None:
    other, _ = await put_corrections(database, 120)

    trained = await run("train", "--account", ACCOUNT)
    assert trained.exit_code == 0, trained.output
    assert "120 labels of 120 contacts" in trained.stdout
    assert "model 1, calibration: Better: it agrees with 100 % of the held-back labels" in trained.stdout
    assert await AccountModelStore(database).in_use() == {}

    await database.conversations.update_many({}, {"$unset": {"due_at": ""}})  # leaves nothing to analyse
    rig = Rig(database)
    asked: list[Analysis] = []
    for number, turned_on in enumerate(["", "1", "0"]):
        if turned_on:
            assert (await run("models", "use", turned_on, "--account", ACCOUNT)).exit_code == 0
        await rig.apply(said(ASKS if number == 0 else f"{ASKS} {'!' * number}", 60.0 + number))
        held = await rig.claim()
        await rig.work(held, analyst=AccountFallback(FallbackScorer(), AccountModelStore(database)))
        await rig.queue().finish_all([held])
        found = await rig.contact()
        assert found
        assert found.analysis
        asked.append(found.analysis)
    base = FallbackScorer().model.name
    assert [each.model for each in asked] == [base, f"{base} #1", base]
    assert asked[1].lead_status is other
    assert asked[0].lead_status is not other

    rows = [json.loads(line) for line in (await run("models", "list", "--json")).stdout.splitlines()]
    assert [(row["number"], row["kind"], row["in_use"]) for row in rows] == [(1, "calibration", False)]
    assert "bias" not in rows[0]


async def test_with_enough_labels_all_weights_are_fitted_as_well(
    database: Database, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MIN_LABELS, ModelKind.WEIGHTS, 110)
    await put_corrections(database, 110)
    trained = await run("train", "--account", ACCOUNT)
    assert "model 1, calibration: Better" in trained.stdout
    assert "model 2, weights: " in trained.stdout
    own = await AccountModelStore(database).load(ACCOUNT, 2)
    assert own
    assert own.features
    shipped = FallbackScorer().model
    assert set(account_model(shipped, own).linear.weights) == set(shipped.linear.weights)


async def test_too_few_labels_are_counted_and_refused(database: Database, run: Run) -> None:
    await put_corrections(database, 3)
    refused = await run("train", "--account", ACCOUNT)
    assert refused.exit_code == 1
    assert refused.stderr == f"leadstream: {ACCOUNT} has 3 labels that people have set; training needs 100\n"


async def test_each_training_keeps_the_earlier_model_and_the_one_in_use(database: Database, run: Run) -> None:
    await put_corrections(database, 100)
    await run("train", "--account", ACCOUNT)
    await run("models", "use", "1", "--account", ACCOUNT)
    await run("train", "--account", ACCOUNT)
    store = AccountModelStore(database)
    first, second = await store.load(ACCOUNT, 1), await store.load(ACCOUNT, 2)
    assert first
    assert second
    assert (first.bias, first.labels) == (second.bias, second.labels)
    assert await store.in_use() == {ACCOUNT: 1}
    unknown = await run("models", "use", "3", "--account", ACCOUNT)
    assert (unknown.exit_code, await store.in_use()) == (1, {ACCOUNT: 1})
    assert "has no model 3" in unknown.stderr


async def test_labels_of_an_erased_customer_and_of_other_accounts_do_not_count(database: Database, run: Run) -> None:
    _, customers = await put_corrections(database, 3)
    erased = await Contacts(database).load(str(customers[0]))
    assert erased
    assert await Contacts(database).put_stub(str(customers[0]), erased, erased, utc_now())
    other = ConversationKey(Platform.MESSENGER, "3710", "1")
    await MessageStore(database).merge([said(ASKS, 0, mid="m_other", who=other)])
    await put(database, contact(other))
    await edit_contact(database, str(other), ContactEdit(status=LeadStatus.LOST), lambda: at(60))
    assert "has 2 labels" in (await run("train", "--account", ACCOUNT)).stderr


async def test_without_scikit_learn_the_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cli.train.find_spec", lambda _name: None)
    refused = await run("train", "--account", ACCOUNT)
    assert (refused.exit_code, "pip install 'leadstream[train]'" in refused.stderr) == (1, True)
