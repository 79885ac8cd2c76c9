"""`leadstream trace`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer

from services.cli.contact_views import printable
from services.cli.message_trace import StepFields, Trace, Tracer
from services.cli.options import AsJson
from shared.bus.connection import kafka_connection
from shared.bus.producer import Topics
from shared.contract.events import compact, format_instant
from shared.runtime.clock import utc_now
from shared.runtime.settings import ServerSettings
from shared.store.mongo import open_database


def trace(
    mid: Annotated[str, typer.Argument(metavar="MID", help="The message's id, with or without `m_`.")],
    text: Annotated[bool, typer.Option("--text", help="Also print the text of the message.")] = False,
    as_json: AsJson = False,
) -> None:
    """Follow one message from its arrival to the published contact. Status 1 if the message has not got there.

    If messages of several accounts have the id, all are shown.
    """
    traces = asyncio.run(_trace(ServerSettings(), mid))
    for each in traces:
        steps = [(name, fields if text else {**fields, "text": None}) for name, fields in each.steps]
        if as_json:
            typer.echo(_json(each, steps))
        else:
            for line in _lines(each, steps):
                typer.echo(printable(line))
    if any(each.stopped for each in traces):
        raise typer.Exit(1)


async def _trace(settings: ServerSettings, mid: str) -> list[Trace]:
    async with open_database(settings.mongo_url.get_secret_value()) as database:
        topics = Topics(settings.topic_prefix)
        return await Tracer(database, kafka_connection(settings), topics, utc_now).trace(mid)


def _json(found: Trace, steps: list[tuple[str, StepFields]]) -> str:
    printed = [{"step": name, **compact(fields)} for name, fields in steps]
    shown = {"message_id": found.message_id, "steps": printed, "stopped": found.stopped or None}
    return json.dumps(shown, default=format_instant)


def _lines(found: Trace, steps: list[tuple[str, StepFields]]) -> Iterator[str]:
    yield found.message_id
    for name, fields in steps:
        yield f"  {name:<9}  " + "  ".join(f"{key} {_printable_value(value)}" for key, value in compact(fields).items())
    if found.stopped:
        yield f"  stopped    {found.stopped}"


def _printable_value(value: Any) -> Any:
    return format_instant(value) if isinstance(value, datetime) else value
