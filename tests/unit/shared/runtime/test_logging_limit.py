"""Warnings are limited by message, and libraries log like this program."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from shared.runtime import service
from shared.runtime.logging import LINES_A_WINDOW, WINDOW_SECONDS, LogLimit, configure_logging, log_loop_error
from shared.runtime.settings import Settings

SAID = "a text of a customer"


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_message_is_limited_and_the_rest_is_counted() -> None:
    clock = Clock()
    limit = LogLimit(clock)
    assert [limit.admit("away") for _ in range(4_350)] == [0] * LINES_A_WINDOW + [None] * (4_350 - LINES_A_WINDOW)
    assert limit.admit("other") == 0
    clock.seconds = WINDOW_SECONDS
    assert [limit.admit("away"), limit.admit("away")] == [4_350 - LINES_A_WINDOW, 0]


def test_what_anybody_can_cause_is_one_line_a_minute() -> None:
    clock = Clock()
    limit = LogLimit(clock)
    assert [limit.admit("signature_refused") for _ in range(3)] == [0, None, None]
    clock.seconds = WINDOW_SECONDS
    assert limit.admit("signature_refused") == 2


def test_counts_of_messages_that_stopped_are_not_lost() -> None:
    clock = Clock()
    limit = LogLimit(clock)
    for _ in range(LINES_A_WINDOW + 3):
        limit.admit("away")
    assert limit.ended() == {}, "its minute is not over"
    clock.seconds = WINDOW_SECONDS
    assert limit.ended() == {"away": 3}
    assert limit.ended() == {}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    stream, root = io.StringIO(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging("INFO", as_json=True)
    yield stream
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_library_logs_as_json_with_its_name_and_is_limited(written: io.StringIO) -> None:
    for number in range(100):
        logging.getLogger("aiokafka.conn").error("Unable to connect to node with id %s", number)
    logging.getLogger("aiokafka.conn").info("not news")
    (found,) = lines(written)
    assert found.items() >= {
        "event": "Unable to connect to node with id 0", "level": "error", "logger": "aiokafka.conn",
    }.items()  # fmt: skip
    assert "timestamp" in found


def test_information_is_never_limited(written: io.StringIO) -> None:
    for _ in range(100):
        structlog.get_logger().info("request")
    for _ in range(100):
        structlog.get_logger().warning("spool_waits")
    assert [line["event"] for line in lines(written)] == ["request"] * 100 + ["spool_waits"] * LINES_A_WINDOW


def test_a_broker_that_starts_is_not_reported_as_an_error(written: io.StringIO) -> None:
    coordinator = logging.getLogger("aiokafka.consumer.group_coordinator")
    coordinator.error("Group Coordinator Request failed: %s", "[Error 15] CoordinatorNotAvailableError")
    coordinator.warning("Marking the coordinator dead (node %s)for group %s.", 1, "analyzer")
    assert lines(written) == []


def test_a_librarys_error_is_logged_without_its_message(written: io.StringIO) -> None:
    try:
        raise ValueError(SAID)
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error handling request")
    (line,) = lines(written)
    assert (line["event"], line["error"]) == ("Error handling request", "ValueError")
    assert "test_a_librarys_error_is_logged_without_its_message" in line["traceback"]
    assert SAID not in written.getvalue()


async def test_an_error_that_nobody_awaits_is_logged_without_its_message(written: io.StringIO) -> None:
    async def fail() -> None:
        raise ValueError(SAID)

    asyncio.get_running_loop().set_exception_handler(log_loop_error)
    task = asyncio.create_task(fail())
    await asyncio.wait({task})
    del task
    gc.collect()
    (line,) = lines(written)
    assert (line["event"], line["error"]) == ("event_loop_error", "ValueError")
    assert SAID not in written.getvalue()


def test_what_is_held_back_at_the_end_is_reported(monkeypatch: pytest.MonkeyPatch, written: io.StringIO) -> None:
    monkeypatch.setattr(sys, "stderr", written)  # pytest has set its own since

    async def work(stop: asyncio.Event) -> None:
        for _ in range(LINES_A_WINDOW + 3):
            structlog.get_logger().warning("spool_waits")

    monkeypatch.setattr(service, "_exit_in", lambda *_: None)
    assert service.run_service(Settings(), work) == 0
    assert lines(written)[-1].items() >= {
        "event": "lines_held_back", "message": "spool_waits", "held_back": 3,
    }.items()  # fmt: skip
