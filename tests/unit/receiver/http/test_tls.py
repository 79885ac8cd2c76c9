"""Certificates that are replaced while the receiver runs."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deploy.local.certificates import Authority
from services.receiver.http import tls
from services.receiver.http.tls import TlsFiles, tls_files
from shared.runtime.settings import ReceiverSettings
from tests.support.waiting import eventually


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
async def files(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TlsFiles]:
    monkeypatch.setattr(tls, "CHANGE_CHECK_SECONDS", 0.01)
    certificate, key = authority.sign("localhost")
    found = tls_files(ReceiverSettings(receiver_tls_certificate=certificate, receiver_tls_key=key))
    assert found is not None
    async with found.watch():
        yield found


async def another(files: TlsFiles, before: ssl.SSLContext) -> ssl.SSLContext:
    """Wait until the context is another one and return it."""

    async def context() -> ssl.SSLContext:
        return files.context

    return await eventually(context, lambda found: found is not before)


async def test_replaced_files_are_loaded_again(authority: Authority, files: TlsFiles) -> None:
    before = files.context
    authority.sign("localhost")
    await another(files, before)


async def test_the_context_stays_while_the_key_does_not_match(authority: Authority, files: TlsFiles) -> None:
    key, before = Path(authority.sign("localhost")[1]), files.context
    loaded, matching = await another(files, before), key.read_bytes()

    async def events() -> set[str]:
        return {each["event"] for each in logs}

    with capture_logs() as logs:
        key.write_bytes(Path(authority.sign("stranger")[1]).read_bytes())
        await eventually(events, lambda found: "tls_not_reloaded" in found)
    assert files.context is loaded
    key.write_bytes(matching)
    await another(files, loaded)
