"""Structured logs on standard error. What a person wrote and what opens a door is never an argument of a log call."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from typing import TextIO, cast

import structlog


def configure_logging(level: str, *, as_json: bool) -> None:
    """Called once by a composition root. ValueError when `level` is not one of logging's names."""
    numeric = logging.getLevelNamesMapping().get(level.upper())
    if numeric is None:
        raise ValueError(f"LEADSTREAM_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not {level!r}")
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, BestEffortStream(sys.stderr))),
    )
    logging.basicConfig(level=max(numeric, logging.WARNING), stream=sys.stderr)


_UNWRITABLE = (OSError, ValueError)
"""ValueError is a stream that was closed."""


class BestEffortStream:
    """A log that cannot be written (its disk is full, its reader has gone) is no reason to fail what it tells of."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(*_UNWRITABLE):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(*_UNWRITABLE):
            self._stream.flush()


def without_message(error: BaseException) -> dict[str, str]:
    """What a log may say of an error that nobody expected: its kind and where it happened. Its message may quote."""
    return {"error": type(error).__name__, "traceback": "".join(traceback.format_tb(error.__traceback__))}
