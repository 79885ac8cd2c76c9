"""A training run on our own labelled conversations: reproducible, judged by unseen authors, with a model card."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from services.analyzer.analysis.fallback.model import Model
from services.analyzer.analysis.fallback.overrides import OVERRIDES
from services.analyzer.training.__main__ import main
from services.analyzer.training.card import model_card
from services.analyzer.training.labelled import LabelledConversation, read_folder
from services.analyzer.training.training import Trained, train
from tests.unit.analyzer.analysis.labelled import OWN

AUTHORS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    lines = OWN.read_bytes().splitlines()
    for number in range(AUTHORS):
        (folder / f"author-{number}.jsonl").write_bytes(b"\n".join(lines[number::AUTHORS]))
    return folder


@pytest.fixture(scope="module")
def conversations(folder: Path) -> list[LabelledConversation]:
    return read_folder(folder)


@pytest.fixture(scope="module")
def trained(conversations: list[LabelledConversation]) -> Trained:
    return train(conversations)


def test_every_conversation_is_judged_by_a_model_that_has_not_seen_its_author(
    conversations: list[LabelledConversation], trained: Trained
) -> None:
    assert [each.conversation for each in trained.judged] == conversations
    right = sum(each.verdict.is_band_right for each in trained.judged)
    assert right > len(conversations) / 2


def test_the_card_has_every_group_with_its_count(conversations: list[LabelledConversation], trained: Trained) -> None:
    card = model_card(trained, date(2026, 12, 1))
    assert trained.model.name in card
    assert "2026-12-01" in card
    assert f"| all | {len(conversations)} |" in card
    for author in range(AUTHORS):
        assert f"| {author} | {sum(each.author == str(author) for each in conversations)} |" in card
    for override in OVERRIDES:
        assert f"| {override.name} | {override.status.value}" in card
    assert "Not to be used for" in card


def test_a_run_writes_the_same_files_each_time(
    folder: Path, tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, card = tmp_path / "weights.json", tmp_path / "card.md"
    arguments = [str(folder), "--weights", str(weights), "--card", str(card), "--day", "2026-12-01"]
    monkeypatch.setattr("sys.argv", ["training", *arguments])
    main()
    assert weights.read_text(encoding="utf-8") == trained.model.to_json(trained.wording)
    assert card.read_text(encoding="utf-8") == model_card(trained, date(2026, 12, 1))
    assert Model.from_json(weights.read_text(encoding="utf-8")).name == trained.model.name
