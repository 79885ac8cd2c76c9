"""The forms by which an editor changes contacts: one, or all that are selected."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import parse_qsl, quote

from aiohttp import web
from multidict import MultiDict

from services.console.auth.auth_middleware import ACCESS
from services.console.auth.login import inner_path
from services.console.contacts.form import MAX_BULK_CONTACTS, changes_of, edit_of, split_tags
from services.console.contacts.pages import NOT_FOUND, contact_page
from services.console.contacts.service import BusyError, ContactChanges, apply_to_each
from services.console.index.contact_index import ContactIndex, is_contact_id
from services.console.index.list_query import find_rows, parse_list_query
from services.console.view.form_error import FormError
from services.console.view.rendering import Renderer
from shared.domain.contact_edits import ContactEdit, InvalidEditError
from shared.store.contact_editing import NoContactError
from shared.store.contacts import Contacts
from shared.store.mongo import Database

Form = dict[str, str]


class ContactActions:
    def __init__(
        self, contact_index: ContactIndex, database: Database, renderer: Renderer, changes: ContactChanges
    ) -> None:
        self._contact_index = contact_index
        self._database = database
        self._renderer = renderer
        self._changes = changes

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/contacts/bulk", self.bulk),
            web.get("/contacts/{contact_id}/edit", self.shown),
            web.post("/contacts/{contact_id}/edit", self.edit),
            web.post("/contacts/{contact_id}/analyse", self.analyse),
            web.get("/contacts/{contact_id}/forget", self.confirm_erasure),
            web.post("/contacts/{contact_id}/forget", self.erase),
        ]

    async def shown(self, request: web.Request) -> web.Response:
        """Redirect the reload of a form that was rejected to its contact."""
        raise web.HTTPSeeOther(contact_path(request.match_info["contact_id"]))

    async def edit(self, request: web.Request) -> web.Response:
        contact_id, form = request.match_info["contact_id"], await form_of(request)
        back = inner_path(form.get("next", "")) if "next" in form else contact_path(contact_id)
        try:
            await self._changes.edit(contact_id, edit_of(form))
        except NoContactError:
            raise web.HTTPNotFound(text="This contact no longer exists.") from None
        except InvalidEditError as error:
            if "next" in form:
                raise self._renderer.redirect(back, f"Not saved: {error}.", is_problem=True) from None
            sent = {**changes_of(form), "was_tags": form.get("was_tags", "")}
            form_error = FormError.from_exception(error, contact_id, sent)
            return await contact_page(request, self._database, self._renderer, form_error)
        kept = "The next analysis sets it" if "give_back" in form else "Analyses will not overwrite your changes"
        raise self._renderer.redirect(back, f"Saved. {kept}.")

    async def analyse(self, request: web.Request) -> web.Response:
        contact_id = request.match_info["contact_id"]
        try:
            await self._changes.analyse(contact_id)
        except NoContactError:
            raise web.HTTPNotFound(text="There is no such conversation.") from None
        raise self._renderer.redirect(contact_path(contact_id), "Queued: it will be analysed again shortly.")

    async def confirm_erasure(self, request: web.Request) -> web.Response:
        contact = await Contacts(self._database).read(request.match_info["contact_id"])
        if contact is None:
            raise web.HTTPNotFound(text=NOT_FOUND)
        return self._confirm(request, [contact.contact_id], [contact.name.full], contact_path(contact.contact_id))

    async def erase(self, request: web.Request) -> web.Response:
        contact_id = request.match_info["contact_id"]
        try:
            await self._changes.erase(contact_id)
        except NoContactError:
            raise web.HTTPNotFound(text=NOT_FOUND) from None
        except BusyError as error:
            raise web.HTTPConflict(text=str(error)) from None
        raise self._renderer.redirect("/contacts", "Erased: the contact, its messages and its activities.")

    async def bulk(self, request: web.Request) -> web.Response:
        """Change the selected contacts or, with `every`, all that match the list's filters."""
        form = await form_of(request)
        back = inner_path(form.get("next", "/contacts"))
        ids = await self._selected(request, form)
        if not ids:
            raise self._renderer.redirect(back, "Select at least one contact first.", is_problem=True)
        if len(ids) > MAX_BULK_CONTACTS:
            problem = f"Select at most {MAX_BULK_CONTACTS:,} contacts at a time, not {len(ids):,}."
            raise self._renderer.redirect(back, problem, is_problem=True)
        if form.get("action") == "forget" and form.get("confirmed") != "yes":
            names = [row.name for each in ids if (row := self._contact_index.get(each))]
            return self._confirm(request, ids, names, back)
        refused = await apply_to_each(ids, self._action(form, back))
        done = len(ids) - len(refused)
        if refused:
            message = f"Done for {done} of {len(ids)} contacts. The others failed: {next(iter(refused.values()))}."
            raise self._renderer.redirect(back, message, is_problem=True)
        raise self._renderer.redirect(back, f"Done for {done} {'contact' if done == 1 else 'contacts'}.")

    async def _selected(self, request: web.Request, form: Form) -> list[str]:
        if form.get("every") == "yes":
            list_query = parse_list_query(MultiDict(parse_qsl(form.get("query", ""))))
            return [row.contact_id for row in find_rows(self._contact_index, list_query)]
        selected = (str(each) for each in (await request.post()).getall("id", []))
        return [each for each in dict.fromkeys(selected) if is_contact_id(each)]

    def _action(self, form: Form, back: str) -> Callable[[str], Awaitable[object]]:
        action, value = form.get("action", ""), form.get("value", "").strip()[:200]
        if action == "analyse":
            return self._changes.analyse
        if action == "forget":
            return self._changes.erase
        edits = {
            "tag": ContactEdit(tags_added=split_tags(value)),
            "untag": ContactEdit(tags_removed=split_tags(value)),
            "stage": ContactEdit(stage=value or None),
        }
        edit = edits.get(action, ContactEdit())
        if edit == ContactEdit():
            raise self._renderer.redirect(back, "Choose an action, and enter a tag or a stage.", is_problem=True)
        return lambda contact_id: self._changes.edit(contact_id, edit)

    def _confirm(self, request: web.Request, ids: Sequence[str], names: Sequence[str], back: str) -> web.Response:
        return self._renderer.page(request, "erase.html", request[ACCESS], ids=ids, names=names, back=back)


def contact_path(contact_id: str) -> str:
    return f"/contacts/{quote(contact_id, safe=':')}"


async def form_of(request: web.Request) -> Form:
    """Return the text fields of a form; of repeated names the first value."""
    fields = await request.post()
    return {name: value for name in fields if isinstance(value := fields[name], str)}
