"""`leadstream dlq`: list, show and replay dead letters."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import orjson
import typer

from services.cli.common import fail
from services.cli.contact_views import printable
from services.cli.options import AsJson
from shared.bus.connection import kafka_connection
from shared.bus.dead_letter_queue import DeadLetterQueue, DeadLetterSummary
from shared.bus.dead_letter_replay import ReadWebhook, Replay
from shared.bus.producer import Topics, open_producer
from shared.contract.dead_letters import DeadLetter, dump_dead_letter
from shared.contract.events import format_instant
from shared.contract.failures import Reason
from shared.runtime.settings import KafkaSettings
from shared.store.mongo import is_storable

OfReason = Annotated[Reason | None, typer.Option("--reason", help="Only dead letters of this reason.")]


def dlq_app(read_webhook: ReadWebhook) -> typer.Typer:
    """Return the commands. `read_webhook` is the receiver's parser, passed in because no service imports another."""
    app = typer.Typer(help="List, show and replay what could not be processed.", no_args_is_help=True)
    app.command("list")(list_letters)
    app.command("show")(show_letter)

    @app.command("replay")
    def replay(
        letter_ids: Annotated[list[str] | None, typer.Argument(metavar="LETTER_ID…")] = None,
        reason: OfReason = None,
        every: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    ) -> None:
        """Process dead letters again, for example after an upgrade. Status 1 if some fail again; those stay parked."""
        if sum(map(bool, (letter_ids, reason, every))) != 1:
            raise typer.BadParameter("name dead letters, or use --reason or --all")
        _replay(read_webhook, letter_ids, reason)

    return app


def list_letters(reason: OfReason = None, as_json: AsJson = False) -> None:
    """List the dead letters, oldest first: time, service, reason, size, id, key, detail."""
    found = asyncio.run(_open_queue().parked(reason))
    for summary in found.values():
        typer.echo(orjson.dumps(asdict(summary)).decode() if as_json else _line(summary))


def show_letter(letter_id: Annotated[str, typer.Argument(metavar="LETTER_ID")], as_json: AsJson = False) -> None:
    """Show one dead letter whole, which may include a customer's text. Status 1 if it does not exist."""
    letter = asyncio.run(_open_queue().find(letter_id))
    if letter is None:
        fail(f"no dead letter {letter_id} is parked")
    if as_json:
        typer.echo(dump_dead_letter(letter).decode())
        return
    for name, value in letter.model_dump(mode="json", exclude={"payload", "encoding"}, exclude_none=True).items():
        typer.echo(printable(f"{name:<10}{value}"))
    typer.echo()
    for line in letter.raw.decode(errors="replace").splitlines():
        typer.echo(printable(line))


def _replay(read_webhook: ReadWebhook, letter_ids: list[str] | None, reason: Reason | None) -> None:
    settings, refused = KafkaSettings(), list[str]()

    def report(letter: DeadLetter, is_replayed: bool) -> None:
        if not is_replayed:
            refused.append(letter.letter_id)
        typer.echo(f"{letter.letter_id}  {'replayed' if is_replayed else f'failed again: {letter.reason}'}")

    async def go() -> set[str]:
        topics = Topics(settings.topic_prefix)
        async with open_producer(kafka_connection(settings)) as producer:
            replay = Replay(_open_queue(), producer, topics, read_webhook, is_storable)
            return await replay.run(letter_ids or None, reason, report)

    missing = asyncio.run(go())
    for letter_id in sorted(missing):
        typer.echo(f"leadstream: no dead letter {letter_id} is parked", err=True)
    if refused or missing:
        raise typer.Exit(1)


def _open_queue() -> DeadLetterQueue:
    settings = KafkaSettings()
    return DeadLetterQueue(kafka_connection(settings), Topics(settings.topic_prefix))


def _line(summary: DeadLetterSummary) -> str:
    size, key = f"{summary.size:>9,} bytes", summary.key or "-"
    fields = format_instant(summary.parked_at), f"{summary.where:<8}", f"{summary.reason:<14}", size, summary.letter_id
    return printable("  ".join([*fields, key, summary.detail]))
