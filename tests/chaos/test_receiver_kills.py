"""kill -9 at every step of a webhook, in every state of broker and spool: what was answered 200 is published.

Each receiver of a case kills itself at one named step (`tests.support.dying_receiver`), all with the same broker. Then
an ordinary one starts on the spool that each has left. The oracle is sets of event ids.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout

from services.receiver.publish.spool import open_spool
from shared.bus.producer import Record
from shared.contract.ids import ConversationKey, Platform
from tests.conftest import Stack, Start
from tests.support.brokers import BROKERS
from tests.support.making import said
from tests.support.models import dump_event, event_headers
from tests.support.programs import Program, ended
from tests.support.sending import Sender, event_of, port_of, published_in_the_end, start

REQUEST = ("body_read", "signature_checked", "normalised", "answering", "answered")
SENT = ("sending", "acknowledged")
SPOOLED = ("spooling", "inserting", "inserted", "committed")
DRAINED = ("peeked", "drain_acknowledged", "deleted", "removed")
EVERY = REQUEST + SENT + SPOOLED + DRAINED

CASES = {
    ("up", "empty"): REQUEST + SENT,  # nothing is spooled
    ("up", "filling"): EVERY,
    ("up", "full"): (
        *REQUEST,
        *SENT,
        "spooling",
        *DRAINED,
    ),  # until it drains nothing fits, and then nothing is spooled
    ("slow", "empty"): EVERY,
    ("slow", "filling"): EVERY,
    ("slow", "full"): EVERY,
    ("down", "empty"): (*REQUEST, "sending", *SPOOLED, "peeked"),  # nothing is acknowledged
    ("down", "filling"): (*REQUEST, *SPOOLED, "peeked"),  # … and every record goes behind those that wait
    ("down", "full"): (
        "body_read",
        "signature_checked",
        "normalised",
        "spooling",
        "answered",
        "peeked",
    ),  # … up to a 503
    ("gone", "empty"): ("committed", "answering", "peeked"),  # as down, but connections are refused
}
"""The steps that can be reached in each state of broker and spool, with the reason for missing ones."""

LEFT = 100
"""The records that an earlier process left in a spool that is not empty: more than two drains remove."""
APART = 100_000
"""The distance between the first webhooks of two receivers. Records left in the spool have lower numbers."""
ROUND_SECONDS = 0.05
"""The time between rounds of eight webhooks, with which a slow broker still keeps up."""
PLENTY = 1 << 30


class Victim:
    """A receiver that will die at `step`, with its spool and its webhooks."""

    def __init__(self, stack: Stack, folder: Path, step: str, number: int) -> None:
        self.stack, self.folder, self.step = stack, folder, step
        self.first = (number + 1) * APART
        self.left: set[str] = set()
        self.gate = folder / "gate"
        self.max_bytes = PLENTY
        folder.mkdir()

    async def leave(self, spool: str) -> None:
        """Fill the spool as an earlier process would have; `full` fills it completely."""
        if spool == "empty":
            return
        numbers = range(self.first - LEFT, self.first)
        async with open_spool(self.folder / self.stack.topics.message_events / "0", PLENTY) as opened:
            await opened.put([record(self.stack, number) for number in numbers])
            if spool == "full":
                self.max_bytes = opened.bytes + 1
        self.left = set(map(event_of, numbers))

    def begin(self, passing: int) -> Program:
        settings = {
            "LEADSTREAM_RECEIVER_PORT": "0",
            "LEADSTREAM_SPOOL_DIR": str(self.folder),
            "LEADSTREAM_SPOOL_MAX_BYTES": str(self.max_bytes),
            "LEADSTREAM_PUBLISH_TIMEOUT_SECONDS": "0.3",
        }
        module = ("tests.support.dying_receiver", self.step, str(passing), str(self.gate))
        self.program = Program(module, self.stack.env | settings, self.folder / "log")
        return self.program

    async def die(self, session: ClientSession, *, drains: bool) -> None:
        """Send webhooks until it dies. AssertionError when it does not, or dies of another cause."""
        self.sender = Sender(session, port_of(self.program))
        if drains:
            self.gate.touch()
        numbers = itertools.count(self.first)
        async with asyncio.timeout(60):
            while self.program.process.poll() is None:
                await self.sender.send_all([next(numbers) for _ in range(8)])
                await asyncio.sleep(ROUND_SECONDS)
        assert self.program.wait() == -signal.SIGKILL, self.program.output
        assert f"dies at {self.step}" in self.program.lines()


def record(stack: Stack, number: int) -> Record:
    event = said("left", 0, mid=f"m_{number}", who=ConversationKey(Platform.MESSENGER, "1", f"80{number % 7}"))
    return Record(
        stack.topics.message_events, str(event.conversation).encode(), dump_event(event), event_headers(event)
    )


@pytest.mark.parametrize(("broker", "spool"), CASES)
async def test_a_kill_at_any_step_loses_nothing_answered_200(
    broker: str, spool: str, stack: Stack, leadstream: Start, tmp_path: Path
) -> None:
    steps = CASES[broker, spool]
    victims = [Victim(stack, tmp_path / step, step, number) for number, step in enumerate(steps)]
    passings = {"up": 2, "slow": 2, "down": 1, "gone": 1}
    programs: list[Program] = []
    with ended(programs):
        for victim in victims:
            await victim.leave(spool)
            programs.append(victim.begin(5 if victim.step in REQUEST else passings[broker]))
        for victim in victims:
            victim.program.wait_for("receiver_connected")
        async with ClientSession(timeout=ClientTimeout(30)) as session:
            with BROKERS[broker](stack.servers):
                await asyncio.gather(
                    *(victim.die(session, drains=broker != "up" or victim.step not in SPOOLED) for victim in victims)
                )
    for victim in victims:
        start(leadstream, victim.folder)
    owed = {event for victim in victims for event in victim.sender.answered | victim.left}
    told = {event for victim in victims for event in victim.sender.began | victim.left}
    assert await published_in_the_end(stack, owed) <= told
