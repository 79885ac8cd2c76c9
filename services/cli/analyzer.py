"""`leadstream analyzer`."""

from __future__ import annotations

from services.analyzer.app import run
from shared.runtime.crypto import vault_from
from shared.runtime.service import run_service
from shared.runtime.settings import AnalyzerSettings


def analyzer() -> None:
    """Run the analyzer: it turns message events into scored contacts and publishes them."""
    settings = AnalyzerSettings()
    if settings.encryption_keys:
        vault_from(settings)  # raises before the service starts when a key is malformed
    run_service(settings, lambda stop: run(settings, stop))
