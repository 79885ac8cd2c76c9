"""`leadstream analyzer`."""

from __future__ import annotations

from services.analyzer.app import run
from shared.service import run_service
from shared.settings import AnalyzerSettings


def analyzer() -> None:
    """Turn events into contacts: aggregate, analyse, publish."""
    settings = AnalyzerSettings()
    run_service(settings, lambda stop: run(settings, stop))
