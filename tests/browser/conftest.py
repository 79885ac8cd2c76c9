"""A real browser in front of the whole of Leadstream. Without Chromium these tests are skipped."""

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
CONVERSATIONS = 84
"""The number of conversations of both accounts."""
Open = Callable[..., AbstractAsyncContextManager[Page]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    if here and chromium() is None:
        reason = "Chromium is missing: `apt-get install chromium`, or set its path in LEADSTREAM_TEST_CHROMIUM"
        for item in here:
            item.add_marker(pytest.mark.skip(reason))


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Staged]:
    """A site with accounts whose history is not read yet."""
    async with site_in(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with launched() as made:
        yield made


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens a page. Errors of its scripts and violations of the content security policy fail the test."""
    errors: list[str] = []

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
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda line: errors.append(line.text) if "Content Security Policy" in line.text else None)
        await page.goto(url)
        yield page
        await context.close()

    yield go
    assert errors == []


@pytest.fixture
async def contacts(site: Staged, opened: Open) -> Staged:
    """The site with the whole history read and analysed."""
    async with opened(site.console) as page:

        async def count() -> int:
            answer = await (await page.request.get(f"{site.console}/api/contacts")).json()
            return int(answer["of"])

        if await count() < CONVERSATIONS:
            await site.history_is_read()
            await eventually(count, lambda number: number >= CONVERSATIONS)
    return site
