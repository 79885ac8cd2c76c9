"""Every file, setting, metric, test, function and command that a page names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.documented_names import wrong_names
from tests.support.servers import ROOT

PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_a_page_names_only_what_exists(page: Path) -> None:
    wrong = wrong_names(page, page.read_text())
    assert not wrong, "\n".join([f"{page_name(page)} names what does not exist:", *(f"  {each}" for each in wrong)])


def test_the_page_of_promises_names_its_tests() -> None:
    assert len(set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "promises.md").read_text()))) >= 20


@pytest.mark.parametrize(
    "name",
    [
        "LEADSTREAM_QUIET_MINUTES", "leadstream_analyzer_event_total", "test_of_nothing", "shared/store/mango.py",
        "docs/adr/0099-…", "mango.py", "shared.store.mongo.open_nothing", "shared/store/mongo.py:open_nothing",
        "AccountStore.lose", "open_nothing()", "NoSuchClass", "NO_SUCH_LIMIT", "leadstream contacts lose",
        "leadstream contacts list --lost", "dlq lose", "receiver --lost", "make lost",
    ],
)  # fmt: skip
def test_a_name_that_does_not_exist_is_reported(name: str) -> None:
    assert len(wrong_names(ROOT / "README.md", f"See `{name}`.")) == 1


def test_a_link_to_nothing_and_a_wrong_command_in_a_block_are_reported() -> None:
    text = "[there](docs/nothing.md)\n\n```sh\n.venv/bin/leadstream contacts lose\n```\n"
    assert len(wrong_names(ROOT / "README.md", text)) == 2


@pytest.mark.parametrize(
    "name",
    [
        "LEADSTREAM_QUIET_SECONDS", "leadstream_analyzer_events_total", "leadstream_analyzer_analysis_seconds_bucket",
        "test_a_page_names_only_what_exists", "shared/store/mongo.py", "docs/adr/0006-…", "docs/adr/", "mongo.py",
        "shared.store.mongo.open_database", "shared/store/mongo.py:open_database", "AccountStore.add",
        "open_database()", "AccountStore", "WON_PRECISION", "leadstream contacts list --json", "contacts list",
        "leadstream contacts list|show", "leadstream", "make demo ARGS=--exit", ".venv/bin/leadstream", "/api/contacts",
        "https://example.com/nothing.py", "message-events", "recipient.id",
    ],
)  # fmt: skip
def test_a_name_that_exists_is_not_reported(name: str) -> None:
    assert wrong_names(ROOT / "README.md", f"See `{name}`.") == []
