"""`/api/…`: the data of the pages as JSON. What is asked for wrongly is told as 400, with what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError

from services.console import api_models as models
from services.console.api_operations import OPERATIONS
from services.console.board import columns_of
from services.console.contact_actions import ContactActions
from services.console.contact_reading import whole_of
from services.console.directory import Directory
from services.console.listing import Asked, page_of
from services.console.openapi import document
from services.console.vitals import Vitals
from shared.account_store import AccountStore
from shared.contact_editing import NoContactError
from shared.contact_edits import Edit, WrongEditError
from shared.contacts import AnalysisSource
from shared.mongo import Database
from shared.pipeline_store import PipelineStore
from shared.run_store import ActiveRunError, RunStore
from shared.runs import Run

RUNS = 100
Value = TypeVar("Value", bound=BaseModel)


class Api:
    def __init__(self, directory: Directory, database: Database, actions: ContactActions, vitals: Vitals) -> None:
        self._directory = directory
        self._database = database
        self._actions = actions
        self._vitals = vitals
        self._document = document()

    def routes(self) -> list[web.RouteDef]:
        handlers: dict[str, Handler] = {
            "list_contacts": self.contacts,
            "show_contact": self.contact,
            "edit_contact": self.edit,
            "show_board": self.board,
            "list_accounts": self.accounts,
            "list_pipelines": self.pipelines,
            "list_runs": self.runs,
            "start_run": self.start,
            "show_run": self.run,
            "show_overview": self.overview,
        }
        described = web.get("/api/openapi.json", self.described)
        return [described, *(web.route(each.method, each.path, handlers[each.name]) for each in OPERATIONS)]

    async def described(self, _request: web.Request) -> web.Response:
        return web.json_response(self._document)

    async def contacts(self, request: web.Request) -> web.Response:
        query = _from_query(models.ContactQuery, request)
        told: dict[str, str] = {name: value or "" for name, value in query.model_dump(exclude={"page"}).items()}
        page = page_of(self._directory, replace(Asked(page=query.page), **told))  # type: ignore[arg-type]
        rows = [models.row_json(row) for row in page.rows]
        return _json(
            models.ContactPage(contacts=rows, found=page.found, of=page.of, page=page.number, pages=page.pages)
        )

    async def contact(self, request: web.Request) -> web.Response:
        whole = await whole_of(self._database, request.match_info["contact_id"])
        if whole is None:
            raise web.HTTPNotFound(text="there is no such contact")
        messages = tuple(map(models.message_json, whole.messages))
        return _json(
            models.ContactWhole(
                contact=whole.contact, scores=whole.scores, activities=whole.activities, messages=messages
            )
        )

    async def edit(self, request: web.Request) -> web.Response:
        asked = await _from_body(models.EditRequest, request)
        try:
            contact = await self._actions.apply(request.match_info["contact_id"], Edit(**asked.model_dump()))
        except NoContactError:
            raise web.HTTPNotFound(text="there is no such contact") from None
        except WrongEditError as error:
            raise web.HTTPConflict(text=str(error)) from None
        return _json(contact)

    async def board(self, request: web.Request) -> web.Response:
        pipeline = await PipelineStore(self._database).get(_from_query(models.BoardQuery, request).pipeline)
        if pipeline is None:
            raise web.HTTPNotFound(text="there is no such pipeline")
        columns = [models.column_json(column) for column in columns_of(self._directory, pipeline)]
        return _json(models.Board(pipeline=pipeline.name, columns=columns))

    async def accounts(self, _request: web.Request) -> web.Response:
        contacts = self._directory.by_account()
        accounts = await AccountStore(self._database).all()
        shown = [models.account_json(account, contacts[account.key]) for account in accounts]
        return _json(models.AccountList(accounts=shown))

    async def pipelines(self, _request: web.Request) -> web.Response:
        return _json(models.PipelineList(pipelines=await PipelineStore(self._database).all()))

    async def runs(self, _request: web.Request) -> web.Response:
        return _json(models.RunList(runs=await RunStore(self._database).newest(RUNS)))

    async def run(self, request: web.Request) -> web.Response:
        try:
            return _json(await RunStore(self._database).get(request.match_info["run_id"]))
        except KeyError:
            raise web.HTTPNotFound(text="there is no such run") from None

    async def start(self, request: web.Request) -> web.Response:
        asked = await _from_body(models.RunRequest, request)
        accounts = await AccountStore(self._database).all()
        account = next((each for each in accounts if each.key == asked.account), None)
        if account is None:
            raise web.HTTPNotFound(text="there is no such account")
        try:
            run: Run = await RunStore(self._database).enqueue(account)
        except ActiveRunError:
            raise web.HTTPConflict(text="a run of this account is active") from None
        return _json(run, status=201)

    async def overview(self, _request: web.Request) -> web.Response:
        vitals, rates, sources = self._vitals, self._vitals.rates(), self._directory.by_source()
        return _json(
            models.OverviewInfo(
                contacts=len(self._directory),
                events_a_second=rates[-1] if rates else None,
                lag=vitals.lag,
                conversations_due=vitals.due,
                analyses={source: sources[source] for source in AnalysisSource},
                dead_letters=None if vitals.letters is None else len(vitals.letters),
                spool=vitals.spool,
            )
        )


def _json(value: BaseModel, status: int = 200) -> web.Response:
    return web.Response(text=value.model_dump_json(), content_type="application/json", status=status)


def _from_query(model: type[Value], request: web.Request) -> Value:
    told = {name: request.query.getall(name) for name in request.query}
    if repeated := [name for name, values in told.items() if len(values) > 1]:
        raise web.HTTPBadRequest(text=f"given more than once: {', '.join(repeated)}")
    return _checked(lambda: model.model_validate({name: values[0] for name, values in told.items()}))


async def _from_body(model: type[Value], request: web.Request) -> Value:
    body = await request.read()
    try:
        orjson.loads(body)
    except ValueError:
        raise web.HTTPBadRequest(text="the body is not JSON") from None
    return _checked(lambda: model.model_validate_json(body))


def _checked(read: Callable[[], Value]) -> Value:
    try:
        return read()
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise web.HTTPBadRequest(text="; ".join(faults)) from None
