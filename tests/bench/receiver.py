"""The receiver's handler against a handler that only reads the body, and against the obvious way to write it."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from shared.crypto import webhook_signature
from tests.support.processes import Leadstream
from tests.support.servers import ROOT, free_port, local_servers

SECONDS, ROUNDS, CONNECTIONS, SECRET = 6, 3, 64, "bench-secret"
LIMITS = {"acked / bare": 0.65, "acked / obvious": 1.2}


def measure() -> bool:
    """Prints each ratio with its limit, and whether all are kept."""
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        script = _wrk_script(folder)
        ports = {name: stack.enter_context(_running(name, folder)) for name in ("bare", "obvious", "acked")}
        rates: dict[str, list[float]] = {name: [] for name in ports}
        for name in [*ports, *list(ports) * ROUNDS]:  # the first round only warms up
            rates[name].append(_requests_per_second(ports[name], script))
    medians = {name: statistics.median(of_name[1:]) for name, of_name in rates.items()}
    for name, of_name in rates.items():
        print(f"{name:8} {medians[name]:7.0f} requests/s   ({', '.join(f'{rate:.0f}' for rate in of_name[1:])})")
    ratios = {pair: medians["acked"] / medians[pair.split(" / ")[1]] for pair in LIMITS}
    for pair, ratio in ratios.items():
        print(f"{pair:16} {ratio:5.2f}   limit ≥ {LIMITS[pair]:.2f}   {'kept' if ratio >= LIMITS[pair] else 'missed'}")
    return all(ratio >= LIMITS[pair] for pair, ratio in ratios.items())


def _body() -> bytes:
    message = {"mid": f"m_{'v' * 86}", "text": "this is a test message of an ordinary length, as people write them"}
    item = {"sender": {"id": "8130000000000001"}, "recipient": {"id": "371000000000001"}, "timestamp": 1723486609684}
    entry = {"time": 1723486611083, "id": "371000000000001", "messaging": [{**item, "message": message}]}
    return json.dumps({"object": "page", "entry": [entry]}).encode()


def _wrk_script(folder: Path) -> Path:
    script = folder / "post.lua"
    signature = webhook_signature(SECRET, _body())
    lines = ['wrk.method = "POST"', f"wrk.body = [[{_body().decode()}]]"]
    script.write_text("\n".join([*lines, f'wrk.headers["X-Hub-Signature-256"] = "{signature}"']))
    return script


@contextmanager
def _running(name: str, folder: Path) -> Iterator[int]:
    """The handler called `name` as a process of its own; the two that publish share one broker."""
    own, port = folder / name, free_port()
    own.mkdir()
    with ExitStack() as stack:
        env = {"LEADSTREAM_RECEIVER_PORT": str(port)}
        if name != "bare":
            servers = stack.enter_context(local_servers(own))
            env |= {
                "LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": servers.kafka,
                "LEADSTREAM_MONGO_URL": servers.mongo_url("bench"),
                "LEADSTREAM_APP_SECRETS": SECRET,
                "LEADSTREAM_VERIFY_TOKEN": "v",
                "LEADSTREAM_SPOOL_DIR": str(own / "spool"),
                "LEADSTREAM_RECEIVER_HOST": "127.0.0.1",
            }
            assert Leadstream(("setup",), env, own / "setup.log").wait() == 0
        arguments = ["services.cli", "receiver"] if name == "acked" else ["tests.bench.handlers", name]
        with (own / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments], env={**os.environ, **env}, cwd=ROOT, stdout=log, stderr=log
            )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        _until_it_answers(port, process)
        yield port


def _until_it_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    while subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/live"], capture_output=True, check=False).returncode:
        assert process.poll() is None, "a handler did not start"


def _requests_per_second(port: int, script: Path) -> float:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script), f"http://127.0.0.1:{port}/webhook"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in printed, printed
    found = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    assert found, printed
    return float(found[1])
