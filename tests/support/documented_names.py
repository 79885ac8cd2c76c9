"""Names that a page puts into code spans, code blocks and links, and why one of them is wrong."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from prometheus_client.metrics_core import Metric
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from services.cli.main import COMMANDS, app
from shared.runtime.metrics import Metrics
from shared.runtime.settings import SERVICE_SETTINGS
from tests.support.servers import ROOT

IGNORED_FOLDERS = {"__pycache__", "node_modules", "dist", "build", "leadstream.egg-info"}
HIDDEN_FILES = (".ci", ".dockerignore", ".env.example", ".gitignore")
RUNTIME_FILES = (".venv", ".env", ".leadstream")
"""Made when something runs, so a page may name them although no checkout has them."""
FILE_TYPES = "css|html|js|json|jsonl|lock|lua|md|png|py|svg|toml|txt|xml|yaml|yml"

LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")
BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
SETTING = re.compile(r"\bLEADSTREAM_[A-Z0-9_]+\b")
METRIC = re.compile(r"\bleadstream_[a-z0-9_]+\b")
TEST = re.compile(r"(?<![\w/])test_\w+(?!\w*\.py)\b")
PATH = re.compile(
    r"(?<![\w./:@-])"
    rf"((?:[\w.*…-]+/)*[\w*…-][\w.*…-]*\.(?:{FILE_TYPES})|(?:services|shared|tests|docs|deploy)/[\w./*…-]*)"
    r"(?![\w{])"
)
MEMBER_OF_FILE = re.compile(r"([\w/.-]+\.py)::?(\w+)")
DOTTED_MODULE = re.compile(r"\b(?:services|shared|tests)(?:\.\w+)+")
MEMBER_OF_CLASS = re.compile(r"\b([A-Z][a-z]\w*)\.([a-z_]\w*)\b(?!\.)")
FUNCTION = re.compile(r"(?<![\w.])([a-z_]\w*)\(")
CLASS = re.compile(r"(?<![\w./-])(?:[A-Z][a-z0-9]+){2,}(?:Error)?(?![\w-])")
CONSTANT = re.compile(r"(?<![\w$./-])[A-Z][A-Z0-9]*_[A-Z0-9_]+(?![\w…*])")
COMMAND = re.compile(r"(?:^|[\s/])leadstream((?: +[^\s|;&#]+)+)", re.MULTILINE)
MAKE = re.compile(r"(?:^|\n|`)\s*make +([a-z-]+)")
FOREIGN = {"GitHub", "MongoDB", "RetryInfo", "JavaScript", "OpenTelemetry"}


@dataclass(slots=True)
class Code:
    """What the tree defines: files and folders, Python names by file, members by class, every word of the code."""

    paths: set[str] = field(default_factory=set)
    tests: set[str] = field(default_factory=set)
    defined: dict[str, set[str]] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)
    settings: set[str] = field(default_factory=set)

    @property
    def functions(self) -> set[str]:
        return set().union(*self.defined.values(), *self.members.values())


def wrong_names(page: Path, text: str) -> list[str]:
    """Return one line for each name on the page that the tree does not have, in order and without repetition."""
    spans = SPAN.findall(BLOCK.sub("", text))
    blocks = BLOCK.findall(text)
    found = [
        *(f"link {link}: no such file" for link in LINK.findall(text) if not _is_link(page, link)),
        *(line for span in spans for line in _wrong_in_span(span)),
        *(line for block in blocks for line in _wrong_anywhere(block)),
    ]
    return list(dict.fromkeys(found))


def _is_link(page: Path, link: str) -> bool:
    target = link.partition("#")[0]
    return not target or (page.parent / target).exists()


def _wrong_in_span(span: str) -> Iterator[str]:
    yield from _wrong_anywhere(span)
    code = read_code()
    if "://" in span:
        return
    first, _, rest = span.partition(" ")
    if rest and first in COMMANDS:
        yield from _wrong_command(span.split(), "leadstream")
    yield from (f"{name}: no such class" for name in CLASS.findall(span) if name not in code.words | FOREIGN)
    yield from (f"{name}: no such constant" for name in CONSTANT.findall(span) if not _is_constant(name))
    for owner, member in MEMBER_OF_CLASS.findall(span):
        if member not in code.members.get(owner, set()) and not re.fullmatch(FILE_TYPES, member):
            yield f"{owner}.{member}: no such member of a class"
    if re.fullmatch(r"[\w.]+\([\w, =]*\)", span):
        yield from (f"{name}(): no such function" for name in FUNCTION.findall(span) if name not in code.functions)


def _wrong_anywhere(text: str) -> Iterator[str]:
    code = read_code()
    yield from (f"{name}: no such setting" for name in SETTING.findall(text) if not _is_setting(name))
    yield from (f"{name}: no such metric" for name in METRIC.findall(text) if name not in metric_names())
    yield from (f"{name}: no such test" for name in TEST.findall(text) if name not in code.tests)
    yield from (f"{path}: no such file or folder" for path in PATH.findall(text) if not _is_path(path))
    yield from (f"{name}: no such module or name" for name in DOTTED_MODULE.findall(text) if not _is_module(name))
    for path, name in MEMBER_OF_FILE.findall(text):
        if not any(name in names for file, names in code.defined.items() if _ends_with(file, path)):
            yield f"{path}:{name}: no such name in the file"
    for words in COMMAND.findall(text):
        yield from _wrong_command(words.split(), "leadstream")
    yield from (f"make {target}: no such target" for target in MAKE.findall(text) if target not in _make_targets())


def _is_setting(name: str) -> bool:
    return name in read_code().settings or (
        name.endswith("_") and any(each.startswith(name) for each in read_code().settings)
    )


def _is_constant(name: str) -> bool:
    return (
        name in read_code().words or f"LEADSTREAM_{name}" in read_code().settings or SETTING.fullmatch(name) is not None
    )


def _is_path(path: str) -> bool:
    wanted = path.rstrip("/.").replace("…", "*")
    if wanted.split("/")[0] in RUNTIME_FILES:
        return True
    return any(fnmatch(each, wanted) or fnmatch(each, f"*/{wanted}") for each in read_code().paths)


def _is_module(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = "/".join(parts[:length])
        if path in read_code().paths:
            return length == len(parts)
        if f"{path}.py" in read_code().paths:
            return length == len(parts) or parts[length] in read_code().defined[f"{path}.py"]
    return False


def _ends_with(file: str, path: str) -> bool:
    return file == path or file.endswith(f"/{path}")


def _wrong_command(words: list[str], path: str) -> Iterator[str]:
    """Follow `words` through the groups; from the command on, check only the options."""
    command: TyperCommand | TyperGroup = _commands()
    for number, word in enumerate(words):
        if isinstance(command, TyperGroup) and re.fullmatch(r"[a-z][a-z-]*", word):
            found: Any = command.get_command(command.make_context(word, [], resilient_parsing=True), word)
            if found is None:
                yield f"{path} {word}: no such command"
                return
            command, path = found, f"{path} {word}"
        elif isinstance(command, TyperGroup) and "|" in word:
            for each in word.split("|"):
                yield from _wrong_command([*words[:number], each], "leadstream")
            return
        elif word.startswith("--"):
            option = word.partition("=")[0].rstrip(",.;)")
            if option != "--help" and option not in {
                name for each in command.params for name in (*each.opts, *each.secondary_opts)
            }:
                yield f"{path} {option}: no such option"


@cache
def _commands() -> TyperGroup:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return group


@cache
def _make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def metric_names() -> set[str]:
    """Return the names under which every metric of the services can be queried."""
    registered = [metric for each in Metrics.__subclasses__() for metric in each().registry.collect()]
    return {f"{metric.name}{suffix}" for metric in registered for suffix in _suffixes(metric)}


def _suffixes(metric: Metric) -> tuple[str, ...]:
    return {"counter": ("_total",), "info": ("_info",), "histogram": ("", "_bucket", "_count", "_sum")}.get(
        metric.type, ("",)
    )


@cache
def read_code() -> Code:
    code = Code()
    for folder, folders, files in os.walk(ROOT):
        is_root = Path(folder) == ROOT
        folders[:] = [each for each in folders if _is_kept(each) and each not in IGNORED_FOLDERS]
        for name in (*folders, *(each for each in files if not is_root or _is_kept(each))):
            path = Path(folder, name).relative_to(ROOT)
            code.paths.add(path.as_posix())
            if path.suffix == ".py":
                _add_module(code, path)
    code.settings |= set(SETTING.findall((ROOT / "deploy" / "local" / "servers").read_text()))
    code.settings |= {f"LEADSTREAM_{name.upper()}" for each in SERVICE_SETTINGS for name in each.model_fields}
    return code


def _is_kept(name: str) -> bool:
    return not name.startswith(".") or name in HIDDEN_FILES


def _add_module(code: Code, path: Path) -> None:
    text = (ROOT / path).read_text()
    if path.name != "test_docs.py":  # it has names that are wrong on purpose
        code.words |= set(re.findall(r"\w+", text))
    if path.parts[:2] == ("tests", "support"):
        code.settings |= set(SETTING.findall(text))
    code.tests |= set(re.findall(r"def (test_\w+)", text))
    tree = ast.parse(text)
    code.defined[path.as_posix()] = {name for node in tree.body for name in _names_of(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            code.members.setdefault(node.name, set()).update(name for each in node.body for name in _names_of(each))


def _names_of(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
    elif isinstance(node, ast.Assign):
        yield from (name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name))
