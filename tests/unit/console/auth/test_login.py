"""Where signing in leads."""

from __future__ import annotations

import pytest

from services.console.auth.login import inner_path


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "", "/a\nb"]
)
def test_signing_in_never_redirects_to_another_host(elsewhere: str) -> None:
    assert inner_path(elsewhere) == "/"


def test_signing_in_redirects_to_the_requested_page() -> None:
    assert inner_path("/contacts?q=maria+santos") == "/contacts?q=maria+santos"
