"""`leadstream schema`: the contracts of the topics, generated from their models."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.data_model import data_model_page
from shared.bus.producer import Topics
from shared.contract.contacts import ContactUpdated
from shared.contract.dead_letters import DeadLetter
from shared.contract.events import event_adapter

HEADERS = ("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "content-type", "traceparent", "reason")


def contracts() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of every contract and the AsyncAPI document, by file name."""
    schemas = {
        "message-events.schema.json": event_adapter.json_schema(mode="serialization"),
        "contact-updated.schema.json": ContactUpdated.model_json_schema(mode="serialization"),
        "message-events.dlq.schema.json": DeadLetter.model_json_schema(mode="serialization"),
    }
    return {**schemas, "asyncapi.json": _asyncapi()}


def _asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document (asyncapi.com/docs/reference/specification/v3.0.0) of the topics we write."""
    topics = Topics()
    described = {
        topics.message_events: "what happened in conversations, keyed by conversation",
        topics.contact_updated: "every version of every contact, keyed by contact id, compacted",
        topics.dead_letters: "what could not be understood, whole, with its reason",
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Leadstream", "version": version("leadstream"), "license": {"name": "Apache-2.0"}},
        "defaultContentType": "application/json",
        "channels": {name: _channel(name, meaning) for name, meaning in described.items()},
        "operations": {
            f"send-{name}": {"action": "send", "channel": {"$ref": f"#/channels/{name}"}} for name in described
        },
    }


def _channel(name: str, meaning: str) -> dict[str, Any]:
    headers = {"type": "object", "properties": {header: {"type": "string"} for header in HEADERS}}
    payload = {"$ref": f"{name}.schema.json"}
    return {"address": name, "description": meaning, "messages": {"value": {"headers": headers, "payload": payload}}}


def schema(
    folder: Annotated[Path | None, typer.Option("--dir", help="Write one file per contract into this folder.")] = None,
    data_model: Annotated[bool, typer.Option("--data-model", help="Print docs/data-model.md instead.")] = False,
) -> None:
    """Print the JSON Schema of every topic's values, or write them to a folder."""
    if data_model:
        print(data_model_page(), end="")
        return
    schemas = contracts()
    if folder is None:
        print(json.dumps(schemas, indent=2))
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, contract in schemas.items():
        (folder / name).write_text(json.dumps(contract, indent=2) + "\n")
