"""What people do at the console, in a real browser over the whole of Leadstream."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from services.console.directory import plain
from tests.browser.conftest import PATIENCE_MS, Open
from tests.browser.staging import EDITOR, VIEWER, Staged

PAGES = ("/", "/contacts", "/board", "/integrations", "/pipelines", "/dead-letters")
HOSTILE = "<script>document.title='owned'</script>\u202egnp.exe " + "🎉" * 4000

expect.set_options(timeout=PATIENCE_MS)


async def act(site: Staged, **what: object) -> dict[str, Any]:
    """Something that a customer does; the simulator sends the webhook for it."""
    url = f"{site.simulator['graph_url']}/_simulator/act"

    def post() -> dict[str, Any]:
        request = urllib.request.Request(url, json.dumps(what).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            done: dict[str, Any] = json.load(answer)
            return done

    return await asyncio.to_thread(post)


async def configured(site: Staged) -> None:
    """The simulator's webhooks go to the receiver."""
    url = f"{site.simulator['graph_url']}/_simulator/configure"
    body = json.dumps({"callback": f"{site.receiver}/webhook"}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    await asyncio.to_thread(lambda: urllib.request.urlopen(request).close())


async def sign_in(page: Page, password: str) -> None:
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()


async def test_a_sync_is_started_and_watched_to_its_end(site: Staged, opened: Open) -> None:
    async with opened(f"{site.console}/integrations") as page:
        card = page.locator("[data-account^='messenger:']")
        await expect(card.get_by_text("Its history was never read.")).to_be_visible()
        await card.get_by_role("button", name="Sync now").click()
        await expect(card.locator(".state.completed")).to_be_visible()
        await expect(card.get_by_text(re.compile(r"59 of 59 conversations"))).to_be_visible()
        await expect(card.get_by_role("link", name="59", exact=True)).to_be_visible()
        await card.get_by_role("link", name="Last sync").click()
        await expect(page.get_by_role("heading", name=re.compile("Sync of"))).to_be_visible()
        await expect(page.locator("dl.strip").first.get_by_text("59").first).to_be_visible()


async def test_a_contact_is_found_by_full_name(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/contacts") as page:
        await page.keyboard.press("/")
        await page.keyboard.type("Maria Santos")
        await page.wait_for_url("**q=Maria+Santos")
        await expect(page.locator("tr[data-contact]").first).to_contain_text("Maria Santos")
        await page.get_by_role("link", name="Maria Santos").first.click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Maria Santos")


async def test_filters_sorting_and_pages_are_in_the_url_to_share(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/contacts") as page:
        await page.get_by_role("link", name="Next").first.click()
        await expect(page.locator(".pager .at").first).to_have_text("2 / 2")
        await page.get_by_label("Platform").select_option("messenger")
        await page.wait_for_url("**platform=messenger*")
        await expect(page.locator(".pager .at").first).to_have_text("1 / 2")
        await page.get_by_role("link", name="Name").first.click()
        await page.wait_for_url("**sort=name*")
        await expect(page.locator("th[aria-sort=ascending]")).to_have_text(re.compile("Name"))
        names = await page.locator("tr[data-contact] .who a").all_inner_texts()
        assert names == sorted(names, key=plain)
        shared = page.url
        async with opened(shared) as other:
            assert await other.locator("tr[data-contact] .who a").all_inner_texts() == names


async def test_none_that_match_is_said_and_left_again(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/contacts?q=nobody+at+all") as page:
        await expect(page.get_by_role("heading", name="Nobody matches")).to_be_visible()
        await page.get_by_role("link", name="Show all").click()
        await expect(page.locator("tr[data-contact]")).to_have_count(50)


async def test_keys_move_through_the_list_and_tick(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/contacts") as page:
        for key in ("j", "j", "x"):
            await page.keyboard.press(key)
        await expect(page.locator("tr.at input[name=id]")).to_be_checked()
        await expect(page.locator("[data-bulk-bar]")).to_be_visible()
        second = await page.locator("tr[data-contact] .who a").nth(1).inner_text()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text(second)


async def test_those_that_are_ticked_are_tagged(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/contacts?sort=name") as page:
        for number in (0, 1):
            await page.locator("input[name=id]").nth(number).check()
        await page.locator("[name=value]").fill("fair")
        await page.get_by_role("button", name="Apply").click()
        await expect(page.get_by_text("Done for 2 contacts.")).to_be_visible()
        await page.get_by_role("link", name="fair").first.click()
        await expect(page.locator("tr[data-contact]")).to_have_count(2)


async def column_of(page: Page, contact_id: str) -> str:
    card = page.locator(f".lead[data-contact='{contact_id}']")
    return await card.locator("xpath=ancestor::section").get_attribute("data-stage") or ""


async def test_a_card_is_moved_by_the_mouse_and_by_keys_and_stays_moved(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/board", width=1700) as page:
        card = page.locator(".column[data-stage='New Lead'] .lead").first
        contact_id = await card.get_attribute("data-contact") or ""
        await card.drag_to(page.locator(".column[data-stage='Qualified']"))
        moved = page.locator(f".column[data-stage='Qualified'] .lead[data-contact='{contact_id}']")
        await expect(moved).to_be_visible()
        await moved.get_by_role("link").focus()
        async with page.expect_response(lambda answer: answer.url.endswith("/edit")):
            await page.keyboard.press("]")
        await expect(
            page.locator(f".column[data-stage='Proposal Sent'] .lead[data-contact='{contact_id}']")
        ).to_be_visible()
        await page.reload()
        assert await column_of(page, contact_id) == "Proposal Sent"


async def test_a_webhook_changes_a_contact_without_a_reload(contacts: Staged, opened: Open) -> None:
    await configured(contacts)
    async with opened(f"{contacts.console}/contacts") as page:
        contact_id = await first_of(page, contacts, "messenger", "band=cold")
        await page.goto(f"{contacts.console}/contacts/{contact_id}")
        await page.evaluate("window.isTheSamePage = true")
        before = await page.locator(".big b").inner_text()
        who = contact_id.split(":")[2]
        for text in ("How much is it? I want to buy it today.", "I will pay now, please send the invoice. Deal!"):
            await act(contacts, act="say", who=who, text=text)
        await expect(page.locator(".big b")).not_to_have_text(before)
        await expect(page.get_by_text("Deal!")).to_be_visible()
        assert await page.evaluate("window.isTheSamePage")


async def first_of(page: Page, site: Staged, platform: str, query: str) -> str:
    answer = await page.request.get(f"{site.console}/api/contacts?platform={platform}&{query}")
    return str((await answer.json())["contacts"][0]["contact_id"])


async def test_an_edited_name_outlives_a_new_analysis(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/contacts") as page:
        contact_id = await first_of(page, contacts, "messenger", "sort=-name")
        await page.goto(f"{contacts.console}/contacts/{contact_id}")
        await page.get_by_label("Name").fill("Nena Edited")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Nena Edited")
        await page.get_by_role("button", name="Analyse now").click()
        await expect(page.get_by_text("reads it anew")).to_be_visible()
        await expect(page.get_by_text("another is on its way")).to_be_hidden()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Nena Edited")
        await expect(page.get_by_text("set by a person").first).to_be_visible()


async def test_hostile_text_is_only_text(contacts: Staged, opened: Open) -> None:
    await configured(contacts)
    async with opened(f"{contacts.console}/contacts") as page:
        contact_id = await first_of(page, contacts, "messenger", "sort=inbound")
        await act(contacts, act="say", who=contact_id.split(":")[2], text=HOSTILE)
        await page.goto(f"{contacts.console}/contacts/{contact_id}")
        await expect(page.get_by_text("document.title='owned'").last).to_be_visible()
        assert "owned" not in await page.title()
        wider = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not wider


async def test_who_may_look_sees_no_way_to_change(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.guarded}/contacts") as page:
        await page.get_by_label("Password").fill(VIEWER)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", name="Contacts")).to_be_visible()
        await expect(page.locator("input[name=id]")).to_have_count(0)
        await page.locator("tr[data-contact] a").first.click()
        await expect(page.get_by_role("button", name="Save")).to_have_count(0)
        await expect(page.get_by_role("button", name="Analyse now")).to_have_count(0)
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_an_editor_signs_in_and_changes(contacts: Staged, opened: Open) -> None:
    async with opened(contacts.guarded) as page:
        await page.get_by_label("Password").fill("wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_have_text("That is not the password.")
        await sign_in(page, EDITOR)
        await page.goto(f"{contacts.guarded}/integrations")
        await page.get_by_role("button", name="Check").first.click()
        await expect(page.locator(".flash")).to_contain_text("well")


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_nothing_that_keeps_people_out_is_found_by_axe(contacts: Staged, opened: Open, theme: str) -> None:
    async with opened(f"{contacts.console}/contacts", theme=theme) as page:
        contact = await page.locator("tr[data-contact] a").first.get_attribute("href")
        for path in (*PAGES, f"{contact}", f"{contact}/forget", "/none"):
            await page.goto(f"{contacts.console}{path}")
            found = await Axe().run(page)
            serious = [each for each in found.response["violations"] if each["impact"] in {"serious", "critical"}]
            assert [(path, each["id"], each["nodes"][0]["html"]) for each in serious] == []


@pytest.mark.parametrize("path", PAGES)
async def test_a_phone_shows_every_page_within_its_width(contacts: Staged, opened: Open, path: str) -> None:
    async with opened(f"{contacts.console}{path}", width=390, height=844) as page:
        assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth")
        await expect(page.get_by_role("navigation", name="Pages", exact=True)).to_be_visible()


@pytest.mark.parametrize("width", [840, 1024, 1200, 1360])
async def test_a_list_of_contacts_fits_into_every_window(contacts: Staged, opened: Open, width: int) -> None:
    async with opened(f"{contacts.console}/contacts", width=width) as page:
        assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth")


async def test_without_scripts_a_contact_is_found_and_edited(contacts: Staged, browser: Any) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(f"{contacts.console}/contacts")
    await page.get_by_label("Status").select_option("WON")
    await page.get_by_role("button", name="Show").click()
    await page.locator("tr[data-contact] a").first.click()
    await page.get_by_label("Notes").fill("Called on Monday.")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_label("Notes")).to_have_value("Called on Monday.")
    await context.close()


async def test_a_theme_is_chosen_and_kept(contacts: Staged, opened: Open) -> None:
    async with opened(contacts.console) as page:
        await page.get_by_role("button", name="Dark theme").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await page.goto(f"{contacts.console}/board")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
