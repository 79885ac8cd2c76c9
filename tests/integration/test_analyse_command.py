"""`leadstream analyse` on a file, with either analyst."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.cli import analyse as analyse_command
from services.cli.main import app
from shared.contract.contacts import band
from tests.support.fake_gemini import exhausted, good, serving_gemini
from tests.support.fake_openai import serving_openai
from tests.support.processes import with_settings
from tests.unit.analyzer.analysis.labelled import GIVEN

FIELDS = {"id", "score", "status", "band", "confidence", "reasoning"}


@dataclass(frozen=True)
class Ended:
    status: int
    output: str
    errors: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines()]

    @property
    def ids(self) -> list[str]:
        return [row["id"] for row in self.rows]


Analyse = Callable[..., Ended]


@pytest.fixture
def analyse(monkeypatch: pytest.MonkeyPatch) -> Analyse:
    """Run the command in this process, which is faster."""
    monkeypatch.setattr(analyse_command, "configure_logging", lambda *_, **__: None)
    for name in os.environ:
        if name.startswith("LEADSTREAM_"):
            monkeypatch.delenv(name)

    def invoke(*arguments: str | Path, stdin: bytes = b"") -> Ended:
        ended = CliRunner().invoke(app, ["analyse", *map(str, arguments)], input=stdin)
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    return invoke


async def analyse_by(analyst: str, stdin: bytes, settings: Mapping[str, str], *more: str | Path) -> Ended:
    """Run the command as a process, so that the fake can answer meanwhile."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli.main", "analyse", "-", "--analyst", analyst, *more,
        env=with_settings(settings),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate(stdin)
    return Ended(process.returncode or 0, output.decode(), errors.decode())


def transcript(name: str, text: str = "how much is it?", **changed: object) -> bytes:
    message = {"at": "2026-01-01T09:00:00Z", "from": "customer", "text": text}
    row = {"id": name, "platform": "messenger", "now": "2026-01-01T10:00:00Z", "messages": [message], **changed}
    return json.dumps(row).encode()


def test_verdicts_keep_the_files_order_and_labels_are_measured(analyse: Analyse) -> None:
    ended = analyse(GIVEN, "--evaluate")
    *rows, last = ended.rows
    assert ended.status == 0
    assert [row["id"] for row in rows] == [json.loads(line)["id"] for line in GIVEN.read_text().splitlines()]
    assert all(row.keys() == FIELDS for row in rows)
    measures = last["measures"]
    assert measures["labelled"] == len(rows)
    assert measures["cases"]["band"] == len(rows)
    assert measures["intervals"]["band"][0] < measures["band"] <= measures["intervals"]["band"][1]
    assert sum(group["labelled"] for group in measures["by_length"].values()) == len(rows)
    assert measures["jumps"] is not None


def test_several_files_and_analysts_are_measured_together(analyse: Analyse, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_bytes(transcript("other") + b"\nbroken\n")
    ended = analyse(GIVEN, other, "--evaluate")
    assert ended.rows[-2]["id"] == "other"
    assert "other.jsonl: line 2" in ended.errors
    assert ended.rows[-1]["measures"]["labelled"] == len(ended.rows) - 2


def test_an_unreadable_line_is_reported_and_the_rest_is_analysed(analyse: Analyse) -> None:
    broken = [
        b'{"id": "half',
        transcript("fax", platform="fax"),
        transcript("robot", messages=[{"at": "2026-01-01T09:00:00Z", "from": "robot", "text": "hi"}]),
        transcript("silent", messages=[{"at": "2026-01-01T09:00:00Z", "from": "customer", "text": " "}]),
        transcript("latin", "caf\xe9").decode("unicode_escape").encode("latin-1"),
        b"[]",
    ]
    ended = analyse("-", stdin=b"\n".join([transcript("first"), *broken, b"", transcript("last")]))
    assert ended.status == 1
    assert ended.ids == ["first", "last"]
    assert [line.split(": ")[1] for line in ended.errors.splitlines()] == [f"line {n}" for n in range(2, 8)]


def test_a_byte_order_mark_naive_times_and_unsorted_messages_are_read(
    analyse: Analyse,
) -> None:
    said = [
        {"at": "2026-01-01T09:05:00", "from": "customer", "text": "I'll take it, paid just now"},
        {"at": "2026-01-01T09:00:00", "from": "customer", "text": "how much is it?"},
    ]
    unordered = transcript("one", messages=said, now="2026-01-01T10:00:00")
    ordered = transcript("two", messages=said[::-1])
    reverse = transcript(
        "three", messages=[{**said[0], "at": "2026-01-01T08:55:00"}, said[1]], now="2026-01-01T10:00:00"
    )
    ended = analyse("-", stdin=b"\xef\xbb\xbf" + unordered + b"\r\n" + ordered + b"\r\n" + reverse)
    one, two, three = ended.rows
    assert {**one, "id": "two"} == two
    assert {**one, "id": "three"} != three, "the times give the order"


def test_an_empty_file_gives_no_verdicts_and_null_measures(analyse: Analyse, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert analyse(empty) == Ended(0, "", "")
    [row] = analyse(empty, "--evaluate").rows
    measures = row["measures"]
    assert (measures["labelled"], measures["band"], measures["spearman"], measures["intervals"]["auc"]) == (
        0, None, None, None
    )  # fmt: skip


def test_wrong_usage_and_an_ai_without_its_settings_exit_with_2(analyse: Analyse) -> None:
    analysts = ("oracle", "gemini", "genai", "openai")
    wrong = [("absent.jsonl",), (".",), *((GIVEN, "--analyst", analyst) for analyst in analysts)]
    ended = [analyse(*arguments) for arguments in wrong]
    assert [(each.status, each.output) for each in ended] == [(2, "")] * 6
    for each, setting in zip(ended[3:], ("GEMINI_API_KEYS", "GEMINI_API_KEYS", "AI_ENDPOINT"), strict=True):
        assert f"LEADSTREAM_{setting}" in each.errors


async def test_gemini_analyses_in_parallel_and_output_keeps_the_order() -> None:
    async with serving_gemini() as fake:
        fake.answers_together = 4
        settings = {
            "LEADSTREAM_GEMINI_API_KEYS": "key", "LEADSTREAM_GEMINI_ENDPOINT": fake.url,
            "LEADSTREAM_ANALYSIS_PARALLELISM": "4",
        }  # fmt: skip
        names = [f"c{number}" for number in range(8)]
        lines = b"\n".join(map(transcript, names))
        ended = await analyse_by("gemini", lines, settings)
    assert ended.status == 0
    assert ended.ids == names
    assert {row["score"] for row in ended.rows} == {75}


async def test_an_endpoint_like_openais_analyses_without_a_key() -> None:
    async with serving_openai() as fake:
        settings = {"LEADSTREAM_AI_ENDPOINT": f"{fake.url}/v1", "LEADSTREAM_AI_MODELS": "local"}
        ended = await analyse_by("openai", transcript("c1"), settings)
    assert (ended.status, ended.rows[0]["score"], ended.errors) == (0, 75, "")
    assert [(asked.key, asked.model) for asked in fake.asked] == [("", "local")]


async def test_no_fallback_replaces_the_ai_under_test() -> None:
    async with serving_gemini() as fake:
        fake.says(good(), exhausted("60s"))
        settings = {
            "LEADSTREAM_GEMINI_API_KEYS": "key", "LEADSTREAM_GEMINI_ENDPOINT": fake.url,
            "LEADSTREAM_GEMINI_MODELS": "one", "LEADSTREAM_GEMINI_DEADLINE_SECONDS": "1",
            "LEADSTREAM_ANALYSIS_PARALLELISM": "1",
        }  # fmt: skip
        lines = transcript("answered") + b"\n" + transcript("in vain")
        ended = await analyse_by("gemini", lines, settings)
    assert ended.status == 1
    assert ended.ids == ["answered"]
    assert "line 2: the AI gave no answer" in ended.errors


async def test_recorded_answers_are_replayed_without_key_and_network(analyse: Analyse, tmp_path: Path) -> None:
    recorded = tmp_path / "recorded"
    lines = transcript("one") + b"\n" + transcript("two", "I'll take it")
    async with serving_gemini() as fake:
        fake.says(good(), good(lead_score=64))
        settings = {
            "LEADSTREAM_GEMINI_API_KEYS": "key", "LEADSTREAM_GEMINI_ENDPOINT": fake.url,
            "LEADSTREAM_ANALYSIS_PARALLELISM": "1",
        }  # fmt: skip
        live = await analyse_by("gemini", lines, settings, "--record", recorded)
    replayed = await asyncio.to_thread(analyse, "-", "--replay", recorded, stdin=lines)
    assert (replayed.status, replayed.errors) == (0, "")
    assert replayed.rows == live.rows
    assert [row["score"] for row in live.rows] == [75, 64]
    assert all("key" not in json.loads(file.read_text()) for file in recorded.iterdir())
    other = await asyncio.to_thread(analyse, "-", "--replay", recorded, stdin=transcript("three", "never asked"))
    assert (other.status, '"id":"three"' in other.output) == (1, False)
    assert "prompts have no recording" in other.errors


async def test_analysts_and_recordings_are_compared_on_the_same_transcripts(analyse: Analyse, tmp_path: Path) -> None:
    label = {"score_low": 62, "score_high": 78, "band": "hot", "statuses": ["QUALIFIED"]}
    lines = b"\n".join(transcript(f"c{number}", f"how much for {number}?", label=label) for number in range(3))
    folders = []
    for score in (75, 40):
        async with serving_gemini() as fake:
            fake.says(good(lead_score=score, lead_band=band(score)))
            settings = {"LEADSTREAM_GEMINI_API_KEYS": "key", "LEADSTREAM_GEMINI_ENDPOINT": fake.url}
            folders.append(tmp_path / str(score))
            await analyse_by("gemini", lines, settings, "--record", folders[-1])
    right, wrong = folders
    chosen = ("--analyst", "fallback", "--analyst", "gemini", "--replay", right, "--replay", wrong)
    ended = await asyncio.to_thread(analyse, "-", *chosen, "--evaluate", stdin=lines)
    names = ["fallback", f"gemini {right}", f"gemini {wrong}"]
    assert [row["analyst"] for row in ended.rows[:-1]] == names * 3
    measures, differences = ended.rows[-1]["measures"], ended.rows[-1]["differences"]
    assert [measures[name]["band"] for name in names[1:]] == [1, 0]
    assert differences[f"{names[2]} - {names[1]}"]["band"] == {"value": -1, "cases": 3, "interval": [-1, -1]}
