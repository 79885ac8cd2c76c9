"""`leadstream contacts erase`, with its alias `forget`."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from services.analyzer.app import timing_of
from services.analyzer.erasure.erasure import Erased, NothingKnownError, compose_erasure
from services.analyzer.queue.claim_queue import LeaseLostError
from services.cli.common import fail
from services.cli.options import ContactId
from shared.bus.connection import kafka_connection
from shared.bus.producer import Topics, open_producer
from shared.contract.ids import ConversationKey
from shared.runtime.settings import AnalyzerSettings
from shared.store.mongo import open_database


def erase(
    contact_id: ContactId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Erase a customer: messages, contact, activities and the conversation's description. It cannot be undone.

    Consumers of contact-updated get a tombstone. The customer stays erased when history is read again; messages written
    from now on start a new contact. After a crash, run the command again. Status 1 if no such customer is known.
    """
    try:
        key = ConversationKey.parse(contact_id)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not yes and not (sys.stdin.isatty() and typer.confirm(f"Erase everything known about {key}?")):
        fail("nothing was erased; `--yes` erases it")
    settings = AnalyzerSettings()
    try:
        erased = asyncio.run(_erase(settings, key))
    except NothingKnownError:
        fail(f"nothing is known of {key}")
    except LeaseLostError:
        fail("the erasure paused for too long and a worker claimed the conversation: run the command again")
    for line in report(erased, Topics(settings.topic_prefix)):
        typer.echo(line)


async def _erase(settings: AnalyzerSettings, key: ConversationKey) -> Erased:
    topics, kafka = Topics(settings.topic_prefix), kafka_connection(settings)
    async with open_database(settings.mongo_url.get_secret_value()) as database, open_producer(kafka) as producer:
        waiting = lambda: typer.echo("a worker holds the conversation: waiting for it", err=True)  # noqa: E731
        erasure = await compose_erasure(
            database, producer, topics, settings.lease_seconds, timing_of(settings), waiting
        )
        return await erasure.erase(key)


def report(erased: Erased, topics: Topics) -> list[str]:
    """Return lines about what was erased, what is kept and what no command can erase."""
    return [
        f"erased: {erased.messages} messages, {erased.activities} activities, the contact",
        f"published on {topics.contact_updated}: a tombstone, version {erased.version}",
        f"kept: the time at which this conversation was erased, {erased.at:%Y-%m-%dT%H:%M:%SZ}",
        f"not erased: events on {topics.message_events} until their retention ends, older versions on "
        f"{topics.contact_updated} until it is compacted, dead letters on {topics.dead_letters}",
    ]
