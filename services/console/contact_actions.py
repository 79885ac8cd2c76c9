"""What an editor does to contacts: one at a time, or all that are ticked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import quote

from aiohttp import web

from services.console.contact_reading import contact_of
from services.console.directory import Directory, is_contact_id, row_of
from services.console.edit_form import edit_of, split_tags
from services.console.guard import ACCESS
from services.console.listing import find, parse
from services.console.login import inner_path
from services.console.ports import Forget
from services.console.rendering import Renderer
from shared.clock import Clock
from shared.contact_editing import NoContactError, edit_contact
from shared.contact_edits import Edit, WrongEditError
from shared.contacts import Contact
from shared.due import make_due
from shared.ids import ConversationKey
from shared.mongo import ConnectionFailure, Database

MOST = 1000
"""Contacts changed by one request; each of them is a version that is published."""


class BusyError(Exception):
    """A worker is at it for too long: it can be tried again."""


Form = dict[str, str]


class ContactActions:
    def __init__(
        self, directory: Directory, database: Database, renderer: Renderer, clock: Clock, forget: Forget
    ) -> None:
        self._directory = directory
        self._database = database
        self._renderer = renderer
        self._clock = clock
        self._forget = forget

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/contacts/bulk", self.bulk),
            web.post("/contacts/{contact_id}/edit", self.edit),
            web.post("/contacts/{contact_id}/analyse", self.analyse),
            web.get("/contacts/{contact_id}/forget", self.ask_to_forget),
            web.post("/contacts/{contact_id}/forget", self.forget),
        ]

    async def edit(self, request: web.Request) -> web.Response:
        contact_id, form = request.match_info["contact_id"], await form_of(request)
        back = inner_path(form.get("next", "")) if "next" in form else contact_path(contact_id)
        try:
            await self.apply(contact_id, edit_of(form))
        except NoContactError:
            raise web.HTTPNotFound(text="There is no such contact any more.") from None
        except WrongEditError as error:
            raise self._renderer.redirect(back, f"Not saved: {error}.", is_problem=True) from None
        raise self._renderer.redirect(back, "Saved. No machine will overwrite it.")

    async def apply(self, contact_id: str, edit: Edit) -> Contact:
        """The contact as it is then, which the lists show at once. NoContactError, WrongEditError."""
        contact = await edit_contact(self._database, contact_id, edit, self._clock)
        self._directory.put(row_of(contact))
        return contact

    async def analyse(self, request: web.Request) -> web.Response:
        contact_id = request.match_info["contact_id"]
        try:
            await self.make_due(contact_id)
        except NoContactError:
            raise web.HTTPNotFound(text="There is no such conversation.") from None
        raise self._renderer.redirect(contact_path(contact_id), "The next free analyzer reads it anew.")

    async def make_due(self, contact_id: str) -> None:
        """NoContactError."""
        if not await make_due(self._database, [contact_id], reanalyse=True):
            raise NoContactError(contact_id)

    async def ask_to_forget(self, request: web.Request) -> web.Response:
        contact = await contact_of(self._database, request.match_info["contact_id"])
        if contact is None:
            raise web.HTTPNotFound(text="There is no such contact. Perhaps they were forgotten.")
        names = [contact.name.full]
        return self._confirm(request, [contact.contact_id], names, contact_path(contact.contact_id))

    async def forget(self, request: web.Request) -> web.Response:
        contact_id = request.match_info["contact_id"]
        try:
            await self.forget_one(contact_id)
        except NoContactError:
            raise web.HTTPNotFound(text="Nothing is known of them any more.") from None
        except BusyError as error:
            raise web.HTTPConflict(text=str(error)) from None
        raise self._renderer.redirect("/contacts", "Forgotten: messages, contact and activities are erased.")

    async def bulk(self, request: web.Request) -> web.Response:
        """For those that are ticked or, with `every`, for all that the list's filters leave."""
        form, back = await form_of(request), inner_path((await form_of(request)).get("next", "/contacts"))
        ids = await self._chosen(request, form)
        if not ids or len(ids) > MOST:
            problem = f"At most {MOST:,} contacts at once, not {len(ids):,}." if ids else "Tick some contacts first."
            raise self._renderer.redirect(back, problem, is_problem=True)
        if form.get("action") == "forget" and form.get("confirmed") != "yes":
            names = [row.name for each in ids if (row := self._directory.get(each))]
            return self._confirm(request, ids, names, back)
        done, refused = await self._each(ids, self._action(form, back))
        if refused:
            message = f"{done} of {len(ids)} done. The others were not: {refused}."
            raise self._renderer.redirect(back, message, is_problem=True)
        raise self._renderer.redirect(back, f"Done for {done} {'contact' if done == 1 else 'contacts'}.")

    async def _chosen(self, request: web.Request, form: Form) -> list[str]:
        if form.get("every") == "yes":
            asked = parse(request.url.with_query(form.get("query", "")).query)
            return [row.contact_id for row in find(self._directory, asked)]
        ticked = (str(each) for each in (await request.post()).getall("id", []))
        return [each for each in dict.fromkeys(ticked) if is_contact_id(each)]

    def _action(self, form: Form, back: str) -> Callable[[str], Awaitable[object]]:
        action, value = form.get("action", ""), form.get("value", "").strip()[:200]
        if action == "analyse":
            return self.make_due
        if action == "forget":
            return self.forget_one
        edits = {
            "tag": Edit(tags_added=split_tags(value)),
            "untag": Edit(tags_removed=split_tags(value)),
            "stage": Edit(stage=value or None),
        }
        edit = edits.get(action, Edit())
        if edit == Edit():
            raise self._renderer.redirect(back, "Say what to do, and with which tag or stage.", is_problem=True)
        return lambda contact_id: self.apply(contact_id, edit)

    async def _each(self, ids: Sequence[str], act: Callable[[str], Awaitable[object]]) -> tuple[int, str]:
        """How many were done, and why the first that was not was not."""
        refused = await each_of(ids, act)
        return len(ids) - len(refused), next(iter(refused.values()), "")

    async def forget_one(self, contact_id: str) -> int:
        """The version of the tombstone. NoContactError; BusyError."""
        try:
            version = await self._forget(self._database, ConversationKey.parse(contact_id))
        except (ValueError, LookupError):
            raise NoContactError(contact_id) from None
        except RuntimeError as error:
            raise BusyError(str(error)) from None
        self._directory.remove(contact_id, version)
        return version

    def _confirm(self, request: web.Request, ids: Sequence[str], names: Sequence[str], back: str) -> web.Response:
        return self._renderer.page(request, "forget.html", request[ACCESS], ids=ids, names=names, back=back)


async def each_of(ids: Sequence[str], act: Callable[[str], Awaitable[object]]) -> dict[str, str]:
    """Does it to each, whatever becomes of another. Those that were refused, and why."""
    refused: dict[str, str] = {}
    for contact_id in ids:
        try:
            await act(contact_id)
        except NoContactError:
            refused[contact_id] = "there is no such contact any more"
        except (WrongEditError, BusyError) as error:
            refused[contact_id] = str(error).rstrip(".")
        except ConnectionFailure:
            refused[contact_id] = "the database does not answer"
    return refused


def contact_path(contact_id: str) -> str:
    return f"/contacts/{quote(contact_id, safe=':')}"


async def form_of(request: web.Request) -> Form:
    """The text fields, of each name the first."""
    fields = await request.post()
    return {name: value for name in fields if isinstance(value := fields[name], str)}
