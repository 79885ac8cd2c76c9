"""`leadstream contacts forget`."""

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
from shared.bus.producer import Topics, open_producer
from shared.contract.ids import ConversationKey
from shared.runtime.settings import AnalyzerSettings
from shared.store.mongo import open_database


def forget(
    contact_id: ContactId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a customer: messages, contact, activities, and what the conversation says of them. It cannot be undone.

    Followers of contact-updated get a tombstone. History that is read again stays erased; what they write from now on
    begins anew. After a crash it is asked for again, and goes on. Status 1 where no such customer is known.
    """
    try:
        key = ConversationKey.parse(contact_id)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not yes and not (sys.stdin.isatty() and typer.confirm(f"Erase all that is known of {key}?")):
        fail("nothing was erased; `--yes` erases it")
    settings = AnalyzerSettings()
    try:
        erased = asyncio.run(_erase(settings, key))
    except NothingKnownError:
        fail(f"nothing is known of {key}")
    except ExceptionGroup as errors:
        if errors.subgroup(LeaseLostError) is None:
            raise
        fail("this stood still for too long, and a worker went on with the conversation: ask for it again")
    for line in report(erased, Topics(settings.topic_prefix)):
        typer.echo(line)


async def _erase(settings: AnalyzerSettings, key: ConversationKey) -> Erased:
    topics, kafka = Topics(settings.topic_prefix), settings.kafka_bootstrap_servers
    async with open_database(settings.mongo_url.get_secret_value()) as database, open_producer(kafka) as producer:
        waiting = lambda: typer.echo("a worker has the conversation: waiting for it", err=True)  # noqa: E731
        erasure = await compose_erasure(
            database, producer, topics, settings.lease_seconds, timing_of(settings), waiting
        )
        return await erasure.erase(key)


def report(erased: Erased, topics: Topics) -> list[str]:
    """What was done, and what no command can do."""
    return [
        f"erased: {erased.messages} messages, {erased.activities} activities, the contact",
        f"told on {topics.contact_updated}: a tombstone, version {erased.version}",
        f"kept: that this conversation was forgotten at {erased.at:%Y-%m-%dT%H:%M:%SZ}",
        f"not erased: what lies on {topics.message_events} until its retention ends, older versions on "
        f"{topics.contact_updated} until it is compacted, and what was parked on {topics.dead_letters}, which stays",
    ]
