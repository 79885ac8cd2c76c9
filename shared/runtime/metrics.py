"""All metrics of the services: `leadstream_…`, and `process_…` of the operating system (docs/metrics.md).

A counter with a label has a value for each known label from the start, so that a first increase is seen as one.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from shared.contract.contacts import AnalysisSource
from shared.contract.events import EVENT_KINDS
from shared.contract.failures import Reason

WEBHOOK_OUTCOMES = ("accepted", "unsigned", "unreadable", "not_stored", "failed")
CONVERSATION_OUTCOMES = ("created", "updated", "unchanged", "no_contact")
WEBHOOK_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0)
"""In seconds. The broker has 1.5 s until a webhook is spooled, and Facebook waits for 5 s."""
ACKNOWLEDGED_BUCKETS = (*WEBHOOK_BUCKETS, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
"""With the time in the spool, up to a day."""
ANALYSIS_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0)
"""Gemini has 20 s and another AI 60 s by default, the fallback takes milliseconds."""


class Metrics:
    """A service's metrics in a registry of their own, so that two instances in a process do not collide."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        _add_build(self.registry)
        ProcessCollector(registry=self.registry)

    def render(self) -> tuple[bytes, str]:
        """Return the metrics in text format and their content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    def _counters(self, service: str) -> Callable[..., CountersByLabel]:
        def counter(suffix: str, help_text: str, label: str, known: Iterable[str] = ()) -> CountersByLabel:
            return CountersByLabel(Counter(f"{service}_{suffix}", help_text, [label], registry=self.registry), known)

        return counter


def render_workers(folder: Path, pids: Iterable[int]) -> tuple[bytes, str]:
    """Return the metrics of all processes that ran with this folder as PROMETHEUS_MULTIPROC_DIR, like `render`.

    `process_…` is of this process and of each of `pids`, with the label `pid`.
    """
    registry = CollectorRegistry()
    _add_build(registry)
    registry.register(_Processes([os.getpid(), *pids]))
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    return generate_latest(registry), CONTENT_TYPE_LATEST


def _add_build(registry: CollectorRegistry) -> None:
    build = Info("leadstream_build", "What runs.", registry=registry)
    build.info({"version": version("leadstream"), "python": platform.python_version()})


class _Processes(Collector):
    """`process_…` of several processes."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for pid in self._pids:
            for found in ProcessCollector(pid=_returns(pid), registry=None).collect():
                family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
                for sample in found.samples:
                    family.add_sample(sample.name, {**sample.labels, "pid": str(pid)}, sample.value)
        yield from families.values()


def _returns(pid: int) -> Callable[[], int]:
    return lambda: pid


class CountersByLabel(dict[str, Counter]):
    """The children of a counter by its one label, each looked up once: `events["message"].inc()`.

    Those of `known` are there from the start.
    """

    def __init__(self, counter: Counter, known: Iterable[str] = ()) -> None:
        super().__init__()
        self._counter = counter
        self.prepare(known)

    def prepare(self, known: Iterable[str]) -> None:
        for label in known:
            self[label]

    def __missing__(self, label: str) -> Counter:
        self[label] = child = self._counter.labels(label)
        return child


class AnalyzerMetrics(Metrics):
    def __init__(self) -> None:
        super().__init__()
        name, registry = "leadstream_analyzer", self.registry
        counter = self._counters(name)
        self.events = counter("events", "Events written to the store, by kind.", "kind", EVENT_KINDS)
        self.parked = counter("parked", "Dead letters, by reason.", "reason", Reason)
        self.conversations = counter(
            "conversations", "Conversations processed, by outcome.", "outcome", CONVERSATION_OUTCOMES
        )
        self.analyses = counter("analyses", "Analyses, by source.", "source", AnalysisSource)
        self.analysis_seconds = Histogram(
            f"{name}_analysis_seconds", "Duration of one analysis.", buckets=ANALYSIS_BUCKETS, registry=registry
        )
        self.published = Counter(
            f"{name}_published", "Contact versions acknowledged on contact-updated.", registry=registry
        )
        self.outbox = Gauge(f"{name}_outbox", "Contact versions written and not acknowledged yet.", registry=registry)
        self.in_work = Gauge(f"{name}_in_work", "Conversations this process has a lease on.", registry=registry)


class ReceiverMetrics(Metrics):
    def __init__(self) -> None:
        super().__init__()
        name, registry = "leadstream_receiver", self.registry

        counter = self._counters(name)

        def histogram(suffix: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"{name}_{suffix}", help_text, labels, buckets=buckets, registry=registry)

        def spool_gauge(suffix: str, help_text: str) -> Gauge:
            labels = ["spool"]
            return Gauge(f"{name}_spool_{suffix}", help_text, labels, registry=registry, multiprocess_mode="livesum")

        self.answers = Counter(f"{name}_answers", "HTTP responses, by status.", ["status"], registry=registry)
        self.webhooks = counter("webhooks", "Webhooks with a response, by outcome.", "outcome", WEBHOOK_OUTCOMES)
        self.request_seconds = histogram(
            "request_seconds", "From a webhook's headers to its response.", WEBHOOK_BUCKETS
        )
        self.publish_seconds = histogram(
            "publish_seconds", "From records to the broker's acknowledgement, by topic.", WEBHOOK_BUCKETS, "topic"
        )
        self.publish_failures = counter(
            "publish_failures", "Attempts to publish that the broker did not acknowledge in time, by topic.", "topic"
        )
        self.acknowledged_seconds = histogram(
            "acknowledged_seconds",
            "From a webhook's arrival to the broker's acknowledgement: of each webhook (via broker), and of each "
            "record that waited on the disk (via spool).",
            ACKNOWLEDGED_BUCKETS,
            "via",
        )
        self.events = counter("events", "Events published or spooled, by kind.", "kind", EVENT_KINDS)
        self.dropped = counter("dropped", "Items that are known and not needed, by kind.", "kind")
        self.parked = counter("parked", "Dead letters, by reason.", "reason", Reason)
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
        self.runs = self._counters(name)("runs", "Runs that this worker ended or released, by state.", "state")
        self.published = Counter(f"{name}_published", "Events acknowledged on message-events.", registry=registry)
        self.in_work = Gauge(f"{name}_in_work", "Runs in progress in this worker.", registry=registry)
