"""The body of a chat completion, and what a response says (platform.openai.com/docs/api-reference/chat). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from services.analyzer.analysis.ai.transport import ModelAnswer, ModelRequest
from services.analyzer.analysis.openai.failures import Parameter


class AnswerFormat(StrEnum):
    """The ways to ask a server for JSON, best first."""

    JSON_SCHEMA = "json_schema"
    JSON_OBJECT = "json_object"
    TEXT = "text"


FORMATS = tuple(AnswerFormat)
THINKING_END = "</think>"


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the requests to a model ask for; less after each refusal, as servers and models support different parts."""

    format: AnswerFormat = AnswerFormat.JSON_SCHEMA
    temperature: bool = True

    def without(self, refused: Parameter | None) -> Abilities | None:
        """Return what is left, or None if a request without `refused` was made already."""
        if refused is Parameter.TEMPERATURE and self.temperature:
            return replace(self, temperature=False)
        if refused is Parameter.RESPONSE_FORMAT and self.format is not FORMATS[-1]:
            return replace(self, format=FORMATS[FORMATS.index(self.format) + 1])
        return None


def chat_body(model: str, request: ModelRequest, abilities: Abilities) -> dict[str, Any]:
    """Return the body. Without a schema in `response_format` the system prompt has it."""
    schema, system = _closed(request.schema), request.system
    body: dict[str, Any] = {"model": model}
    if abilities.temperature:
        body["temperature"] = 0
    if abilities.format is AnswerFormat.JSON_SCHEMA:
        answer = {"name": "answer", "strict": True, "schema": schema}
        body["response_format"] = {"type": abilities.format, "json_schema": answer}
    else:
        system = f"{system}\nThe JSON Schema of the answer: {json.dumps(schema, ensure_ascii=False)}"
        if abilities.format is AnswerFormat.JSON_OBJECT:
            body["response_format"] = {"type": abilities.format}
    body["messages"] = [{"role": "system", "content": system}, {"role": "user", "content": request.prompt}]
    return body


def read_answer(body: object, model: str) -> ModelAnswer:
    """Return text and tokens. ValueError when the body is not a chat completion.

    A refusal leaves `content` null. `completion_tokens` has the tokens of thinking as well. Some servers leave the
    thinking in the text, before `</think>`.
    """
    try:
        choice, usage = body["choices"][0], body.get("usage") or {}  # type: ignore[index, attr-defined]
        message = choice["message"]
        text, refused = message.get("content") or "", bool(message.get("refusal"))
        refused |= choice.get("finish_reason") == "content_filter"
        tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    except (TypeError, AttributeError, LookupError):
        raise ValueError("the response is not a chat completion") from None
    if not isinstance(text, str):
        raise ValueError("the content is not text")
    input_tokens, output_tokens = (count if isinstance(count, int) and count > 0 else None for count in tokens)
    return ModelAnswer(text.rpartition(THINKING_END)[2], model, input_tokens, output_tokens, refused)


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema as `strict` wants it: every property required, no other allowed.

    Source: platform.openai.com/docs/guides/structured-outputs#supported-schemas.
    """
    closed = dict(schema)
    if "properties" in closed:
        closed["properties"] = {name: _closed(value) for name, value in closed["properties"].items()}
        closed |= {"required": list(closed["properties"]), "additionalProperties": False}
    if "items" in closed:
        closed["items"] = _closed(closed["items"])
    return closed
