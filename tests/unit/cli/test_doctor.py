"""What `leadstream doctor` says of settings, spool, clock and AI keys."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from services.analyzer.analysis.ai.transport import FailureKind, ModelCallError, ModelTransport
from services.analyzer.analysis.providers import Provider
from services.cli import doctor
from services.cli.doctor import Finding, State, examine_settings
from shared.contract.failures import UnreachableError
from shared.runtime.clock import utc_now
from shared.runtime.settings import ReceiverSettings
from shared.store.mongo import Database


def states(findings: list[Finding]) -> list[State]:
    return [finding.state for finding in findings]


def test_a_misspelt_setting_is_named_with_the_nearest() -> None:
    [finding] = examine_settings(["LEADSTREAM_APP_SECRET", "LEADSTREAM_MONGO_URL", "HOME"])
    assert (finding.state, finding.advice) == (State.WARNING, "is LEADSTREAM_APP_SECRETS meant?")
    assert states(examine_settings(["LEADSTREAM_MONGO_URL"])) == [State.OK]


def test_a_value_that_cannot_be_used_is_named_once_and_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADSTREAM_KAFKA_SECURITY_PROTOCOL", "hunter2")
    [finding] = examine_settings([])
    assert finding.state is State.WRONG
    assert finding.text.startswith("LEADSTREAM_KAFKA_SECURITY_PROTOCOL: ")
    assert "hunter2" not in finding.text


async def test_a_check_that_fails_or_hangs_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable() -> list[Finding]:
        raise UnreachableError("no broker answers")

    async def hangs() -> list[Finding]:
        raise TimeoutError

    assert [each.text for each in await doctor._within("broker", unreachable)] == ["no broker answers"]
    assert [each.text for each in await doctor._within("broker", hangs)] == ["no answer in 20 s"]


@pytest.mark.parametrize(("seconds", "state"), [(1, State.OK), (-1, State.OK), (60, State.WRONG), (-60, State.WRONG)])
async def test_clocks_apart_are_wrong(monkeypatch: pytest.MonkeyPatch, seconds: float, state: State) -> None:
    async def apart(_database: Database) -> Any:
        return utc_now() + timedelta(seconds=seconds)

    monkeypatch.setattr(doctor, "server_time", apart)
    assert states(await doctor._clock(cast(Database, None))) == [state]


def test_the_spool_is_below_the_home_unless_its_path_is_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ana")
    assert ReceiverSettings().spool_path == Path("/home/ana/.leadstream/spool")
    assert ReceiverSettings(home="/srv", spool_dir="s").spool_path == Path("/srv/s")
    monkeypatch.delenv("HOME")
    assert ReceiverSettings(spool_dir="/var/spool").spool_path == Path("/var/spool")


def test_a_damaged_spool_is_reported(tmp_path: Path) -> None:
    settings = ReceiverSettings(home=str(tmp_path))
    assert states(doctor._spool(settings)) == [State.OK]
    folder = tmp_path / "spool" / "message-events" / "0"
    folder.mkdir(parents=True)
    (folder / "spool.sqlite.damaged-1").touch()
    [finding] = doctor._spool(settings)
    assert finding.state is State.WARNING
    assert "damaged-1" in finding.text


@pytest.mark.parametrize(("provider", "asked"), [(Provider.GEMINI, "count_tokens"), (Provider.OPENAI, "generate")])
async def test_an_ai_key_is_tried(provider: Provider, asked: str) -> None:
    calls: list[str] = []

    class Transport:
        refuses = False

        def __getattr__(self, name: str) -> Any:
            async def call(*_: Any) -> int:
                calls.append(name)
                if self.refuses:
                    raise ModelCallError(FailureKind.KEY_REFUSED, "HTTP 403")
                return 1

            return call

    transport = Transport()
    accepted = await doctor._ai_key(cast(ModelTransport, transport), provider, "m", "secret", "AI key 1")
    transport.refuses = True
    refused = await doctor._ai_key(cast(ModelTransport, transport), provider, "m", "secret", "AI key 1")
    assert (accepted.state, refused.state, calls) == (State.OK, State.WRONG, [asked] * 2)
    assert "secret" not in refused.text
