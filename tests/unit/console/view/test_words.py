"""The words that a person reads in the console."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.console.view.formats import REASON_WORDS, duration, sentence
from shared.contract.failures import Reason

CONSOLE = Path(__file__).parents[4] / "services" / "console"
PAGES = sorted(path for path in CONSOLE.rglob("*") if path.suffix in {".html", ".js"})
MODULES = sorted(CONSOLE.rglob("*.py"))
UNCLEAR = re.compile(
    r"\b(anew|tick(?:ed|s)?|forget|forgotten|evenly|parted|told|tells?|whoever|in vain|by itself)\b",
    re.IGNORECASE,
)
CONTRACT = re.compile(r"[\w./{}:-]*/forget\b|^forgotten$|^forget(_contact)?$|\bvalue=\"forget\"|\bforgotten_at\b")
"""Paths, fields and values that other programs rely on."""


def unclear_words(text: str) -> list[str]:
    return UNCLEAR.findall(CONTRACT.sub("", text))


def strings(source: str) -> Iterator[str]:
    """Yield the string literals of a module, with its docstrings."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_has_no_unclear_words(path: Path) -> None:
    assert unclear_words(path.read_text()) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(CONSOLE)))
def test_a_module_has_no_unclear_words(path: Path) -> None:
    assert [word for text in strings(path.read_text()) for word in unclear_words(text)] == []


def test_every_reason_of_a_dead_letter_is_explained() -> None:
    assert set(REASON_WORDS) == set(Reason)


@pytest.mark.parametrize(
    ("reason", "shown"),
    [("token expired", "Token expired."), ("Paused!", "Paused!"), ("", ""), ("ęgo", "Ęgo.")],
)
def test_a_reason_becomes_a_sentence(reason: str, shown: str) -> None:
    assert sentence(reason) == shown


def test_a_duration_below_a_second_is_not_shown_as_zero() -> None:
    assert (duration(0.4), duration(0.6)) == ("under 1 s", "1 s")
