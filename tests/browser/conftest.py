"""A real browser before the whole of Leadstream. Without a Chromium these tests are skipped, which says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from tests.browser.chromium import chromium, launched
from tests.browser.staging import Staged, site_in
from tests.support.waiting import eventually

PATIENCE_MS = 60_000
KNOWN = 84
"""Conversations of both accounts."""
Open = Callable[..., AbstractAsyncContextManager[Page]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    if here and chromium() is None:
        reason = "no Chromium here: `apt-get install chromium`, or say where with LEADSTREAM_TEST_CHROMIUM"
        for item in here:
            item.add_marker(pytest.mark.skip(reason))


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Staged]:
    """Accounts are there, their history is not."""
    async with site_in(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with launched() as made:
        yield made


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens a page of its own; what its scripts got wrong, and what the policy forbade, fails the test."""
    wrongs: list[str] = []

    @asynccontextmanager
    async def go(
        url: str, *, width: int = 1280, height: int = 860, theme: str = "light", scripts: bool = True
    ) -> AsyncIterator[Page]:
        scheme = "dark" if theme == "dark" else "light"
        viewport = {"width": width, "height": height}
        context = await browser.new_context(
            viewport=viewport,  # type: ignore[arg-type]
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=scripts,
        )
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        page.on("pageerror", lambda error: wrongs.append(str(error)))
        page.on("console", lambda told: wrongs.append(told.text) if "Content Security Policy" in told.text else None)
        await page.goto(url)
        yield page
        await context.close()

    yield go
    assert wrongs == []


@pytest.fixture
async def contacts(site: Staged, opened: Open) -> Staged:
    """With the whole history read and analysed, whoever began that."""
    async with opened(site.console) as page:

        async def known() -> int:
            told = await (await page.request.get(f"{site.console}/api/contacts")).json()
            return int(told["of"])

        if await known() < KNOWN:
            await site.history_is_read()
            await eventually(known, lambda number: number >= KNOWN)
    return site
