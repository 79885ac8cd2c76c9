"""The API's OpenAPI 3.1 document, out of the models that its answers are made of. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.console import api_models as models
from shared.contacts import Contact
from shared.runs import Run

Json = dict[str, Any]

ANSWERS: Sequence[type[BaseModel]] = (
    models.ContactPage, models.ContactWhole, Contact, models.Board, models.AccountList, models.PipelineList,
    models.RunList, Run, models.OverviewInfo, models.Problem,
)  # fmt: skip
BODIES: Sequence[type[BaseModel]] = (models.EditRequest, models.RunRequest)


def document() -> Json:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leadstream console",
            "version": version("leadstream"),
            "description": "The data of the console's pages. A session's cookie lets in; a change needs an editor, "
            "and the token of the page's `<meta name=csrf>` in `X-CSRF-Token`.",
        },
        "paths": _paths(),
        "components": {"schemas": _schemas()},
    }


def _paths() -> Json:
    contact_id, run_id = _in_path("contact_id"), _in_path("run_id")
    pipeline = {"name": "pipeline", "in": "query", "required": True, "schema": {"type": "string"}}
    return {
        "/api/contacts": {"get": _operation("Contacts, a page of fifty", models.ContactPage, parameters=_query())},
        "/api/contacts/{contact_id}": {
            "get": _operation("A contact with its conversation", models.ContactWhole, 404, parameters=[contact_id]),
            "patch": _operation(
                "Edit a contact", Contact, 404, 409, parameters=[contact_id], body=models.EditRequest
            ),
        },
        "/api/board": {"get": _operation("A pipeline's stages", models.Board, 404, parameters=[pipeline])},
        "/api/accounts": {"get": _operation("Accounts", models.AccountList)},
        "/api/pipelines": {"get": _operation("Pipelines", models.PipelineList)},
        "/api/runs": {
            "get": _operation("The newest hundred runs", models.RunList),
            "post": _operation("Queue a run", Run, 404, 409, body=models.RunRequest, status=201),
        },
        "/api/runs/{run_id}": {"get": _operation("A run", Run, 404, parameters=[run_id])},
        "/api/overview": {"get": _operation("How the whole does", models.OverviewInfo)},
    }  # fmt: skip


def _operation(
    summary: str, answer: type[BaseModel], *problems: int, parameters: Sequence[Json] = (),
    body: type[BaseModel] | None = None, status: int = 200,
) -> Json:  # fmt: skip
    statuses = {*problems, *((400, 403) if body else ()), *((400,) if parameters else ())}
    operation: Json = {
        "summary": summary,
        "responses": {
            str(status): _content(answer, "What was asked for"),
            **{str(each): _content(models.Problem, "What is wrong") for each in sorted(statuses)},
        },
    }
    if parameters:
        operation["parameters"] = list(parameters)
    if body:
        operation["requestBody"] = {"required": True, **_content(body)}
    return operation


def _content(model: type[BaseModel], description: str = "") -> Json:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
    return {"description": description, "content": content} if description else {"content": content}


def _in_path(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query() -> list[Json]:
    schema = models.ContactQuery.model_json_schema(ref_template="#/components/schemas/{model}")
    return [
        {"name": name, "in": "query", "required": False, "schema": _plain(each)}
        for name, each in schema["properties"].items()
    ]


def _plain(schema: Json) -> Json:
    """A query has no null: what may be left out is just left out."""
    options = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    return options[0] if options else {name: value for name, value in schema.items() if name != "default"}


def _schemas() -> Json:
    wanted = [(model, "serialization") for model in ANSWERS] + [(model, "validation") for model in BODIES]
    wanted.append((models.ContactQuery, "validation"))
    _, schemas = models_json_schema(wanted, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    found: Json = schemas["$defs"]
    return {name: schema for name, schema in found.items() if name != models.ContactQuery.__name__}
