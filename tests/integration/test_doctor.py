"""`leadstream doctor` with real servers, and without any."""

from __future__ import annotations

import json

from tests.conftest import Stack, Start
from tests.support.servers import free_port


def states(output: list[str]) -> dict[str, str]:
    return {each["check"]: each["state"] for line in output for each in json.loads(line)}


def test_a_complete_installation_has_nothing_wrong(stack: Stack, leadstream: Start) -> None:
    process = leadstream("doctor", "--json")
    assert process.wait() == 0, process.output
    assert states(process.lines()) == {
        "settings": "ok", "secrets": "ok", "broker": "ok", "topics": "ok", "database": "ok", "clock": "ok",
        "accounts": "warning", "spool": "ok", "AI": "warning",
    }  # fmt: skip


def test_what_is_away_or_missing_is_wrong_and_the_rest_is_still_examined(stack: Stack, leadstream: Start) -> None:
    away = {
        "LEADSTREAM_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "LEADSTREAM_MONGO_URL": f"mongodb://127.0.0.1:{free_port()}/leadstream",
        "LEADSTREAM_APP_SECRETS": "",
    }
    process = leadstream("doctor", "--json", env=away)
    assert process.wait() == 1
    found = states(process.lines())
    assert {name for name, state in found.items() if state == "wrong"} == {"secrets", "topics", "database"}
    assert found["spool"] == "ok"


def test_a_missing_topic_is_reported_with_what_to_do(stack: Stack, leadstream: Start) -> None:
    process = leadstream("doctor", env={"LEADSTREAM_TOPIC_PREFIX": "nowhere."})
    assert process.wait() == 1
    assert any("nowhere.message-events" in line and "leadstream setup" in line for line in process.lines())
