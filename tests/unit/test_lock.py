"""The lock files pin every package and name no package index."""

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
def test_a_lock_names_no_address_and_no_installer_option(lock: str) -> None:
    assert [line for line in text(lock).splitlines() if "://" in line or " @ " in line or line.startswith("-")] == []


def test_the_locks_pin_every_dependency_of_the_project() -> None:
    """`make bench` compares with packages whose versions conflict with the project's: they have their own lock."""
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
