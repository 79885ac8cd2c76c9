"""What the documents say is there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.servers import ROOT


def test_every_proof_on_the_page_of_promises_is_a_test() -> None:
    page = (ROOT / "docs" / "promises.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    there = {
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) >= 20
    assert named <= there, f"not there: {sorted(named - there)}"


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not Path(ROOT, link).exists()] == []
