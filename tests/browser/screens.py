"""`make screenshots`: every page of the console in light, in dark and on a phone, and the demo in its terminal."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, Page, ViewportSize

from tests.browser.chromium import launched
from tests.browser.palette import with_palette
from tests.browser.staging import Staged, site_in
from tests.browser.terminal import demo_picture

PATHS = {
    "overview": "/", "contacts": "/contacts", "filtered": "/contacts?q=maria&platform=messenger",
    "no-match": "/contacts?q=nobody+at+all", "board": "/board", "integrations": "/integrations",
    "add-account": "/integrations#add-account", "pipelines": "/pipelines", "dead-letters": "/dead-letters",
    "not-found": "/nowhere",
}  # fmt: skip
OPENED = {"add-account": "Add an account", "pipeline-edit": "Edit stages"}
"""The section that is opened before the picture is taken."""
SETTLED_MS = 700
WIDE, PHONE = ViewportSize(width=1360, height=860), ViewportSize(width=390, height=844)
LOOKS = {"light": ("light", WIDE), "dark": ("dark", WIDE), "phone": ("light", PHONE)}
NEW_CUSTOMER = "Carmela Dizon"
DIALOGUE = (
    ("Hi po, magkano po yung standing desk?", False),
    ("Meron po kami for you, ₱13,990 po.", True),
    ("Available po ba sa Saturday? Dalawa po kukunin ko para sa office namin sa Makati", False),
    ("Sige po, paki-reserve. Eto po number ko 0917 555 0142", False),
    ("Free delivery na po. Dito po ang GCash namin.", True),
    ("Nabayaran ko na po, eto po yung resibo. Deal na po!", False),
)
UNREADABLE = (
    b'{"object": "whatsapp_business_account", "entry": [{"id": "99", "changes": []}]}',
    b'{"object": "page", "entry": [{"id": "371000000000001", "messag',
)


async def main(docs: Path) -> None:
    async with launched() as browser:
        (docs / "demo.png").write_bytes(await demo_picture(browser))
        with tempfile.TemporaryDirectory() as temporary:
            async with site_in(Path(temporary)) as site:
                await site.history_is_read()
                await something_happens(site)
                paths = {**PATHS, **await inner_paths(site, browser)}
                for look in LOOKS:
                    await take(site, browser, paths, look, docs / "console")


async def take(site: Staged, browser: Browser, paths: dict[str, str], look: str, folder: Path) -> None:
    theme, viewport = LOOKS[look]
    page = await browser.new_page(viewport=viewport, color_scheme="dark" if theme == "dark" else "light")
    for name, url in {"login": f"{site.guarded}/login", **{n: f"{site.console}{p}" for n, p in paths.items()}}.items():
        await page.goto(url)
        if name in OPENED:
            await page.get_by_text(OPENED[name]).first.click()
            await page.get_by_text(OPENED[name]).first.evaluate("each => each.scrollIntoView()")
        await page.wait_for_timeout(SETTLED_MS)
        (folder / f"{name}-{look}.png").write_bytes(with_palette(await page.screenshot()))
    await page.close()


async def something_happens(site: Staged) -> None:
    """Make things to show: a customer whose score rises, dead letters, and a run that fails."""
    for text, echo in DIALOGUE:
        await site.act(act="say", who=NEW_CUSTOMER, text=text, echo=echo)
        await asyncio.sleep(2)
    for body in UNREADABLE:
        await site.receive(body)
    await site.simulate("faults", [{"error": "permission", "times": 100}])
    messenger = site.simulator["accounts"][0]
    await asyncio.to_thread(site.start("backfill", "run", messenger["platform"], messenger["id"]).wait, 60)
    await site.simulate("faults", [])
    await asyncio.to_thread(site.start("backfill", "run").wait, 60)


async def inner_paths(site: Staged, browser: Browser) -> dict[str, str]:
    page = await browser.new_page()
    await tag(page, site)
    for each in range(len(site.simulator["accounts"])):
        await page.goto(f"{site.console}/integrations")
        await page.get_by_role("button", name="Check").nth(each).click()
    links = {
        "contact": (f"/contacts?q={NEW_CUSTOMER}", "tr .who a"),
        "run": ("/integrations", "#live-history tr:last-child a"),
        "dead-letter": ("/dead-letters", "td a"),
    }
    found = {"pipeline-edit": "/pipelines"}
    for name, (where, link) in links.items():
        await page.goto(f"{site.console}{where}")
        found[name] = await page.locator(link).first.get_attribute("href") or ""
    await page.close()
    return {**found, "erase": f"{found['contact']}/forget"}


async def tag(page: Page, site: Staged) -> None:
    for value, selected in {"furniture-fair": (0, 3, 4), "vip": (1,)}.items():
        await page.goto(f"{site.console}/contacts")
        for number in selected:
            await page.locator("input[name=id]").nth(number).check()
        await page.locator("[name=value]").fill(value)
        await page.get_by_role("button", name="Apply").click()
        await page.get_by_text("Done for").wait_for()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
