"""All metrics of the services. Every name starts with `leadstream_`."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector


class Metrics:
    """A service's metrics in a registry of their own, so that two instances in a process do not collide."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def render(self) -> tuple[bytes, str]:
        """Return the metrics in text format and their content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


def render_workers(folder: Path) -> tuple[bytes, str]:
    """Return the metrics of all processes that ran with this folder as PROMETHEUS_MULTIPROC_DIR, like `render`."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST


class CountersByLabel(dict[str, Counter]):
    """The children of a counter by its one label, each looked up once: `events["message"].inc()`."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter

    def __missing__(self, label: str) -> Counter:
        self[label] = child = self._counter.labels(label)
        return child


class AnalyzerMetrics(Metrics):
    def __init__(self) -> None:
        super().__init__()
        name, registry = "leadstream_analyzer", self.registry
        self.events = Counter(f"{name}_events", "Events written to the store, by kind.", ["kind"], registry=registry)
        self.parked = Counter(f"{name}_parked", "Dead letters, by reason.", ["reason"], registry=registry)
        self.conversations = Counter(
            f"{name}_conversations", "Conversations processed, by outcome.", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self.analyses = Counter(f"{name}_analyses", "Analyses, by source.", ["source"], registry=registry)
        self.analysis_seconds = Histogram(
            f"{name}_analysis_seconds", "Duration of one analysis.", registry=registry
        )  # fmt: skip
        self.published = Counter(
            f"{name}_published", "Contact versions acknowledged on contact-updated.", registry=registry
        )
        self.outbox = Gauge(f"{name}_outbox", "Contact versions written and not acknowledged yet.", registry=registry)
        self.in_work = Gauge(f"{name}_in_work", "Conversations this process has a lease on.", registry=registry)


class ReceiverMetrics(Metrics):
    def __init__(self) -> None:
        super().__init__()
        name, registry = "leadstream_receiver", self.registry

        def counter(suffix: str, help_text: str, label: str) -> CountersByLabel:
            return CountersByLabel(Counter(f"{name}_{suffix}", help_text, [label], registry=registry))

        def spool_gauge(suffix: str, help_text: str) -> Gauge:
            labels = ["spool"]
            return Gauge(f"{name}_spool_{suffix}", help_text, labels, registry=registry, multiprocess_mode="livesum")

        self.answers = Counter(f"{name}_answers", "HTTP responses, by status.", ["status"], registry=registry)
        self.events = counter("events", "Events published or spooled, by kind.", "kind")
        self.dropped = counter("dropped", "Items that are known and not needed, by kind.", "kind")
        self.parked = counter("parked", "Dead letters, by reason.", "reason")
        self.refused_connections = Counter(
            f"{name}_refused_connections", "Connections closed because of the connection limit.", registry=registry
        )
        self.spooled = Counter(f"{name}_spooled", "Records written to the spool.", registry=registry)
        self.spool_depth = spool_gauge("depth", "Records in the spool.")
        self.spool_bytes = spool_gauge("bytes", "Bytes in the spool.")
        self.spool_set_aside = spool_gauge("set_aside", "Records that their topic refuses as too large.")
        self.spool_oldest = spool_gauge(
            "oldest_timestamp_seconds", "Time at which the oldest record was spooled; 0 if the spool is empty."
        )


class BackfillMetrics(Metrics):
    def __init__(self) -> None:
        super().__init__()
        name, registry = "leadstream_backfill", self.registry
        self.runs = CountersByLabel(
            Counter(f"{name}_runs", "Runs that this worker ended or released, by state.", ["state"], registry=registry)
        )
        self.published = Counter(f"{name}_published", "Events acknowledged on message-events.", registry=registry)
        self.in_work = Gauge(f"{name}_in_work", "Runs in progress in this worker.", registry=registry)
