"""The metrics of the services: their catalogue, and values that exist from the start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from shared.contract.failures import Reason
from shared.runtime.metrics import AnalyzerMetrics, BackfillMetrics, Metrics, ReceiverMetrics, render_workers
from shared.runtime.settings import AnalyzerSettings, ReceiverSettings
from tests.support.servers import ROOT

FACEBOOK_WAITS_SECONDS = 5


def text(metrics: Metrics) -> str:
    return metrics.render()[0].decode()


def catalogue(metrics: Metrics) -> list[str]:
    """Return a row of the page for each metric."""
    made = [each for each in metrics.registry._collector_to_names if isinstance(each, MetricWrapperBase)]
    labels = {each._name: each._labelnames for each in made} | {"leadstream_build": ("version", "python")}
    rows = []
    for family in metrics.registry.collect():
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        named = ", ".join(labels.get(family.name, ()))
        rows.append(f"| `{family.name}{suffix}` | {family.type} | {named} | {family.documentation} |")
    return rows


def test_the_catalogue_has_every_metric_with_its_type_labels_and_meaning() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    services = (ReceiverMetrics(), AnalyzerMetrics(), BackfillMetrics())
    expected = dict.fromkeys(row for each in services for row in catalogue(each))
    assert [line for line in page.splitlines() if line.startswith("| `")] == list(expected)


@pytest.mark.parametrize("metrics", [ReceiverMetrics(), AnalyzerMetrics()])
def test_dead_letters_have_a_value_for_each_reason_before_the_first(metrics: Metrics) -> None:
    found = text(metrics)
    assert [reason for reason in Reason if f'_parked_total{{reason="{reason}"}} 0.0' not in found] == []


def test_webhooks_have_a_value_for_each_outcome_before_the_first() -> None:
    found = text(ReceiverMetrics())
    for outcome in ("accepted", "unsigned", "unreadable", "not_stored", "failed"):
        assert f'leadstream_receiver_webhooks_total{{outcome="{outcome}"}} 0.0' in found


def test_build_and_process_are_on_every_page() -> None:
    found = text(Metrics())
    assert "leadstream_build_info{" in found
    assert "process_resident_memory_bytes " in found


@pytest.mark.parametrize("name", ["request_seconds", "publish_seconds", "acknowledged_seconds"])
def test_buckets_of_the_receiver_have_its_deadlines(name: str) -> None:
    metrics = ReceiverMetrics()
    metrics.publish_seconds.labels("t")
    metrics.acknowledged_seconds.labels("broker")
    deadlines = FACEBOOK_WAITS_SECONDS, ReceiverSettings().publish_timeout_seconds
    for seconds in map(float, deadlines):
        assert f'leadstream_receiver_{name}_bucket{{le="{seconds}"' in text(metrics)


def test_buckets_of_an_analysis_have_the_deadlines_of_the_ais() -> None:
    found, settings = text(AnalyzerMetrics()), AnalyzerSettings()
    for seconds in (settings.gemini_deadline_seconds, settings.ai_deadline_seconds):
        assert f'leadstream_analyzer_analysis_seconds_bucket{{le="{seconds}"}}' in found


def test_the_page_of_workers_sums_their_counts_and_names_their_processes(tmp_path: Path) -> None:
    work = "from shared.runtime.metrics import ReceiverMetrics; ReceiverMetrics().webhooks['accepted'].inc(3)"
    for _ in range(2):
        env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", work], env=env, check=True)
    found = render_workers(tmp_path, [os.getppid()])[0].decode()
    assert 'leadstream_receiver_webhooks_total{outcome="accepted"} 6.0' in found
    assert "leadstream_build_info{" in found
    for pid in (os.getpid(), os.getppid()):
        assert f'process_resident_memory_bytes{{pid="{pid}"}}' in found
