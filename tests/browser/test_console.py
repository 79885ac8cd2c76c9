"""What people do in the console, in a real browser over the whole of Leadstream."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, expect

from services.console.index.contact_index import plain
from tests.browser.conftest import PATIENCE_MS, Open
from tests.browser.staging import EDITOR, VIEWER, Staged
from tests.support.waiting import eventually

PAGES = ("/", "/contacts", "/contacts?q=nobody+at+all", "/board", "/integrations", "/pipelines", "/dead-letters")
HOSTILE_NAME = "<script>owned=1</script> \u202egnp.exe"
HOSTILE_TEXT = "<img src=x onerror='owned=1'>\u202egnp.exe " + "🎉" * 4000
WATCH = """() => {
  const look = () => {
    const shown = document.querySelector("[data-account^='instagram:'] .progress span")?.textContent ?? "";
    const done = Number(shown.split(" of ")[0]);
    if (shown && seen.at(-1) !== done) seen.push(done);
  };
  window.seen = [];
  new MutationObserver(look).observe(document.getElementById("live-accounts"), { childList: true, subtree: true });
}"""
IS_TOO_WIDE = "document.documentElement.scrollWidth > innerWidth"
SHOWS_FOCUS = """() => {
  const at = document.activeElement;
  return [at, at.closest(".move")].some((each) => each && getComputedStyle(each).outlineStyle !== "none");
}"""

expect.set_options(timeout=PATIENCE_MS)


async def sign_in(page: Page, password: str) -> None:
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()


async def first_of(page: Page, site: Staged, query: str) -> str:
    return str((await listed(page, site, query))[0]["contact_id"])


async def listed(page: Page, site: Staged, query: str) -> list[dict[str, Any]]:
    """Return contacts as the console lists them."""
    answer = await page.request.get(f"{site.console}/api/contacts?{query}")
    rows: list[dict[str, Any]] = (await answer.json())["contacts"]
    return rows


async def wait_for_contact(page: Page, site: Staged, name: str) -> None:
    """Wait until a new customer has a name and an analysis."""
    await eventually(
        lambda: listed(page, site, urlencode({"q": name})), lambda rows: any(each["stage"] for each in rows)
    )


async def inner_pages(page: Page, site: Staged) -> list[str]:
    """Return the path of one page of each kind that needs an id."""
    await site.receive(b'{"object": "page", "entry": oops')
    found = []
    for where, link in (("/contacts", "tr .who a"), ("/integrations", "#live-history a"), ("/dead-letters", "td a")):
        await page.goto(f"{site.console}{where}")
        found.append(await page.locator(link).first.get_attribute("href") or "")
    return [*found, f"{found[0]}/forget", "/none"]


async def test_a_sync_is_started_and_its_numbers_move(site: Staged, opened: Open) -> None:
    async with opened(f"{site.console}/integrations") as page:
        slow, quick = page.locator("[data-account^='instagram:']"), page.locator("[data-account^='messenger:']")
        await expect(slow.get_by_text("Its history has not been synced yet.")).to_be_visible()
        await page.get_by_role("button", name="Sync all").click()
        await expect(page.get_by_role("status").filter(has_text="2 runs are queued.")).to_be_visible()
        await page.evaluate(WATCH)
        await expect(quick.get_by_text(re.compile("^59 of 59 conversations"))).to_be_visible()
        await expect(slow.locator(".state.completed")).to_be_visible()
        seen = await page.evaluate("seen")
        assert seen == sorted(seen)
        assert seen[-1] == 25
        assert len(seen) > 3, "the numbers did not move on the page that was open all the time"
        await slow.get_by_role("link", name="Last sync").click()
        await expect(page.get_by_role("heading", name=re.compile("Sync of .* Completed"))).to_be_visible()
        await expect(page.locator("dl.strip div").filter(has_text="Read")).to_have_text("Read25")


async def test_a_contact_is_found_by_full_name(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/contacts") as page:
        await page.keyboard.press("/")
        await page.keyboard.type("Maria Santos")
        await page.wait_for_url("**q=Maria+Santos")
        await expect(page.locator("tr[data-contact]")).to_have_count(1)
        await page.get_by_role("link", name="Maria Santos").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Maria Santos")


async def test_filters_sorting_and_pages_are_in_the_url(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/contacts", width=1400) as page:
        await page.get_by_role("link", name="Next").first.click()
        await page.wait_for_url("**page=2")
        await expect(page.locator(".pager .at").first).to_have_text("2 / 2")
        await page.get_by_label("Platform").select_option("messenger")
        await page.wait_for_url("**platform=messenger*")
        await expect(page.locator(".pager .at").first).to_have_text("1 / 2")
        assert set(await page.locator("td.account .platform").all_text_contents()) == {"Messenger"}
        await page.get_by_role("link", name="Name").first.click()
        await page.wait_for_url("**sort=name*")
        await expect(page.locator("th[aria-sort=ascending]")).to_have_text(re.compile("Name"))
        names = await page.locator("tr[data-contact] .who a").all_inner_texts()
        assert names == sorted(names, key=plain)
        async with opened(page.url) as other:
            assert await other.locator("tr[data-contact] .who a").all_inner_texts() == names


async def test_no_match_is_shown_with_a_way_back(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/contacts?q=nobody+at+all") as page:
        await expect(page.get_by_role("heading", name="No contacts match")).to_be_visible()
        await page.get_by_role("link", name="Show all").click()
        await expect(page.locator("tr[data-contact]")).to_have_count(50)


async def test_keys_move_through_the_list_and_select(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/contacts") as page:
        await page.get_by_role("button", name="Shortcuts").click()
        await expect(page.get_by_role("dialog")).to_contain_text("Next, previous contact")
        await page.keyboard.press("Escape")
        for key in ("j", "j", "x"):
            await page.keyboard.press(key)
        second = page.locator("tr[data-contact]").nth(1)
        await expect(second.locator("input[name=id]")).to_be_checked()
        await expect(second.get_by_role("link").first).to_be_focused()
        await expect(page.locator("[data-bulk-bar]")).to_be_visible()
        name = await second.locator(".who a").inner_text()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text(name)


async def test_the_keyboard_skips_the_navigation_and_shows_the_focus(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/board") as page:
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("main")).to_be_focused()
        for number in range(8):
            await page.keyboard.press("Tab")
            assert await page.evaluate(SHOWS_FOCUS), f"the focus is not visible at stop {number}"
        assert await page.evaluate("document.activeElement.closest('.lead') !== null")


async def test_selected_contacts_are_tagged(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/contacts?sort=name") as page:
        for number in (0, 1):
            await page.locator("input[name=id]").nth(number).check()
        await page.locator("[name=value]").fill("furniture fair 2026")
        await page.get_by_role("button", name="Apply").click()
        await expect(page.get_by_text("Done for 2 contacts.")).to_be_visible()
        await page.get_by_role("link", name="furniture fair 2026").first.click()
        await expect(page.locator("tr[data-contact]")).to_have_count(2)


async def first_card(page: Page) -> tuple[str, Callable[[str], Locator]]:
    """Return the stage of the first card before Qualified, and a function that locates it in any column."""
    column = page.locator(
        ".column:is([data-stage='New Lead'], [data-stage='Contacted'])", has=page.locator(".lead")
    ).first
    contact_id = await column.locator(".lead").first.get_attribute("data-contact")
    stage = await column.get_attribute("data-stage")
    return str(stage), lambda named: page.locator(f".column[data-stage='{named}'] .lead[data-contact='{contact_id}']")


async def test_a_card_moved_by_mouse_or_keys_stays_moved(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/board", width=1700) as page:
        stage, card_in = await first_card(page)
        await card_in(stage).drag_to(page.locator(".column[data-stage='Qualified']"))
        await expect(card_in("Qualified")).to_be_visible()
        await card_in("Qualified").get_by_role("link").focus()
        async with page.expect_response(lambda answer: answer.request.method == "PATCH"):
            await page.keyboard.press("]")
        await expect(card_in("Proposal Sent")).to_be_visible()
        await expect(page.locator("[data-board-message]")).to_contain_text("moved to Proposal Sent")
        await page.reload()
        await expect(card_in("Proposal Sent")).to_be_visible()


async def test_a_card_that_the_server_refuses_moves_back_with_the_reason(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/board", width=1700) as page:
        await page.route("**/api/contacts/*", lambda route: route.fulfill(status=409, json={"error": "it is gone"}))
        stage, card_in = await first_card(page)
        await card_in(stage).get_by_role("link").focus()
        await page.keyboard.press("]")
        await expect(page.get_by_text("Not moved: it is gone")).to_be_visible()
        await expect(card_in(stage)).to_be_visible()


async def test_a_webhook_changes_a_contact_without_a_reload(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/contacts") as page:
        contact_id = await first_of(page, contacts, "platform=messenger&band=cold")
        await page.goto(f"{contacts.console}/contacts/{contact_id}")
        await page.evaluate("window.isTheSamePage = true")
        before = await page.locator(".big b").inner_text()
        who = contact_id.split(":")[2]
        for text in ("How much is it? I want to buy it today.", "I will pay now, please send the invoice. Deal!"):
            await contacts.act(act="say", who=who, text=text)
        await expect(page.locator(".big b")).not_to_have_text(before)
        await expect(page.get_by_text("Deal!")).to_be_visible()
        assert await page.evaluate("window.isTheSamePage")


async def test_an_edited_name_is_kept_by_a_new_analysis(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.console}/contacts") as page:
        contact_id = await first_of(page, contacts, "platform=messenger&sort=-name")
        await page.goto(f"{contacts.console}/contacts/{contact_id}")
        await page.get_by_label("Name").fill("Nena Edited")
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Nena Edited")

        async def analysed_at() -> str:
            answer = await page.request.get(f"{contacts.console}/api/contacts/{contact_id}")
            return str((await answer.json())["contact"]["analysis"]["analysed_at"])

        before = await analysed_at()
        await page.get_by_role("button", name="Analyse now").click()
        await expect(page.get_by_text("analysed again")).to_be_visible()
        await eventually(analysed_at, lambda at: at > before)
        await page.reload()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Nena Edited")
        await expect(page.get_by_text("set by a person").first).to_be_visible()


async def test_hostile_names_and_texts_are_shown_as_text(contacts: Staged, opened: Open) -> None:
    said = await contacts.act(act="say", who=HOSTILE_NAME, text=HOSTILE_TEXT)
    where = f"/contacts/{said['contact_id']}"
    async with opened(f"{contacts.console}/contacts") as page:
        await wait_for_contact(page, contacts, "<script>owned=1</script>")
        for path in (where, f"{where}/forget", "/contacts?q=script", "/board", "/"):
            await page.goto(f"{contacts.console}{path}")
            await expect(page.get_by_text("<script>owned=1</script>").first).to_be_visible()
            assert await page.evaluate("typeof owned") == "undefined"
            assert not await page.evaluate(IS_TOO_WIDE)
        await page.goto(f"{contacts.console}{where}")
        assert await page.locator("#latest .bubble").inner_text() == HOSTILE_TEXT


async def test_a_viewer_sees_no_forms(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.guarded}/contacts") as page:
        await sign_in(page, VIEWER)
        await expect(page.get_by_role("heading", name="Contacts")).to_be_visible()
        await page.locator("tr[data-contact] a").first.click()
        await expect(page.get_by_role("heading", name="Details")).to_be_visible()
        for path in (page.url.removeprefix(contacts.guarded), *PAGES):
            await page.goto(f"{contacts.guarded}{path}")
            changing = await page.locator("main form[method=post]").count()
            assert (path, changing) == (path, 0)
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_an_editor_signs_in_and_changes(contacts: Staged, opened: Open) -> None:
    async with opened(f"{contacts.guarded}/integrations") as page:
        await sign_in(page, "wrong")
        await expect(page.get_by_role("alert")).to_have_text("That is not the password.")
        await sign_in(page, EDITOR)
        await page.get_by_role("button", name="Check").first.click()
        await expect(page.locator(".flash")).to_contain_text("is connected")


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
async def test_axe_finds_no_serious_fault_on_any_page(contacts: Staged, opened: Open, theme: str, width: int) -> None:
    async with opened(f"{contacts.guarded}/login", theme=theme, width=width) as page:
        inner = [f"{contacts.console}{path}" for path in (*PAGES, *await inner_pages(page, contacts))]
        for url in (f"{contacts.guarded}/login", *inner):
            await page.goto(url)
            await page.locator("details").evaluate_all("all => all.forEach((each) => { each.open = true; })")
            found = await Axe().run(page)
            serious = [each for each in found.response["violations"] if each["impact"] in {"serious", "critical"}]
            assert [(url, each["id"], each["nodes"][0]["html"]) for each in serious] == []


async def test_a_phone_shows_every_page_within_its_width(contacts: Staged, opened: Open) -> None:
    async with opened(contacts.console, width=390, height=844) as page:
        for path in (*PAGES, *await inner_pages(page, contacts)):
            await page.goto(f"{contacts.console}{path}")
            assert (path, await page.evaluate(IS_TOO_WIDE)) == (path, False)
            await expect(page.get_by_role("navigation", name="Pages", exact=True)).to_be_in_viewport()


async def test_lists_fit_into_every_window(contacts: Staged, opened: Open) -> None:
    async with opened(contacts.console) as page:
        for path in ("/contacts", "/integrations", "/dead-letters"):
            await page.goto(f"{contacts.console}{path}")
            for width in (821, 1024, 1161, 1200, 1346, 1360):
                await page.set_viewport_size({"width": width, "height": 860})
                assert (path, width, await page.evaluate(IS_TOO_WIDE)) == (path, width, False)


async def test_everything_works_without_scripts(contacts: Staged, opened: Open) -> None:
    contact_id = (await contacts.act(act="say", who="Nora Scriptless", text="How much is it?"))["contact_id"]
    await contacts.receive(b'{"object": "page", "entry": oops')
    async with opened(contacts.console, scripts=False) as page:
        await wait_for_contact(page, contacts, "Nora Scriptless")
        flash = page.locator(".flash:not(.problem)")

        async def press(name: str, within: str = "main") -> None:
            await page.locator(within).get_by_role("button", name=name).first.click()

        await page.goto(f"{contacts.console}/contacts")
        await page.get_by_label("Search").fill("Nora Scriptless")
        await press("Show")
        await page.get_by_label("Select Nora Scriptless").check()
        await page.locator("[name=value]").fill("by-form")
        await press("Apply")
        await expect(flash).to_have_text("Done for 1 contact.")
        await page.get_by_role("link", name="Nora Scriptless").click()
        await page.get_by_label("Notes").fill("Called on Monday.")
        await press("Save")
        await expect(page.get_by_label("Notes")).to_have_value("Called on Monday.")
        await press("Analyse now")
        await expect(flash).to_contain_text("analysed again")

        await page.goto(f"{contacts.console}/board")
        card = f".lead[data-contact='{contact_id}']"
        await page.locator(card).get_by_label("Move Nora Scriptless").select_option("Closed Lost")
        await press("Move", card)
        await expect(page.locator(f".column[data-stage='Closed Lost'] {card}")).to_be_visible()

        await page.goto(f"{contacts.console}/integrations")
        await page.get_by_text("Settings").first.click()
        await press("Save")
        await expect(flash).to_have_text("Saved.")
        await press("Sync now")
        await expect(flash).to_contain_text("is queued.")

        await page.goto(f"{contacts.console}/pipelines")
        await page.get_by_text("Edit stages").first.click()
        await press("Save")
        await expect(flash).to_be_visible()

        await page.goto(f"{contacts.console}/dead-letters")
        await page.locator("td a").first.click()
        await press("Replay")
        await expect(page.locator(".flash")).to_contain_text("still not understood")

        await press("theme", ".me")
        await expect(page.locator("html")).to_have_attribute("data-theme", re.compile("dark|light"))
        await page.goto(f"{contacts.console}/contacts/{contact_id}")
        await page.get_by_role("link", name="Erase").click()
        await press("Erase permanently")
        await page.goto(f"{contacts.console}/contacts?q=Nora+Scriptless")
        await expect(page.get_by_role("heading", name="No contacts match")).to_be_visible()


async def test_a_chosen_theme_is_kept(contacts: Staged, opened: Open) -> None:
    async with opened(contacts.console) as page:
        await page.get_by_role("button", name="Dark theme").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await page.goto(f"{contacts.console}/board")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
