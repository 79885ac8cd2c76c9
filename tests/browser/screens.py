"""Pictures of every page, light and dark, over the demo's accounts: `python -m tests.browser.screens docs/console`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet
from playwright.async_api import Page, async_playwright

from services.demo.servers import embedded_servers
from tests.browser.conftest import chromium
from tests.browser.staging import Staged, staged

PATHS = {
    "overview": "/", "contacts": "/contacts", "search": "/contacts?q=maria&band=hot", "board": "/board",
    "integrations": "/integrations", "pipelines": "/pipelines", "dead-letters": "/dead-letters",
}  # fmt: skip
SETTLED_MS = 1500
WIDE, PHONE = {"width": 1360, "height": 860}, {"width": 390, "height": 844}


async def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        async with embedded_servers(Path(temporary)) as (kafka, mongo):
            env = {
                "LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": kafka,
                "LEADSTREAM_MONGO_URL": mongo,
                "LEADSTREAM_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
                "LEADSTREAM_RECEIVER_HOST": "127.0.0.1",
            }
            staging = staged(env, Path(temporary))
            site = await asyncio.to_thread(staging.__enter__)
            try:
                await asyncio.to_thread(site.history_is_read)
                await take(site, folder)
            finally:
                await asyncio.to_thread(staging.__exit__, None, None, None)


async def take(site: Staged, folder: Path) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = await browser.new_page(viewport=WIDE)  # type: ignore[arg-type]
        await grow(site, page)
        contact = await contact_of(site, page)
        for theme in ("light", "dark"):
            await page.emulate_media(color_scheme=theme)
            for name, path in {**PATHS, "contact": contact}.items():
                await shoot(page, f"{site.console}{path}", folder / f"{name}-{theme}.png")
            await shoot(page, f"{site.guarded}/login", folder / f"login-{theme}.png")
        await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        await page.emulate_media(color_scheme="light")
        for name, path in {**PATHS, "contact": contact}.items():
            await shoot(page, f"{site.console}{path}", folder / f"{name}-phone.png")
        await browser.close()


async def shoot(page: Page, url: str, file: Path) -> None:
    await page.goto(url)
    await page.wait_for_timeout(SETTLED_MS)
    await page.screenshot(path=file)


async def grow(site: Staged, page: Page) -> None:
    """A customer whose score rose, so that there is something to plot."""
    configure, act = (f"{site.simulator['graph_url']}/_simulator/{each}" for each in ("configure", "act"))
    await page.request.post(configure, data={"callback": f"{site.receiver}/webhook"})
    texts = (
        "Hi po, magkano po yung L-shaped sofa?",
        "Available po ba this Saturday? Sa Makati po kami",
        "Sige po, order na ako. Eto po number ko 0917 555 0142",
        "Paid na po, thank you! Confirmed po",
    )
    for text in texts:
        await page.request.post(act, data={"act": "say", "who": "Carmela Dizon", "text": text})
        await page.wait_for_timeout(2 * SETTLED_MS)


async def contact_of(site: Staged, page: Page) -> str:
    found = await (await page.request.get(f"{site.console}/api/contacts?q=carmela")).json()
    return f"/contacts/{found['contacts'][0]['contact_id']}"


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
