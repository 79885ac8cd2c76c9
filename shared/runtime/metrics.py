"""What the services count, by name: the one registry of metrics. Everything starts with `leadstream_`."""

from __future__ import annotations

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector


class Metrics:
    """A registry of its own, so that two of one process (as in tests) do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

    def render(self) -> tuple[bytes, str]:
        """The text format and its content type; of all processes where several serve one port together.

        Those share the folder PROMETHEUS_MULTIPROC_DIR, as prometheus_client has it.
        """
        registry = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry), CONTENT_TYPE_LATEST


class CountersByLabel(dict[str, Counter]):
    """The children of a counter with one label, each looked up once: `events["message"].inc()`."""

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
        self.outbox = Gauge(f"{name}_outbox", "Versions written and not acknowledged yet.", registry=registry)
        self.in_work = Gauge(f"{name}_in_work", "Conversations that it has a lease of.", registry=registry)


class ReceiverMetrics(Metrics):
    def __init__(self) -> None:
        super().__init__()
        name, registry = "leadstream_receiver", self.registry

        def counter(what: str, meaning: str, label: str) -> CountersByLabel:
            return CountersByLabel(Counter(f"{name}_{what}", meaning, [label], registry=registry))

        def spool_gauge(what: str, meaning: str) -> Gauge:
            names = ["spool"]
            return Gauge(f"{name}_spool_{what}", meaning, names, registry=registry, multiprocess_mode="livesum")

        self.answers = Counter(f"{name}_answers", "HTTP answers by status.", ["status"], registry=registry)
        self.events = counter("events", "Events that are safe, by kind.", "kind")
        self.dropped = counter("dropped", "Understood and not needed, by kind.", "kind")
        self.parked = counter("parked", "Put on the DLQ, by reason.", "reason")
        self.refused_connections = Counter(
            f"{name}_refused_connections", "Closed at once because there were too many.", registry=registry
        )
        self.spooled = Counter(f"{name}_spooled", "Records that went to the spool.", registry=registry)
        self.spool_depth = spool_gauge("depth", "Records in the spool.")
        self.spool_bytes = spool_gauge("bytes", "Bytes in the spool.")
        self.spool_oldest = spool_gauge(
            "oldest_timestamp_seconds", "When the oldest record in the spool was put there; 0 when it is empty."
        )


class BackfillMetrics(Metrics):
    """Of one worker."""

    def __init__(self) -> None:
        super().__init__()
        name, registry = "leadstream_backfill", self.registry
        self.runs = CountersByLabel(
            Counter(f"{name}_runs", "Runs that left it, by state.", ["state"], registry=registry)
        )
        self.published = Counter(f"{name}_published", "Events acknowledged on message-events.", registry=registry)
        self.in_work = Gauge(f"{name}_in_work", "Runs it is at now.", registry=registry)
