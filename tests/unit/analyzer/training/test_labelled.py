"""Reading the labelled conversations of several authors."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from services.analyzer.training.labelled import read_folder
from shared.contract.contacts import Band

ROW: dict[str, object] = {
    "id": "a-1",
    "platform": "messenger",
    "language": "tl",
    "now": "2026-11-24T09:00:00Z",
    "messages": [{"at": "2026-11-24T08:00:00Z", "from": "customer", "text": "magkano"}],
    "label": {"score_low": 30, "score_high": 50, "statuses": ["CONTACTED"], "band": "warm"},
    "tags": ["price-only"],
}


def write(folder: Path, author: str, *rows: dict[str, object]) -> None:
    (folder / f"author-{author}.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))


def test_an_author_is_the_name_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, "b", ROW | {"id": "b-1"})
    write(tmp_path, "a", ROW, {name: value for name, value in ROW.items() if name not in ("language", "tags")})
    found = read_folder(tmp_path)
    assert [(each.author, each.case.id, each.case.language, each.case.tags) for each in found] == [
        ("a", "a-1", "tl", ("price-only",)),
        ("a", "a-1", "unknown", ()),
        ("b", "b-1", "tl", ("price-only",)),
    ]
    assert found[0].label.band is Band.WARM


def test_a_folder_without_labelled_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"author-\*\.jsonl"):
        read_folder(tmp_path)


def test_a_conversation_without_a_label_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a", {name: value for name, value in ROW.items() if name != "label"})
    with pytest.raises(ValueError, match="a-1 of author a has no label"):
        read_folder(tmp_path)
