"""docker-compose.yml and the Dockerfile, checked without a Docker engine."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from jsonschema import Draft7Validator

from services.cli.main import app
from shared.runtime.settings import SERVICE_SETTINGS

ROOT = Path(__file__).parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
EXAMPLE = dict(line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if "=" in line)
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
FIELDS = {
    f"LEADSTREAM_{name.upper()}": field
    for settings in SERVICE_SETTINGS
    for name, field in settings.model_fields.items()
}


def test_the_file_matches_the_compose_schema() -> None:
    schema = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    assert [error.message for error in Draft7Validator(json.loads(schema.read_text())).iter_errors(COMPOSE)] == []


@pytest.mark.parametrize("name", OURS)
def test_every_command_exists(name: str) -> None:
    command: Any = typer.main.get_command(app)
    words = list(OURS[name]["command"])
    while hasattr(command, "commands"):
        word = words.pop(0)
        command = command.get_command(None, word)
        assert command, f"there is no command {word}"
    command.make_context(name, words)


@pytest.mark.parametrize("name", SERVICES)
def test_every_dependency_condition_can_be_met(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        needed = {
            "service_healthy": "healthcheck" in SERVICES[other],
            "service_completed_successfully": SERVICES[other].get("restart") == "no",
        }
        assert needed[wait["condition"]]


def test_every_variable_is_a_setting() -> None:
    used = {variable for service in OURS.values() for variable in service.get("environment", {})}
    assert (used | EXAMPLE.keys()) - FIELDS.keys() == set()


def test_no_secret_has_a_default() -> None:
    secrets = {variable for variable, field in FIELDS.items() if "Secret" in str(field.annotation)}
    assert {variable: value for variable, value in EXAMPLE.items() if variable in secrets and value} == {}
    written = {
        value for service in OURS.values() for variable, value in service.get("environment", {}).items()
        if variable in secrets
    }  # fmt: skip
    assert written == {"mongodb://mongo:27017/leadstream?replicaSet=rs0"}
    assert all(service["env_file"] == ".env" for service in OURS.values())


def test_the_image_copies_files_that_exist_and_are_not_ignored() -> None:
    let_through = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    copied = {source for line in lines for source in line.split()}
    assert copied == let_through
    assert all((ROOT / source).exists() for source in copied)


def test_the_image_does_not_run_as_root() -> None:
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (\S+)$", last_stage, re.MULTILINE) == ["10001"]
