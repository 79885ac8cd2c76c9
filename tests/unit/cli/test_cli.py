"""The `leadstream` command, which imports each of its commands only when that is called."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from services.cli.main import COMMANDS, app

SERVICES = {"analyzer", "backfill", "console", "demo", "receiver", "simulator"}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"])
    assert shown.exit_code == 0
    assert f"leadstream {name}" in shown.output


@pytest.mark.parametrize("name", ["analyzer", "backfill", "receiver", "simulator"])
def test_a_command_loads_only_its_own_service(name: str) -> None:
    program = (
        "import sys; from services.cli import main; "
        f"main.app(['{name}', '--help'], standalone_mode=False); print(*sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    loaded = {module.split(".")[1] for module in shown.split() if module.startswith("services.")}
    assert loaded & SERVICES == {name}


def test_forget_is_a_hidden_alias_of_erase() -> None:
    listed = CliRunner().invoke(app, ["contacts", "--help"]).output
    assert "erase" in listed
    assert "forget" not in listed
    assert CliRunner().invoke(app, ["contacts", "forget", "--help"]).exit_code == 0
