"""The locks say what is installed, and nothing of where it comes from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
LOCK, BENCH = "requirements.lock", "requirements-bench.lock"


def text(lock: str) -> str:
    return (ROOT / lock).read_text()


def pins(lock: str) -> list[str]:
    return re.split(r"\n(?=\S)", text(lock).strip())


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("lock", [LOCK, BENCH])
def test_every_pin_has_a_version_and_a_hash(lock: str) -> None:
    form = r"[a-z0-9-]+==\S+ .*?--hash=sha256:[0-9a-f]{64}"
    assert [pin for pin in pins(lock) if not re.match(form, pin, re.DOTALL)] == []


@pytest.mark.parametrize("lock", [LOCK, BENCH])
def test_it_names_no_address_and_no_option_of_an_installer(lock: str) -> None:
    assert [line for line in text(lock).splitlines() if "://" in line or " @ " in line or line.startswith("-")] == []


def test_they_pin_everything_that_the_project_names() -> None:
    """What is measured against, with all that the measured needs, apart from the rest: the two do not fit together."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    bench = extras.pop("bench")
    needed = project["project"]["dependencies"]
    wanted = [*project["build-system"]["requires"], *needed, *(each for extra in extras.values() for each in extra)]
    assert names(wanted) - pinned(LOCK) == {"leadstream"}
    assert names([*needed, *bench]) - pinned(BENCH) == set()


def names(requirements: list[str]) -> set[str]:
    return {canonical(re.split(r"[^A-Za-z0-9._-]", requirement)[0]) for requirement in requirements}


def pinned(lock: str) -> set[str]:
    return {pin.partition("==")[0] for pin in pins(lock)}
