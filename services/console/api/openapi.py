"""The API's OpenAPI 3.1 document, made from its operations and the models of their bodies. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from services.console.api.models import Problem
from services.console.api.operations import OPERATIONS, Operation
from services.console.auth.auth_middleware import CSRF_HEADER, SESSION_COOKIE

Json = dict[str, Any]
REF = "#/components/schemas/{model}"
DESCRIPTION = """The data of the console's pages and the changes that they offer.

A program sends one of the tokens of `LEADSTREAM_CONSOLE_API_TOKENS` (editors) or of
`LEADSTREAM_CONSOLE_VIEWER_API_TOKENS` (viewers). The console's own pages send the session cookie and, with a change,
the CSRF token. A console without a password, and one behind a proxy that signs users in, needs only the CSRF token."""
SECURITY_SCHEMES: Json = {
    "token": {"type": "http", "scheme": "bearer", "description": "An API token"},
    "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE, "description": "A signed-in user"},
    "csrf": {"type": "apiKey", "in": "header", "name": CSRF_HEADER, "description": "The `<meta name=csrf>` of a page"},
}
READ_SECURITY: list[Json] = [{"token": []}, {"session": []}]
CHANGE_SECURITY: list[Json] = [{"token": []}, {"session": [], "csrf": []}]
PROBLEMS = {
    400: "The request does not match this document",
    401: "Nobody is signed in, or the token is unknown",
    403: "Editors only, or the request came from a foreign origin",
    404: "Not found",
    409: "The request is valid, but conflicts with the stored data",
    413: "The body is too large",
    503: "The database or the broker does not answer",
}

COMPONENT_NAMES = {
    "AccountHealthInfo": "AccountHealth", "AutomaticField": "Owned", "ContactOutcome": "Outcome",
    "MessageInfo": "Message", "SeenFields": "Seen",
}  # fmt: skip
"""By class name where the two differ: clients were generated from these names, so renaming a class keeps them."""


class ComponentNames(GenerateJsonSchema):
    def normalize_name(self, name: str) -> str:
        return super().normalize_name(COMPONENT_NAMES.get(name, name))


def document() -> Json:
    paths: defaultdict[str, Json] = defaultdict(dict)
    for each in OPERATIONS:
        paths[each.path][each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Leadstream console", "version": version("leadstream"), "description": DESCRIPTION},
        "paths": dict(paths),
        "components": {"schemas": _schemas(), "securitySchemes": SECURITY_SCHEMES},
    }


def _operation(of: Operation) -> Json:
    parameters = [*map(_in_path, of.path_names), *(_query(of.query) if of.query else ())]
    problems = {str(each): _content(Problem, PROBLEMS[each]) for each in sorted(_problems(of))}
    described: Json = {
        "operationId": of.name,
        "summary": of.summary,
        "security": CHANGE_SECURITY if of.is_change else READ_SECURITY,
        "responses": {str(of.status): _content(of.response, "Success"), **problems},
    }
    if of.is_for_editors:
        described["description"] = "Editors only."
    if parameters:
        described["parameters"] = parameters
    if of.body:
        described["requestBody"] = {"required": True, **_content(of.body)}
    return described


def _problems(of: Operation) -> set[int]:
    """Return its own error statuses and those that follow from its parameters and body."""
    wrong = {400} if of.body or of.query or of.path_names else set()
    return {401, 403, 503, *of.problems, *wrong, *({413} if of.body else ())}


def _content(what: type[BaseModel] | str | None, description: str = "") -> Json:
    described: Json = {"description": description} if description else {}
    if isinstance(what, str):
        described["content"] = {what: {"schema": {"type": "string"}}}
    elif what:
        described["content"] = {"application/json": {"schema": {"$ref": REF.format(model=what.__name__)}}}
    return described


def _in_path(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _query(model: type[BaseModel]) -> list[Json]:
    schema = model.model_json_schema(ref_template=REF)
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _plain(each)}
        for name, each in schema["properties"].items()
    ]


def _plain(schema: Json) -> Json:
    """Drop null and default: a query parameter that is optional is left out."""
    options = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    return options[0] if options else {name: value for name, value in schema.items() if name != "default"}


def _schemas() -> Json:
    """Return the schemas of all bodies and of the types that queries use, but not of the queries themselves."""
    _, schemas = models_json_schema(list(dict.fromkeys(_bodies())), ref_template=REF, schema_generator=ComponentNames)
    queries = {each.query.__name__ for each in OPERATIONS if each.query}
    return {name: {**schema, "title": name} for name, schema in schemas["$defs"].items() if name not in queries}


def _bodies() -> Iterator[tuple[type[BaseModel], JsonSchemaMode]]:
    yield Problem, "serialization"
    for each in OPERATIONS:
        if each.response and not isinstance(each.response, str):
            yield each.response, "serialization"
        if each.body:
            yield each.body, "validation"
        if each.query:
            yield each.query, "validation"
