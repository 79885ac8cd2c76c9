"""`python -m tests.support.dying_receiver STEP N GATE`: `leadstream receiver` that kills itself at a step.

It sends itself a SIGKILL at the N-th time it reaches STEP, after a message on stderr. It drains nothing from its spool
before the file GATE exists, and then `DRAIN_RECORDS` at once, so that a kill can occur between two drains of a
small spool. Otherwise it is the real receiver.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import itertools
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.cli import main as cli
from services.receiver.http import endpoints, responses
from services.receiver.publish import group_publisher, publisher, spool

Act = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Step:
    """Before or after a call of `owner.name`. `of_drain` selects calls of a drain or only others; None selects all."""

    owner: Any
    name: str
    is_after: bool = False
    of_drain: bool | None = None


@dataclass(frozen=True, slots=True)
class Commit:
    """Just before COMMIT within a call of `owner.name`, when all of a transaction except its end is written."""

    owner: Any
    name: str


STEPS: dict[str, Step | Commit] = {
    "body_read": Step(endpoints, "is_signed"),
    "signature_checked": Step(endpoints, "is_signed", is_after=True),
    "normalised": Step(group_publisher, "normalise", is_after=True),
    "sending": Step(publisher.TopicPublisher, "_send", of_drain=False),
    "acknowledged": Step(publisher.TopicPublisher, "_send", is_after=True, of_drain=False),
    "spooling": Step(spool.Spool, "put"),
    "inserting": Step(spool.Spool, "_insert"),
    "inserted": Commit(spool.Spool, "_insert"),
    "committed": Step(spool.Spool, "_insert", is_after=True),
    "answering": Step(group_publisher.GroupPublisher, "publish", is_after=True),
    "answered": Step(responses._EncodedResponse, "prepare", is_after=True),
    "peeked": Step(spool.Spool, "peek", is_after=True),
    "drain_acknowledged": Step(spool.Spool, "remove"),
    "deleted": Commit(spool.Spool, "_delete"),
    "removed": Step(spool.Spool, "remove", is_after=True),
}

DRAIN_RECORDS = 40

draining = contextvars.ContextVar("draining", default=False)


def die_at(name: str, passing: int) -> Act:
    """Return a function that kills this process like `kill -9` at its `passing`-th call."""
    passings = itertools.count(1)

    def act() -> None:
        if next(passings) == passing:
            os.write(2, f"dies at {name}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def wrap(owner: Any, name: str, before: Act, after: Act) -> None:
    """Wrap `owner.name`. AttributeError when it does not exist any more."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def call(*arguments: Any, **named: Any) -> Any:
        before()
        result = original(*arguments, **named)
        after()
        return result

    @functools.wraps(original)
    async def call_later(*arguments: Any, **named: Any) -> Any:
        before()
        result = await original(*arguments, **named)
        after()
        return result

    setattr(owner, name, call_later if inspect.iscoroutinefunction(original) else call)


def nothing() -> None:
    pass


def arm(step: Step | Commit, die: Act) -> None:
    if isinstance(step, Commit):
        arm_commit(step, die)
        return

    def act() -> None:
        if step.of_drain in {None, draining.get()}:
            die()

    wrap(step.owner, step.name, nothing if step.is_after else act, act if step.is_after else nothing)


def arm_commit(step: Commit, die: Act) -> None:
    """Call `die` before COMMIT: SQLite reports each statement before it runs."""
    inside: list[bool] = []
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def traced(statement: str) -> None:
        if inside and statement.upper().startswith("COMMIT"):
            die()

    def connect_traced(*arguments: Any, **named: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **named)
        connection.set_trace_callback(traced)
        return connection

    sqlite3.connect = connect_traced  # type: ignore[assignment]
    wrap(step.owner, step.name, lambda: inside.append(True), inside.clear)


def gate_drain(gate: Path) -> None:
    assert publisher.DRAIN_RECORDS > DRAIN_RECORDS
    publisher.DRAIN_RECORDS = DRAIN_RECORDS
    original = publisher.TopicPublisher.drain_once

    async def gated(self: publisher.TopicPublisher) -> None:
        while not gate.exists():
            await asyncio.sleep(0.01)
        draining.set(True)
        await original(self)

    publisher.TopicPublisher.drain_once = gated  # type: ignore[method-assign]


def main() -> None:
    name, passing, gate = sys.argv[1:]
    arm(STEPS[name], die_at(name, int(passing)))
    gate_drain(Path(gate))
    sys.argv = ["leadstream", "receiver"]
    cli.main()


if __name__ == "__main__":
    main()
