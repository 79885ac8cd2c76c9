"""`leadstream trace`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import typer

from services.cli.contact_views import printable
from services.cli.message_trace import Facts, Trace, Tracer
from services.cli.options import AsJson
from shared.bus.producer import Topics
from shared.contract.events import compact, format_instant
from shared.runtime.clock import utc_now
from shared.runtime.settings import KafkaSettings, MongoSettings
from shared.store.mongo import open_database


class TraceSettings(KafkaSettings, MongoSettings):
    """What `leadstream trace` needs."""


def trace(
    mid: Annotated[str, typer.Argument(metavar="MID", help="A message's id, with or without m_.")],
    text: Annotated[bool, typer.Option("--text", help="Show as well what was said.")] = False,
    as_json: AsJson = False,
) -> None:
    """Follow one message from its arrival to the published contact. Status 1 where it has not got through.

    Of an id that messages of several accounts have, all are shown.
    """
    traces = asyncio.run(_trace(TraceSettings(), mid))
    for each in traces:
        steps = [(name, facts if text else {**facts, "text": None}) for name, facts in each.steps]
        if as_json:
            typer.echo(_json(each, steps))
        else:
            for line in _lines(each, steps):
                typer.echo(printable(line))
    if any(each.stopped for each in traces):
        raise typer.Exit(1)


async def _trace(settings: TraceSettings, mid: str) -> list[Trace]:
    async with open_database(settings.mongo_url.get_secret_value()) as database:
        topics = Topics(settings.topic_prefix)
        return await Tracer(database, settings.kafka_bootstrap_servers, topics, utc_now).trace(mid)


def _json(found: Trace, steps: list[tuple[str, Facts]]) -> str:
    told = [{"step": name, **{key: _told(value) for key, value in compact(facts).items()}} for name, facts in steps]
    return json.dumps({"message_id": found.message_id, "steps": told, "stopped": found.stopped or None})


def _lines(found: Trace, steps: list[tuple[str, Facts]]) -> Iterator[str]:
    yield found.message_id
    for name, facts in steps:
        yield f"  {name:<9}  " + "  ".join(f"{key} {_told(value)}" for key, value in compact(facts).items())
    if found.stopped:
        yield f"  stopped    {found.stopped}"


def _told(value: Any) -> Any:
    return format_instant(value) if isinstance(value, datetime) else value
