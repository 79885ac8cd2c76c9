"""`leadstream receiver`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.receiver.app import run_receiver
from services.receiver.http.tls import TlsError, tls_files
from shared.runtime.settings import ReceiverSettings


def receiver(
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes that share the port.")] = None,
    lifeline: Annotated[
        int | None, typer.Option(hidden=True, help="Socket that connects a worker to its parent.")
    ] = None,
) -> None:
    """Receive signed webhooks and publish their contents as events."""
    settings = ReceiverSettings()
    if not settings.app_secrets or not settings.verify_token:
        raise typer.BadParameter("LEADSTREAM_APP_SECRETS and LEADSTREAM_VERIFY_TOKEN must be set")
    try:
        tls = tls_files(settings)
    except TlsError as error:
        raise typer.BadParameter(str(error)) from error
    raise typer.Exit(run_receiver(settings, workers or settings.receiver_workers, lifeline, tls))
