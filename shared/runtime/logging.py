"""Structured logs on standard error, of this program and of its libraries alike.

Text of customers and secrets are never arguments of a log call. Warnings and errors are limited by message: an outage
must not hide other lines, nor fill a disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict

WINDOW_SECONDS = 60.0
LINES_A_WINDOW = 5
"""Of each warning or error of this program. The first one of a later window says how many were held back."""
LIBRARY_LINES_A_WINDOW = 1
"""A library may repeat a line every 20 ms while a server is away, and one says as much as five."""
ONCE_A_WINDOW = frozenset({"signature_refused", "verify_token_refused"})
"""Anybody can cause these, as often as they like."""
NO_NEWS = ("Group Coordinator Request failed: [Error 15]", "Marking the coordinator dead")
"""What aiokafka says while a broker makes its topic of offsets, as at the first start of all."""
HELD_BACK = "lines_held_back"

LIMITED = frozenset({"warning", "error", "critical"})

log = structlog.get_logger()


@dataclass(slots=True)
class Window:
    """The lines of one message since `start`."""

    start: float
    passed: int = 0
    held_back: int = 0


class LogLimit:
    """Decides which lines of a message are written. `now` returns seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._windows: dict[str, Window] = {}
        self._swept_at = now()

    def admit(self, message: str, lines: int = LINES_A_WINDOW) -> int | None:
        """Return how many lines were held back before this one, None when it is held back itself."""
        now, window = self._now(), self._windows.get(message)
        held_back = 0
        if window is None or now - window.start >= WINDOW_SECONDS:
            held_back = window.held_back if window else 0
            window = self._windows[message] = Window(now)
        if window.passed >= (1 if message in ONCE_A_WINDOW else lines):
            window.held_back += 1
            return None
        window.passed += 1
        return held_back

    def ended(self) -> dict[str, int]:
        """Return how many lines were held back of each message that nobody repeated since its window ended.

        Looks at most once in WINDOW_SECONDS.
        """
        now = self._now()
        if now - self._swept_at < WINDOW_SECONDS:
            return {}
        self._swept_at = now
        return self._remove(now - WINDOW_SECONDS)

    def report(self, *, at_end: bool = False) -> None:
        """Log what was held back: of windows that ended, or of all at the end of the process."""
        for message, number in (self._remove(self._now()) if at_end else self.ended()).items():
            log.warning(HELD_BACK, message=message, held_back=number)

    def _remove(self, began_until: float) -> dict[str, int]:
        over = [message for message, window in list(self._windows.items()) if window.start <= began_until]
        held_back = {message: self._windows.pop(message).held_back for message in over}
        return {message: number for message, number in held_back.items() if number}

    def __call__(self, _logger: Any, method: str, event: EventDict) -> EventDict:
        """Limit a line of this program, as a processor of structlog."""
        if event["event"] != HELD_BACK:
            self.report()
        if method not in LIMITED or event["event"] == HELD_BACK:
            return event
        held_back = self.admit(str(event.get("event")))
        if held_back is None:
            raise structlog.DropEvent
        return {**event, "held_back": held_back} if held_back else event

    def filter(self, record: logging.LogRecord) -> bool:
        """Limit a line of a library, as a filter of logging. Lines with the same template are the same message."""
        if record.getMessage().startswith(NO_NEWS):
            return False
        self.report()
        held_back = self.admit(f"{record.name}: {record.msg}", LIBRARY_LINES_A_WINDOW)
        if held_back:
            record.held_back = held_back
        return held_back is not None


def configure_logging(level: str, *, as_json: bool) -> LogLimit:
    """Configure logging, once per process. ValueError when `level` is not one of logging's names."""
    numeric = logging.getLevelNamesMapping().get(level.upper())
    if numeric is None:
        raise ValueError(f"LEADSTREAM_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not {level!r}")
    stream, limit = cast(TextIO, BestEffortStream(sys.stderr)), LogLimit()
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            limit,
            stamp,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    handler = logging.StreamHandler(stream)
    handler.addFilter(limit)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(["held_back"]),
                _drop_error_message,
                stamp,
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=max(numeric, logging.WARNING), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    return limit


def _drop_error_message(_logger: Any, _method: str, event: EventDict) -> EventDict:
    exc_info = event.pop("exc_info", None)
    error = exc_info[1] if isinstance(exc_info, tuple) else None
    return {**event, **(without_message(error) if error else {})}


def log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that no code awaited, as the event loop's exception handler.

    asyncio's own line quotes the error's message.
    """
    error = context.get("exception")
    log.error("event_loop_error", detail=context.get("message"), **(without_message(error) if error else {}))


_UNWRITABLE = (OSError, ValueError)
"""ValueError is raised by a closed stream."""


class BestEffortStream:
    """Ignores write errors (a full disk, a closed pipe), so that logging never fails the work it reports."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(*_UNWRITABLE):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(*_UNWRITABLE):
            self._stream.flush()


def without_message(error: BaseException) -> dict[str, str]:
    """Return the type and traceback of an unexpected error, without its message, which may quote a customer."""
    return {"error": type(error).__name__, "traceback": "".join(traceback.format_tb(error.__traceback__))}
