"""A real browser before the whole of Leadstream. Without a Chromium these tests are skipped, which says so."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from playwright.async_api import Browser, Page, async_playwright

from services.demo.servers import embedded_servers
from tests.browser.staging import Staged, staged
from tests.support.waiting import eventually

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_MS = 60_000
Open = Callable[..., AbstractAsyncContextManager[Page]]


def chromium() -> str | None:
    """LEADSTREAM_TEST_CHROMIUM, or what the machine has."""
    return os.environ.get("LEADSTREAM_TEST_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    if here and chromium() is None:
        reason = "no Chromium here: `apt-get install chromium`, or say where with LEADSTREAM_TEST_CHROMIUM"
        for item in here:
            item.add_marker(pytest.mark.skip(reason))


@pytest.fixture(scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Staged]:
    """Accounts are there, their history is not."""
    folder = tmp_path_factory.mktemp("site")
    async with embedded_servers(folder) as (kafka, mongo):
        env = {
            "LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "LEADSTREAM_MONGO_URL": mongo,
            "LEADSTREAM_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "LEADSTREAM_RECEIVER_HOST": "127.0.0.1",
        }
        staging = staged(env, folder)
        made = await asyncio.to_thread(staging.__enter__)
        try:
            yield made
        finally:
            await asyncio.to_thread(staging.__exit__, None, None, None)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        # Root may not use the sandbox, and the pages are our own.
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens a page of its own; what its scripts got wrong, and what the policy forbade, fails the test."""
    wrongs: list[str] = []

    @asynccontextmanager
    async def go(url: str, *, width: int = 1280, height: int = 860, theme: str = "light") -> AsyncIterator[Page]:
        scheme = "dark" if theme == "dark" else "light"
        viewport = {"width": width, "height": height}
        context = await browser.new_context(viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
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
        answer = await page.request.get(f"{site.console}/api/contacts")
        if (await answer.json())["of"] < 84:
            await asyncio.to_thread(site.history_is_read)

        async def known() -> int:
            told = await (await page.request.get(f"{site.console}/api/contacts")).json()
            return int(told["of"])

        await eventually(known, lambda number: number >= 84)
    return site
