"""What the receiver counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest


class ReceiverMetrics:
    """Counters of one process in a registry of their own, so that two apps of one test do not meet."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        prefix = "leadstream_receiver"
        self.answers = Counter(f"{prefix}_answers", "HTTP answers by status.", ["status"], registry=self._registry)
        self.events = Counter(f"{prefix}_events", "Events acknowledged, by kind.", ["kind"], registry=self._registry)
        self.dropped = Counter(
            f"{prefix}_dropped", "Understood and not needed, by kind.", ["kind"], registry=self._registry
        )
        self.parked = Counter(
            f"{prefix}_parked", "Not understood: put on the DLQ, by reason.", ["reason"], registry=self._registry
        )

    def render(self) -> tuple[bytes, str]:
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
