"""The receiver as a process, with clients that are slow, numerous, broken or unknown."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import ClientConnectorCertificateError, ClientError, ClientSession

from deploy.local.certificates import Authority
from shared.bus.producer import Record
from shared.bus.reader import read_all
from shared.runtime.crypto import webhook_signature
from tests.conftest import Stack, Start
from tests.support.processes import Leadstream
from tests.support.sending import operations_of
from tests.support.servers import free_port
from tests.support.waiting import eventually

LIMIT = 4 * 1024 * 1024
ITEM = {"sender": {"id": "8"}, "recipient": {"id": "1"}, "message": {"mid": "m_1", "text": "a text of a customer"}}
BODY = json.dumps({"object": "page", "entry": [{"id": "1", "messaging": [ITEM]}]}).encode()
TRACE = f"00-{'a1' * 16}-{'b2' * 8}-01"

NOT_HTTP = (
    b"<script>alert(1)</script>\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    b"GET <script> HTTP/1.1 x\r\n\r\n",
    b"GET /live HTTP/1.1\r\nHost: a\r\n<script> : x\r\n\r\n",
    b"GET /" + b"s" * 10_000 + b" HTTP/1.1\r\n\r\n",
    b"GET /live HTTP/1.1\r\nHost: a\r\nX-Script: " + b"s" * 10_000 + b"\r\n\r\n",
    b"POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
)


class Door:
    """A running receiver, with raw connections to it."""

    def __init__(self, process: Leadstream) -> None:
        self.process = process
        self.port = int(json.loads(process.wait_for("receiver_listening"))["port"])
        self.url = f"http://127.0.0.1:{self.port}"
        self._writers: list[asyncio.StreamWriter] = []

    async def connect_both(self, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect and send. The connection stays open until `close`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        writer.write(sent)
        return reader, writer

    async def connect(self, sent: bytes) -> asyncio.StreamReader:
        """Connect and send. Returns the reader of the response."""
        return (await self.connect_both(sent))[0]

    async def told(self, sent: bytes) -> str:
        """Return everything the receiver sends until it closes the connection, which it must do."""
        return (await rest(await self.connect(sent))).decode()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Return what arrives until the end of the connection."""
    try:
        return await asyncio.wait_for(reader.read(), 30)
    except ConnectionResetError:
        return b""


@pytest.fixture
async def door(leadstream: Start) -> AsyncIterator[Callable[..., Door]]:
    opened: list[Door] = []

    def start(**settings: str) -> Door:
        env = {f"LEADSTREAM_RECEIVER_{name}": value for name, value in settings.items()}
        ports = {"LEADSTREAM_RECEIVER_PORT": "0", "LEADSTREAM_METRICS_PORT": str(free_port())}
        opened.append(Door(leadstream("receiver", env={**ports, **env})))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def signed(body: bytes, **more: str) -> dict[str, str]:
    return {"X-Hub-Signature-256": webhook_signature("app-secret", body), **more}


def request(*headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join(["POST /webhook HTTP/1.1", "Host: receiver", *headers, "", ""]).encode() + body


async def test_slow_clients_time_out(door: Callable[..., Door]) -> None:
    here = door(HEADER_SECONDS="0.5", BODY_SECONDS="0.5", KEEPALIVE_SECONDS="0.5")
    assert await here.told(b"") == ""
    assert await here.told(b"POST /webhook HTTP/1.1\r\nHost: rec") == ""
    told = await here.told(request("Content-Length: 100", body=b"half of it"))
    assert told.startswith("HTTP/1.1 408 ")
    assert told.endswith("the body arrived too slowly")
    told = await here.told(b"GET /live HTTP/1.1\r\nHost: receiver\r\n\r\nGET /live HT")
    assert told.count("HTTP/1.1") == told.count("HTTP/1.1 200 OK") == 1


async def test_a_client_that_does_not_read_responses_times_out(door: Callable[..., Door]) -> None:
    here = door(BODY_SECONDS="0.5", CONNECTIONS="1")
    reader = await here.connect(b"GET /live HTTP/1.1\r\nHost: receiver\r\n\r\n" * 100_000)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")

    async def another() -> str:
        try:
            return await here.told(b"GET /live HTTP/1.1\r\nHost: receiver\r\nConnection: close\r\n\r\n")
        except ConnectionError:
            return ""

    assert (await eventually(another, bool)).startswith("HTTP/1.1 200")


async def test_connections_above_the_limit_are_closed_and_counted(door: Callable[..., Door]) -> None:
    here = door(CONNECTIONS="3")
    first, *_ = [await here.connect(b"GET /live HTTP/1.1\r\nHost: receiver\r\n\r\n") for _ in range(3)]
    assert (await first.readline()).startswith(b"HTTP/1.1 200")
    assert await here.told(b"GET /live HTTP/1.1\r\nHost: receiver\r\n\r\n") == ""
    async with ClientSession() as session, session.get(f"{operations_of(here.process)}/metrics") as answer:
        text = await answer.text()
    assert "leadstream_receiver_refused_connections_total 0.0" not in text
    assert "leadstream_receiver_refused_connections_total" in text


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(door: Callable[..., Door]) -> None:
    told = await door().told(request(f"Content-Length: {LIMIT + 1}", "Expect: 100-continue"))
    assert told.startswith("HTTP/1.1 413 ")
    assert "100 Continue" not in told


async def test_a_chunked_body_is_read_up_to_the_limit(door: Callable[..., Door]) -> None:
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    told = await door().told(request("Transfer-Encoding: chunked", body=chunk * (LIMIT // 0x10000 + 1)))
    assert told.startswith("HTTP/1.1 413 ")


async def test_a_compressed_body_is_never_inflated(door: Callable[..., Door], stack: Stack) -> None:
    bomb = gzip.compress(b" " * (256 * 1024 * 1024), compresslevel=9)
    here = door()
    before = resident_bytes(here.process)
    async with ClientSession() as session:
        headers = signed(bomb, **{"Content-Encoding": "gzip"})
        async with session.post(f"{here.url}/webhook", data=bomb, headers=headers) as answer:
            assert answer.status == 200
    assert resident_bytes(here.process) - before < 64 * 1024 * 1024
    (letter,) = await read_all(stack.kafka, stack.topics.dead_letters)
    assert json.loads(letter.value)["reason"] == "not_json"


def resident_bytes(process: Leadstream) -> int:
    """Return the process's peak resident memory."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


async def test_a_request_that_is_not_http_gets_a_400_that_quotes_nothing(door: Callable[..., Door]) -> None:
    here = door()
    for sent in NOT_HTTP:
        head, _, text = (await here.told(sent)).partition("\r\n\r\n")
        assert head.startswith(("HTTP/1.0 400 ", "HTTP/1.1 400 "))
        assert "Content-Type: text/plain; charset=utf-8" in head
        assert "X-Content-Type-Options: nosniff" in head
        assert text == "not an HTTP request"
    assert "script" not in here.process.output.lower()


async def test_a_body_with_broken_chunks_is_refused_at_once(door: Callable[..., Door]) -> None:
    here = door(BODY_SECONDS="60")
    reader, writer = await here.connect_both(request("Transfer-Encoding: chunked", "Expect: 100-continue"))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"5\r\nhello\r\nnonsense\r\n")
    assert (await rest(reader)).startswith(b"HTTP/1.1 400 ")
    assert "connection_failed" not in here.process.output


async def test_a_client_that_leaves_within_its_body_is_no_error(door: Callable[..., Door]) -> None:
    here = door()
    await here.connect(request("Content-Length: 100", body=b"half of it"))
    here.close()
    async with (
        ClientSession() as session,
        session.post(f"{here.url}/webhook", data=BODY, headers=signed(BODY)) as answer,
    ):
        assert answer.status == 200
    assert here.process.terminate() == 0
    assert "failed" not in here.process.output


async def test_sigterm_does_not_wait_for_slow_clients(door: Callable[..., Door]) -> None:
    here = door(BODY_SECONDS="600", HEADER_SECONDS="600", KEEPALIVE_SECONDS="600")
    half = await here.connect(request("Content-Length: 100", body=b"half of it"))
    idle = await here.connect(b"GET /live HTTP/1.1\r\nHost: receiver\r\n\r\n")
    await here.connect(b"POST /web")
    assert (await idle.readline()).startswith(b"HTTP/1.1 200")
    assert here.process.terminate() == 0, "status 1 is what ends a process that took too long"
    assert (await rest(half)).startswith(b"HTTP/1.1 408 ")


async def test_the_request_id_is_in_the_log_and_on_the_topics(stack: Stack, door: Callable[..., Door]) -> None:
    here = door()
    async with ClientSession() as session:
        for body in (BODY, b"not json"):
            headers = signed(body, traceparent=TRACE)
            async with session.post(f"{here.url}/webhook", data=body, headers=headers) as answer:
                assert answer.status == 200
    assert json.loads(here.process.wait_for('"parked"'))["request_id"] == "a1" * 16
    for topic in (stack.topics.message_events, stack.topics.dead_letters):
        assert [trace(record) for record in await read_all(stack.kafka, topic)] == [TRACE]


def trace(record: Record) -> str:
    return dict(record.headers)["traceparent"].decode()


@pytest.mark.parametrize("is_on", [True, False])
async def test_the_access_log_is_optional_and_contains_no_secret(leadstream: Start, *, is_on: bool) -> None:
    env = {"LEADSTREAM_RECEIVER_PORT": "0", "LEADSTREAM_LOG_LEVEL": "DEBUG"}
    here = Door(leadstream("receiver", env={**env, **({"LEADSTREAM_ACCESS_LOG": "true"} if is_on else {})}))
    handshake = "hub.mode=subscribe&hub.verify_token=verify-token&hub.challenge=1158201444"
    async with ClientSession() as session:
        for body, signature in ((BODY, signed(BODY)), (b"not json", signed(b"not json")), (BODY, {})):
            async with session.post(f"{here.url}/webhook", data=body, headers={**signature, "traceparent": TRACE}):
                pass
        async with session.get(f"{here.url}/webhook?{handshake}") as answer:
            assert answer.status == 200
    assert here.process.terminate() == 0
    told = [json.loads(line) for line in here.process.lines() if '"request"' in line]
    statuses = [("POST", 200), ("POST", 200), ("POST", 403), ("GET", 200)]
    assert [(line["method"], line["status"]) for line in told] == (statuses if is_on else [])
    assert all(line["path"] == "/webhook" for line in told)
    texts = ["EVENT_RECEIVED", "EVENT_RECEIVED", "signature does not match", "1158201444"]
    assert [line["bytes"] for line in told] == ([len(text) for text in texts] if is_on else [])
    assert [line["request_id"] for line in told[:3]] == (["a1" * 16] * 3 if is_on else [])
    for secret in ("a text of a customer", "verify-token", "app-secret", "1158201444", "hub.mode"):
        assert secret not in here.process.output


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


def client_context(trusted: Authority, certificate: tuple[str, str] | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(trusted.certificate)
    if certificate:
        context.load_cert_chain(*certificate)
    return context


async def post_over_tls(here: Door, context: ssl.SSLContext) -> int:
    async with (
        ClientSession() as session,
        session.post(f"https://localhost:{here.port}/webhook", data=BODY, headers=signed(BODY), ssl=context) as answer,
    ):
        return answer.status


async def test_with_a_certificate_the_receiver_accepts_only_tls(door: Callable[..., Door], ours: Authority) -> None:
    certificate, key = ours.sign("localhost")
    here = door(TLS_CERTIFICATE=certificate, TLS_KEY=key, HEADER_SECONDS="0.5")
    assert await post_over_tls(here, client_context(ours)) == 200
    assert await here.told(b"") == "", "who does not shake hands is not waited for"
    old = client_context(ours)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert await post_over_tls(here, old) == 200
    assert not (await here.told(b"GET /live HTTP/1.1\r\nHost: receiver\r\n\r\n")).startswith("HTTP/1.1 200")
    assert here.process.terminate() == 0


def renew(files: tuple[str, str], folder: Path) -> Authority:
    """Replace a certificate and its key by those of another authority, and return it."""
    folder.mkdir()
    theirs = Authority(folder, "theirs")
    for old, new in zip(files, theirs.sign("localhost"), strict=True):
        Path(old).write_bytes(Path(new).read_bytes())
    return theirs


async def test_a_new_certificate_is_used_after_sighup(
    door: Callable[..., Door], ours: Authority, tmp_path: Path
) -> None:
    certificate, key = ours.sign("localhost")
    here = door(TLS_CERTIFICATE=certificate, TLS_KEY=key)
    assert await post_over_tls(here, client_context(ours)) == 200
    theirs = renew((certificate, key), tmp_path / "renewed")
    here.process.process.send_signal(signal.SIGHUP)
    here.process.wait_for("tls_reloaded")
    assert await post_over_tls(here, client_context(theirs)) == 200
    with pytest.raises(ClientConnectorCertificateError):
        await post_over_tls(here, client_context(ours))


async def test_workers_use_a_new_certificate_and_sighup_does_not_end_them(
    door: Callable[..., Door], ours: Authority, tmp_path: Path
) -> None:
    certificate, key = ours.sign("localhost")
    here = door(TLS_CERTIFICATE=certificate, TLS_KEY=key, WORKERS="2")

    async def by_both(event: str) -> bool:
        return sum(event in line for line in here.process.lines()) >= 2

    await eventually(lambda: by_both("worker_listening"), bool)
    theirs = renew((certificate, key), tmp_path / "renewed")
    here.process.process.send_signal(signal.SIGHUP)
    await eventually(lambda: by_both("tls_reloaded"), bool)
    assert {await post_over_tls(here, client_context(theirs)) for _ in range(20)} == {200}
    assert here.process.terminate() == 0


async def test_an_unfinished_handshake_counts_as_a_connection(door: Callable[..., Door], ours: Authority) -> None:
    certificate, key = ours.sign("localhost")
    here = door(TLS_CERTIFICATE=certificate, TLS_KEY=key, HEADER_SECONDS="600", CONNECTIONS="3")
    silent = [await here.connect(b"") for _ in range(3)]
    assert [await here.told(b"") for _ in range(20)] == [""] * 20
    assert not any(reader.at_eof() for reader in silent)
    here.close()

    async def another() -> int | None:
        try:
            return await post_over_tls(here, client_context(ours))
        except (ClientError, OSError):
            return None

    assert await eventually(another, bool) == 200
    await here.connect(b"")
    assert here.process.terminate() == 0


async def test_with_a_client_ca_only_its_client_may_call_the_webhook(
    door: Callable[..., Door], ours: Authority, tmp_path: Path
) -> None:
    certificate, key = ours.sign("localhost")
    meta, stranger = Authority(tmp_path, "meta"), Authority(tmp_path, "stranger")
    here = door(TLS_CERTIFICATE=certificate, TLS_KEY=key, CLIENT_CA=meta.certificate)
    facebook = meta.sign("client.webhooks.fbclientcerts.com")
    assert await post_over_tls(here, client_context(ours, facebook)) == 200
    assert await post_over_tls(here, client_context(ours, meta.sign("someone.else"))) == 403
    assert await post_over_tls(here, client_context(ours)) == 403
    forged = stranger.sign("client.webhooks.fbclientcerts.com")
    with pytest.raises((ClientError, OSError)):
        await post_over_tls(here, client_context(ours, forged))
    url = f"https://localhost:{here.port}/live"
    async with ClientSession() as session, session.get(url, ssl=client_context(ours)) as answer:
        assert answer.status == 200


async def test_unusable_tls_settings_are_a_usage_error(leadstream: Start, ours: Authority) -> None:
    certificate, key = ours.sign("localhost")
    prefix = "LEADSTREAM_RECEIVER"
    wrong = {
        "belong together": {f"{prefix}_TLS_CERTIFICATE": certificate},
        "cannot be used": {f"{prefix}_TLS_CERTIFICATE": certificate, f"{prefix}_TLS_KEY": "/nowhere.pem"},
        "needs LEADSTREAM_RECEIVER_TLS_CERTIFICATE": {f"{prefix}_CLIENT_CA": ours.certificate},
        "wrong settings": {f"{prefix}_TLS_CERTIFICATE": certificate, f"{prefix}_TLS_KEY": key, f"{prefix}_PORT": "x"},
    }
    for message, env in wrong.items():
        process = leadstream("receiver", env=env)
        assert process.wait() == 2
        assert message in " ".join(process.output.replace("│", " ").split())


async def test_a_port_in_use_is_reported_with_status_3(door: Callable[..., Door], leadstream: Start) -> None:
    taken = door().port
    second = leadstream(
        "receiver", LEADSTREAM_RECEIVER_PORT=str(taken), LEADSTREAM_SPOOL_DIR="another-spool"
    )  # fmt: skip
    assert second.wait() == 3
    assert f"cannot listen on 127.0.0.1:{taken}" in second.output
