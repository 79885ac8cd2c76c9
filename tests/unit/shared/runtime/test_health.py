"""The health and metrics endpoints."""

from __future__ import annotations

from aiohttp.test_utils import TestClient, TestServer

from shared.runtime.health import health_app
from shared.runtime.metrics import AnalyzerMetrics


async def test_health_reports_liveness_readiness_and_metrics() -> None:
    metrics, ready = AnalyzerMetrics(), [True, False]
    metrics.events.labels("message").inc()

    async def is_ready() -> bool:
        return ready.pop(0)

    async with TestClient(TestServer(health_app(metrics, is_ready))) as client:
        statuses = [(await client.get(path)).status for path in ("/live", "/ready", "/ready")]
        page = await client.get("/metrics")
        assert statuses == [200, 200, 503]
        assert page.content_type == "text/plain"
        assert 'leadstream_analyzer_events_total{kind="message"} 1.0' in await page.text()
