"""`requirements.lock` says what is installed, and nothing of where it comes from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LOCK = (ROOT / "requirements.lock").read_text()
PINS = re.split(r"\n(?=\S)", LOCK.strip())


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_pin_has_a_version_and_a_hash() -> None:
    assert [pin for pin in PINS if not re.match(r"[a-z0-9-]+==\S+ .*?--hash=sha256:[0-9a-f]{64}", pin, re.DOTALL)] == []


def test_it_names_no_address_and_no_option_of_an_installer() -> None:
    assert [line for line in LOCK.splitlines() if "://" in line or " @ " in line or line.startswith("-")] == []


def test_it_pins_everything_that_the_project_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(x for e in extras for x in e),
    ]
    names = {canonical(re.split(r"[^A-Za-z0-9._-]", requirement)[0]) for requirement in wanted}
    assert names - {pin.partition("==")[0] for pin in PINS} == {"leadstream"}
