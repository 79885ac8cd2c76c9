"""`leadstream`, whose commands are loaded one by one."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from services.cli.main import COMMANDS, app

LOADED = (
    "import sys; from services.cli import main; "
    "main.app(['receiver', '--help'], standalone_mode=False); print(*sys.modules)"
)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"])
    assert shown.exit_code == 0
    assert f"leadstream {name}" in shown.output


def test_a_service_does_not_load_the_others() -> None:
    shown = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True).stdout
    assert "services.cli.receiver" in shown
    assert "services.console" not in shown
