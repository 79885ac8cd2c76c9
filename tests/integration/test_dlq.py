"""`leadstream dlq` with a real broker: dead letters are shown whole and replayed on their original path."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from shared.bus.producer import Record, open_producer, publish
from shared.bus.reader import read_all
from shared.contract.dead_letters import DeadLetter, dead_letter_headers, dump_dead_letter, encode_payload
from shared.contract.events import load_event
from shared.contract.failures import Reason
from tests.conftest import Stack, Start
from tests.support.making import EPOCH, MARIA, at, events_in, said
from tests.support.models import dump_event

MESSAGE = {"sender": {"id": "8130000000654321"}, "recipient": {"id": "371"}, "message": {"mid": "m_1", "text": "Hi"}}
BODY = orjson.dumps({"object": "page", "entry": [{"id": "371", "time": 1_764_000_000_000, "messaging": [MESSAGE]}]})
EVENT = dump_event(said("How much?", 0))


def letter(payload: bytes, where: str, reason: Reason, seconds: float = 0) -> DeadLetter:
    text, encoding = encode_payload(payload)
    return DeadLetter.model_validate(
        {"reason": reason, "where": where, "parked_at": at(seconds), "payload": text, "encoding": encoding}
    )


UNDERSTOOD_NOW = letter(EVENT, "analyzer", Reason.UNKNOWN_KIND, 1)
BODY_UNDERSTOOD_NOW = letter(BODY, "receiver", Reason.MALFORMED, 2)
JUNK = letter(b"\xff\x1b[31m", "analyzer", Reason.NOT_AN_EVENT, 3)
JUNK_BODY = letter(b'{"object": "plant"}', "receiver", Reason.UNKNOWN_OBJECT, 4)
ALL = (UNDERSTOOD_NOW, BODY_UNDERSTOOD_NOW, JUNK, JUNK_BODY)


async def park(stack: Stack, letters: Sequence[DeadLetter]) -> None:
    topic = stack.topics.dead_letters
    async with open_producer(stack.kafka) as producer:
        records = [
            Record(topic, each.letter_id.encode(), dump_dead_letter(each), dead_letter_headers(each))
            for each in letters
        ]
        await publish(producer, [*records, Record(topic, b"foreign", b"not a letter", [])])


def listed(leadstream: Start, *options: str) -> list[str]:
    process = leadstream("dlq", "list", "--json", *options)
    assert process.wait() == 0, process.output
    return [orjson.loads(line)["letter_id"] for line in process.lines()]


async def published(stack: Stack) -> list[tuple[bytes | None, str]]:
    """Return key and event id of each record on `message-events`."""
    records = await read_all(stack.kafka, stack.topics.message_events)
    return sorted((record.key, load_event(record.value).event_id) for record in records)


async def test_parked_dead_letters_are_listed_and_shown_whole(stack: Stack, leadstream: Start) -> None:
    await park(stack, [*ALL, UNDERSTOOD_NOW])
    assert listed(leadstream) == [each.letter_id for each in ALL]
    assert listed(leadstream, "--reason", "not_an_event") == [JUNK.letter_id]
    table = leadstream("dlq", "list")
    assert table.wait() == 0
    assert "2026-11-24T09:00:03.000Z  analyzer  not_an_event" in table.output
    shown = leadstream("dlq", "show", JUNK.letter_id, "--json")
    assert shown.wait() == 0
    assert DeadLetter.model_validate_json(shown.output) == JUNK
    read = leadstream("dlq", "show", JUNK.letter_id)
    assert read.wait() == 0
    assert "\x1b" not in read.output
    assert leadstream("dlq", "show", "0" * 32).wait() == 1


async def test_a_replay_repeats_the_original_path_once(stack: Stack, leadstream: Start) -> None:
    await park(stack, ALL)
    first = leadstream("dlq", "replay", "--all")
    assert first.wait() == 1, "one dead letter fails again"
    key = str(MARIA).encode()
    expected = sorted((key, each.event_id) for each in [said("How much?", 0), *events_in(BODY, EPOCH)])
    assert await published(stack) == expected
    assert listed(leadstream) == [JUNK.letter_id, JUNK_BODY.letter_id]
    assert leadstream("dlq", "replay", UNDERSTOOD_NOW.letter_id).wait() == 1, (
        "a replayed dead letter is no longer parked"
    )
    assert await published(stack) == expected


async def test_a_dead_letter_parked_again_can_be_replayed_again(stack: Stack, leadstream: Start) -> None:
    await park(stack, [UNDERSTOOD_NOW])
    assert leadstream("dlq", "replay", "--reason", "unknown_kind").wait() == 0
    assert listed(leadstream) == []
    await park(stack, [UNDERSTOOD_NOW])
    assert leadstream("dlq", "replay", UNDERSTOOD_NOW.letter_id).wait() == 0
    assert listed(leadstream) == []
    assert len(await published(stack)) == 2, "at least once: it is one event, with one id"


def test_a_replay_needs_a_selection(leadstream: Start) -> None:
    assert leadstream("dlq", "replay").wait() == 2
    assert leadstream("dlq", "replay", "--all", "--reason", "bad_id").wait() == 2
