"""`leadstream analyzer`."""

from __future__ import annotations

import typer

from services.analyzer.app import run
from services.analyzer.profiles.profile_worker import vault_of
from shared.runtime.service import run_service
from shared.runtime.settings import AnalyzerSettings


def analyzer() -> None:
    """Turn events into contacts: aggregate, analyse, publish."""
    settings = AnalyzerSettings()
    try:
        vault_of(settings)
    except ValueError as error:
        raise typer.BadParameter(f"LEADSTREAM_ENCRYPTION_KEYS: {error}") from None
    run_service(settings, lambda stop: run(settings, stop))
