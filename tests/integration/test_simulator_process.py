"""`leadstream simulator` as a process: its output, its port and its end."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout

from shared.runtime.crypto import appsecret_proof
from tests.support.processes import Leadstream


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    started: list[Leadstream] = []

    def begin(*arguments: str) -> Leadstream:
        started.append(Leadstream(("simulator", *arguments), {}, tmp_path / f"{len(started)}.log"))
        return started[-1]

    yield begin
    for each in started:
        each.kill()


async def test_the_simulator_prints_one_line_and_serves_the_corpus_of_its_seed(start: Any) -> None:
    first, second = start("--port", "0"), start("--port", "0", "--seed", "7")
    told = [json.loads(process.wait_for("graph_url")) for process in (first, second)]
    assert told[0].keys() == {"graph_url", "app_secret", "verify_token", "accounts"}
    assert [account.keys() for account in told[0]["accounts"]] == [{"platform", "id", "page_id", "name", "token"}] * 2
    worlds = []
    async with ClientSession() as session:
        for each in told:
            async with session.get(f"{each['graph_url']}/_simulator/messages") as answer:
                worlds.append(await answer.json())
    assert [each["ids"] for each in worlds[0]] == [each["ids"] for each in worlds[1]]
    assert told[0]["accounts"] == told[1]["accounts"]
    assert first.lines() == [json.dumps(told[0])]


@pytest.mark.parametrize("is_busy", [False, True])
async def test_sigterm_stops_the_simulator_while_it_responds(start: Any, is_busy: bool) -> None:
    process = start("--latency-ms", "60000" if is_busy else "0")
    told = json.loads(process.wait_for("graph_url"))
    token = told["accounts"][0]["token"]
    query = {"access_token": token, "appsecret_proof": appsecret_proof(told["app_secret"], token)}
    async with ClientSession() as session:
        if is_busy:
            with pytest.raises(TimeoutError):
                await session.get(f"{told['graph_url']}/v26.0/me", params=query, timeout=ClientTimeout(0.3))
        else:
            async with session.get(f"{told['graph_url']}/v26.0/me", params=query) as answer:
                assert answer.status == 200
        assert process.terminate(5) == 0


def test_a_port_in_use_is_reported_without_the_json_line(start: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("--port", str(taken.getsockname()[1]))
        assert process.wait(30) == 1
    assert "graph_url" not in process.output
    assert "Traceback" not in process.output
