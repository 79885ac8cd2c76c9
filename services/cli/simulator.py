"""`leadstream simulator`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.simulator.app import simulate
from shared.runtime.service import run_service
from shared.runtime.settings import Settings


def simulator(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 selects a free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on; in a container 0.0.0.0.")] = "127.0.0.1",
    seed: Annotated[int, typer.Option(help="The same seed generates the same conversations.")] = 7,
    callback: Annotated[str, typer.Option(help="URL to send webhooks to; it can be set later as well.")] = "",
    latency_ms: Annotated[int, typer.Option(min=0, help="Delay of every response.")] = 0,
) -> None:
    """Simulate Facebook: a Graph API over generated conversations, and signed webhooks on demand."""
    run_service(Settings(), lambda stop: simulate(host, port, seed, callback, latency_ms, stop))
