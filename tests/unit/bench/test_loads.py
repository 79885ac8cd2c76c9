"""The requests that are sent, and the reading of the load generators' results."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.receiver.http.signature import is_signed
from services.receiver.parse.normalise_webhook import normalise
from tests.bench.envelopes import Requests, batch, envelope, post, write_requests
from tests.bench.fixed_rate import is_whole, send_at
from tests.bench.outage import Drain, drain_of
from tests.bench.processes import read_metric
from tests.bench.profile import listing
from tests.bench.wrk import BenchError, Load, parse

NOW = datetime(2025, 1, 1, tzinfo=UTC)
WRK = """\
Running 6s test @ http://127.0.0.1:8080/webhook
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     6.81ms    1.20ms  31.24ms   91.25%
    Req/Sec     9.42k   512.10    10.11k    83.33%
  56250 requests in 6.01s, 9.12MB read
{more}Requests/sec:   9375.00
Transfer/sec:      1.52MB
"""


@pytest.mark.parametrize("number", [0, 7, 299_999])
def test_an_envelope_has_405_bytes_and_is_one_message(number: int) -> None:
    body = envelope(number)
    found = normalise(body, NOW)
    assert len(body) == 405
    assert len(found.events) == 1
    assert (found.dead_letters, sum(found.dropped.values())) == ([], 0)


def test_a_batch_has_a_thousand_unique_messages_of_tens_of_customers() -> None:
    messages = [entry["messaging"][0] for entry in json.loads(batch(3, 1000))["entry"]]
    assert len({message["message"]["mid"] for message in messages}) == 1000
    assert 10 <= len({message["sender"]["id"] for message in messages}) <= 100
    assert len(normalise(batch(3, 1000), NOW).events) == 1000


def test_a_request_is_signed_over_its_body() -> None:
    head, _, body = post(envelope(1), "secret").partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert body == envelope(1)
    assert int(headers["Content-Length"]) == len(body)
    assert is_signed(body, headers["X-Hub-Signature-256"], ["secret"])


def test_the_nth_request_of_a_file_is_found_by_length(tmp_path: Path) -> None:
    written = write_requests(tmp_path / "requests", map(envelope, range(20)), "secret", 1)
    content = written.path.read_bytes()
    assert written.count == 20
    assert content[13 * written.length : 14 * written.length] == post(envelope(13), "secret")


def test_requests_of_two_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 lengths"):
        write_requests(tmp_path / "requests", [b"{}", b"[1]"], "secret", 1)


def test_a_clean_run_of_wrk_has_no_failures() -> None:
    assert parse(WRK.format(more="")) == Load(56250, 9375.0, 0)
    assert parse(WRK.format(more="")).seconds == 6


def test_refused_broken_and_unanswered_requests_all_count_as_failed() -> None:
    more = "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 50\n"
    assert parse(WRK.format(more=more)).failed == 60


def test_a_run_of_wrk_without_a_summary_is_an_error() -> None:
    with pytest.raises(BenchError, match="unable to connect"):
        parse("unable to connect to 127.0.0.1:8080 Connection refused")


def test_a_metric_is_summed_over_the_spools_and_a_missing_one_is_an_error() -> None:
    page = '# HELP leadstream_receiver_spool_depth Records.\nleadstream_receiver_spool_depth{spool="a"} 3.0\n'
    page += 'leadstream_receiver_spool_depth{spool="b"} 4.0\nleadstream_receiver_spooled_total 1e+06\n'
    assert read_metric(page, "spool_depth") == 7
    assert read_metric(page, "spooled_total") == 1_000_000
    with pytest.raises(BenchError, match="spool_dept"):
        read_metric(page, "spool_dept")


def test_a_drain_runs_from_the_first_record_that_left_to_the_last() -> None:
    waiting = [(0.0, 900.0), (5.0, 900.0)]
    leaving = [(5.1, 700.0), (5.2, 300.0), (6.0, 0.0), (6.1, 0.0)]
    assert drain_of(waiting + leaving) == Drain(900, 1)
    assert drain_of(waiting + leaving).per_second == 900


def test_a_spool_that_never_drained_has_no_rate() -> None:
    assert drain_of([(0.0, 5.0), (9.0, 5.0)]).per_second == 0


@pytest.mark.parametrize(
    ("received", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ],
)
def test_a_response_is_whole_with_its_complete_body(received: bytes, whole: bool) -> None:
    assert is_whole(received) is whole


async def test_a_pause_of_the_server_delays_every_request_that_was_due(tmp_path: Path) -> None:
    """A sender that waits would measure only 64 slow responses, one a connection (coordinated omission)."""
    requests = write_requests(tmp_path / "requests", map(envelope, range(400)), "secret", 1)
    async with _server_that_pauses(requests, pause_seconds=0.4) as port:
        seen = await send_at(port, requests, 1000, 400)
    assert len(seen.milliseconds) == 400
    assert seen.failed == 1
    assert sum(each > 100 for each in seen.milliseconds) > 200


async def test_a_response_is_recorded_by_the_number_of_its_request(tmp_path: Path) -> None:
    requests = write_requests(tmp_path / "requests", map(envelope, range(20)), "secret", 1)
    async with _server_that_pauses(requests, pause_seconds=0) as port:
        seen = await send_at(port, requests, 1000, 12, start=5)
    assert set(seen.answered_at) == set(range(5, 17))
    assert all(seen.answered_at[5] <= at for at in seen.answered_at.values())


def test_a_profile_divides_the_time_of_an_event_over_packages_and_functions() -> None:
    lines = listing({"a/x.py:rare": 1, "a/y.py:common": 2, "b/z.py:often": 5}, 80.0).splitlines()
    assert [line.split() for line in lines[1:] if line] == [
        ["50.0", "62.5%", "b"],
        ["30.0", "37.5%", "a"],
        ["50.0", "62.5%", "b/z.py:often"],
        ["20.0", "25.0%", "a/y.py:common"],
        ["10.0", "12.5%", "a/x.py:rare"],
    ]


@asynccontextmanager
async def _server_that_pauses(requests: Requests, pause_seconds: float) -> AsyncIterator[int]:
    """Answer nothing for `pause_seconds` after the first request, and that request with 503."""
    resumes_at: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while await reader.read(1):
            await reader.readexactly(requests.length - 1)
            status = b"200 OK" if resumes_at else b"503 Service Unavailable"
            resumes_at.append(resumes_at[0] if resumes_at else loop.time() + pause_seconds)
            await asyncio.sleep(resumes_at[0] - loop.time())
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
