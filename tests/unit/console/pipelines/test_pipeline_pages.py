"""The page of pipelines over HTTP, with pipelines in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp.test_utils import TestClient, TestServer

from services.console.index.contact_index import ContactIndex
from services.console.pipelines.form import form_of
from services.console.pipelines.pages import PipelinePages
from shared.domain.accounts import Account
from shared.domain.pipelines import TEMPLATES, Pipeline, check_no_overlap
from shared.store.accounts import AccountStore
from shared.store.pipelines import DuplicatePipelineError, OutdatedPipelineError, PipelineStore
from tests.unit.console.console_app import Client, app_of

SALES = TEMPLATES[0]


class NoAccounts(AccountStore):
    def __init__(self) -> None:
        pass

    async def all(self) -> list[Account]:
        return []


class Pipelines(PipelineStore):
    def __init__(self, *pipelines: Pipeline) -> None:
        self.by_name = {each.name: each for each in pipelines}

    async def all(self) -> list[Pipeline]:
        return list(self.by_name.values())

    async def get(self, name: str | None) -> Pipeline | None:
        return self.by_name.get(name or "")

    async def add(self, pipeline: Pipeline) -> Pipeline:
        if pipeline.name in self.by_name:
            raise DuplicatePipelineError("it is there")
        return self._put(pipeline)

    async def replace(self, pipeline: Pipeline, edition: str | None) -> Pipeline:
        if self.by_name[pipeline.name].edition != edition:
            raise OutdatedPipelineError(pipeline.name)
        return self._put(pipeline)

    def _put(self, pipeline: Pipeline) -> Pipeline:
        check_no_overlap(pipeline.stages)
        self.by_name[pipeline.name] = pipeline
        return pipeline


@asynccontextmanager
async def browsing(pipelines: Pipelines) -> AsyncIterator[Client]:
    async with TestClient(
        TestServer(app_of(lambda r: PipelinePages(ContactIndex(), NoAccounts(), pipelines, r)))
    ) as client:
        yield client


def fields(pipeline: Pipeline, **changes: str) -> list[tuple[str, str]]:
    """Return the fields of the form as it is shown, with the first stage changed."""
    form = form_of(pipeline)
    cells_sent = [("name", pipeline.name), ("edition", form.edition)]
    for number, row in enumerate(form.rows):
        cells = {"place": row.place, "name": row.name, "type": row.kind, "low": row.low, "high": row.high}
        cells |= {"made": row.made} | (changes if number == 0 else {})
        cells_sent += [(f"stage_{name}", value) for name, value in cells.items()]
    return cells_sent


async def save(client: Client, form: list[tuple[str, str]]) -> tuple[int, str]:
    text = await (await client.get("/pipelines")).text()
    token = text.split('name="csrf" content="')[1].split('"')[0]
    async with client.post("/pipelines", data=[*form, ("csrf", token)], allow_redirects=False) as answer:
        return answer.status, await answer.text()


async def test_a_refused_form_is_shown_as_typed_with_the_error_beside_its_row() -> None:
    async with browsing(Pipelines(SALES)) as client:
        status, page = await save(client, fields(SALES, name="Newest", low="40", high="9"))
        assert status == 400
        assert 'value="Newest"' in page
        assert "Its scores must go up" in page
        assert page.count('aria-invalid="true"') == 2


async def test_the_later_of_two_editors_is_notified_and_may_then_overwrite() -> None:
    pipelines = Pipelines(SALES)
    async with browsing(pipelines) as client:
        assert (await save(client, fields(SALES, name="First")))[0] == 303
        status, page = await save(client, fields(SALES, name="Second"))
        assert (status, pipelines.by_name["Sales"].stages[0].name) == (400, "First")
        assert "someone else has changed" in page
        assert 'value="Second"' in page
        assert pipelines.by_name["Sales"].edition in page


async def test_a_new_pipeline_does_not_replace_one_of_the_same_name() -> None:
    pipelines = Pipelines(SALES)
    async with browsing(pipelines) as client:
        form = [(name, "" if name == "edition" else value) for name, value in fields(SALES, name="Other")]
        assert (await save(client, form))[0] == 400
        assert pipelines.by_name["Sales"] == SALES


async def test_stages_with_overlapping_scores_are_named() -> None:
    async with browsing(Pipelines(SALES)) as client:
        status, page = await save(client, fields(SALES, low="1", high="20"))
        assert status == 400
        assert "New Lead (1–20) and Contacted (16–30) share scores" in page
