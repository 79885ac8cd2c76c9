"""The operations server and its probe."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from services.receiver.publish.spool import open_spool
from shared.contract.failures import UnreachableError
from shared.runtime.metrics import AnalyzerMetrics
from shared.runtime.operations import READY_SECONDS, CachedProbe, Probe, operations_app, serve_operations


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@asynccontextmanager
async def served(metrics: AnalyzerMetrics, is_ready: Probe) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]
    async with TestClient(TestServer(operations_app("analyzer", metrics.render, is_ready))) as client:
        yield client


async def test_it_reports_liveness_readiness_version_and_metrics() -> None:
    metrics, ready = AnalyzerMetrics(), [True, False]
    metrics.events["message"].inc()

    async def is_ready() -> bool:
        return ready.pop(0)

    async with served(metrics, is_ready) as client:
        statuses = [(await client.get(path)).status for path in ("/live", "/ready", "/ready")]
        page = await client.get("/metrics")
        version = await (await client.get("/version")).json()
        assert statuses == [200, 200, 503]
        assert page.content_type == "text/plain"
        assert 'leadstream_analyzer_events_total{kind="message"} 1.0' in await page.text()
        assert version.keys() == {"service", "version", "python"}
        assert version["service"] == "analyzer"


async def test_many_probes_reach_the_disk_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, writes = Clock(), 0
    async with open_spool(tmp_path, 1_000_000) as spool:
        touch = spool._touch

        def counted() -> None:
            nonlocal writes
            writes += 1
            touch()

        monkeypatch.setattr(spool, "_touch", counted)
        async with served(AnalyzerMetrics(), CachedProbe(spool.probe, clock)) as client:

            async def statuses() -> set[int]:
                return {each.status for each in await asyncio.gather(*(client.get("/ready") for _ in range(50)))}

            assert await statuses() == {200}
            assert writes == 1
            clock.seconds += READY_SECONDS / 2
            assert (await statuses(), writes) == ({200}, 1)
            clock.seconds += READY_SECONDS / 2
            assert (await statuses(), writes) == ({200}, 2)


async def test_a_port_in_use_is_named() -> None:
    async def is_ready() -> bool:
        return True

    with socket.create_server(("", 0)) as taken, pytest.raises(UnreachableError, match="LEADSTREAM_METRICS_PORT"):
        async with serve_operations("analyzer", taken.getsockname()[1], AnalyzerMetrics().render, is_ready):
            pass
