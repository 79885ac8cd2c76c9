"""What the services count, by name: the one registry of metrics. Everything starts with `leadstream_`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest


class Metrics:
    """A registry of its own, so that two of one process (as in tests) do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def render(self) -> tuple[bytes, str]:
        """The text format and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


class AnalyzerMetrics(Metrics):
    def __init__(self) -> None:
        super().__init__()
        name, registry = "leadstream_analyzer", self.registry
        self.events = Counter(f"{name}_events", "Events written to the store, by kind.", ["kind"], registry=registry)
        self.parked = Counter(f"{name}_parked", "Put on the DLQ, by reason.", ["reason"], registry=registry)
        self.conversations = Counter(
            f"{name}_conversations", "Conversations looked at, by what became of the contact.", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self.analyses = Counter(f"{name}_analyses", "Analyses made, by source.", ["source"], registry=registry)
        self.analysis_seconds = Histogram(
            f"{name}_analysis_seconds", "Time of one analysis.", registry=registry
        )  # fmt: skip
        self.published = Counter(f"{name}_published", "Versions acknowledged on contact-updated.", registry=registry)
        self.in_work = Gauge(f"{name}_in_work", "Conversations being analysed now.", registry=registry)


class ReceiverMetrics(Metrics):
    def __init__(self) -> None:
        super().__init__()
        name, registry = "leadstream_receiver", self.registry
        self.answers = Counter(f"{name}_answers", "HTTP answers by status.", ["status"], registry=registry)
        self.events = Counter(f"{name}_events", "Events that are safe, by kind.", ["kind"], registry=registry)
        self.dropped = Counter(f"{name}_dropped", "Understood and not needed, by kind.", ["kind"], registry=registry)
        self.parked = Counter(f"{name}_parked", "Put on the DLQ, by reason.", ["reason"], registry=registry)
        self.spooled = Counter(f"{name}_spooled", "Records that went to the spool.", registry=registry)
        self.spool_depth = Gauge(f"{name}_spool_depth", "Records in the spool.", registry=registry)
        self.spool_bytes = Gauge(f"{name}_spool_bytes", "Bytes in the spool.", registry=registry)
        self.spool_age = Gauge(f"{name}_spool_age_seconds", "Age of the oldest record in the spool.", registry=registry)
