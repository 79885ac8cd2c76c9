"""Structured logs on standard error. Text of customers and secrets are never arguments of a log call."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from typing import TextIO, cast

import structlog


def configure_logging(level: str, *, as_json: bool) -> None:
    """Configure logging, once per process. ValueError when `level` is not one of logging's names."""
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
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, BestEffortStream(sys.stderr))),
    )
    logging.basicConfig(level=max(numeric, logging.WARNING), stream=sys.stderr)


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
