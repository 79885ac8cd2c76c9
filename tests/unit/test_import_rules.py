"""Arrows point one way: services to shared, and what is pure to nothing that does I/O."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCES = sorted(path for folder in ("services", "shared") for path in (ROOT / folder).rglob("*.py"))

PURE = {
    f"shared.{name}"
    for name in (
        "accounts", "budgets", "contact_edits", "contacts", "conversations", "deadletters", "drafts", "events",
        "expressions", "failures", "graph_errors", "graph_usage", "ids", "indexes", "pipelines", "routing", "runs",
    )
}  # fmt: skip
PURE_MAY_IMPORT = {
    "__future__", "base64", "bisect", "collections", "dataclasses", "datetime", "enum", "functools", "hashlib",
    "itertools", "math", "operator", "re", "string", "typing", "unicodedata",
    "orjson", "pydantic",
}  # fmt: skip
ONLY_IN = {
    "aiokafka": "shared.kafka*",
    "motor": "shared.mongo",
    "pymongo": "shared.mongo",
    "bson": "shared.mongo",
    "google": "services.analyzer.gemini",
}
COMPOSITION_ROOT = "services.cli"


def violations(module: str, source: str) -> list[str]:
    """One line for each import in `source`, the code of `module`, that the rules forbid."""
    return [f"{module} imports {name}: {rule}" for name in imports(source) if (rule := broken_rule(module, name))]


def imports(source: str) -> Iterator[str]:
    """Dotted names, `from x import y` as `x.y`: `y` may be a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def broken_rule(module: str, name: str) -> str | None:
    package = name.partition(".")[0]
    if package in ONLY_IN and not fnmatch(module, ONLY_IN[package]):
        return f"only {ONLY_IN[package]} may"
    if module in PURE and not is_pure(name):
        return "a pure module imports only pure ones"
    if package == "services" and not may_import_service(module, name):
        return "a service imports only shared and itself"
    if package == "tests":
        return "the product does not need its tests"
    return None


def is_pure(name: str) -> bool:
    return name.partition(".")[0] in PURE_MAY_IMPORT or name in PURE or name.rpartition(".")[0] in PURE


def may_import_service(module: str, name: str) -> bool:
    return module == COMPOSITION_ROOT or name.split(".")[:2] == module.split(".")[:2]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_point_one_way(path: Path) -> None:
    assert violations(module_name(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("services.analyzer.worker", "from services.backfill.crawl import crawl"),
        ("services.analyzer.worker", "from services import backfill"),
        ("services.analyzer.worker", "import google.generativeai as genai"),
        ("services.receiver.app", "def late():\n    from aiokafka import AIOKafkaProducer"),
        ("services.setup", "from services.analyzer.app import run"),
        ("shared.service", "from services.cli import main"),
        ("shared.kafka", "from pymongo.errors import PyMongoError"),
        ("shared.events", "from shared.kafka import publish"),
        ("shared.events", "from shared import kafka"),
        ("shared.conversations", "import os.path"),
        ("shared.ids", "from pathlib import Path"),
        ("shared.clock", "from tests.support.waiting import eventually"),
    ],
)
def test_a_forbidden_import_is_told(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("services.analyzer.worker", "from services.analyzer import queue\nfrom shared.kafka import publish"),
        ("services.analyzer.gemini", "import google.generativeai as genai"),
        ("services.cli", "from services.backfill.commands import backfill"),
        ("shared.kafka", "from aiokafka import AIOKafkaProducer"),
        ("shared.events", "from shared.ids import Platform\nfrom shared import ids\nimport orjson"),
    ],
)
def test_what_the_rules_allow_is_allowed(module: str, source: str) -> None:
    assert violations(module, source) == []
