"""The classification of every known error of the Graph API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.graph_api.errors import ADVICE, FATAL, ErrorKind, GraphError, Scope, classify
from shared.graph_api.usage import retry_after_seconds

PAYLOADS = Path(__file__).parents[2] / "payloads" / "graph"
KINDS = {
    "error_abuse_613_2018338": ErrorKind.ABUSE,
    "error_conversation_gone_100_2534001": ErrorKind.GONE,
    "error_object_missing_100_33": ErrorKind.GONE,
    "error_rate_17": ErrorKind.THROTTLED,
    "error_rate_32": ErrorKind.THROTTLED,
    "error_rate_80001": ErrorKind.THROTTLED,
    "error_rate_80006": ErrorKind.THROTTLED,
    "error_reduce_data_400_transient": ErrorKind.REDUCE_DATA,
    "error_token_190_458": ErrorKind.TOKEN,
    "error_transient_2_400": ErrorKind.TRANSIENT,
    "ker0x_send_error": ErrorKind.TOKEN,
    "pyfb_base_error_data": ErrorKind.BAD_REQUEST,
    "restfb_oauthExampleError": ErrorKind.TRANSIENT,
}


def load(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_text())


def read(name: str) -> GraphError:
    stored = load(name)
    body = stored.get("body", stored)
    return classify(body["error"], stored.get("http_status", 400))


def test_every_recorded_error_body_is_tested() -> None:
    bodies = {path.stem for path in PAYLOADS.glob("*.json") if "error" in path.stem}
    assert bodies - set(KINDS) == {"restfb_batch_batch-first-error"}, "a batch, whose parts are tested as bodies"


@pytest.mark.parametrize("name", KINDS)
def test_an_error_is_classified_by_code_and_subcode(name: str) -> None:
    assert read(name).kind is KINDS[name]


def test_an_error_in_a_batch_is_read_like_any_other() -> None:
    first = load("restfb_batch_batch-first-error")[0]
    assert classify(json.loads(first["body"])["error"], first["code"]).kind is ErrorKind.BAD_REQUEST


@pytest.mark.parametrize("name", KINDS)
def test_the_platforms_message_is_not_repeated(name: str) -> None:
    stored = load(name)
    body = stored.get("body", stored)
    body["error"]["message"] += " EAAsecret"
    assert "EAAsecret" not in repr(classify(body["error"], 400))


PAGE_CODES = (32, 80000, 80001, 80003, 80004, 80005, 80006, 80008, 80009, 80014)


@pytest.mark.parametrize(
    ("code", "scope"),
    [
        (4, Scope.APP),
        (341, Scope.APP),
        (17, Scope.USER),
        *[(code, Scope.ACCOUNT) for code in PAGE_CODES],
        (80002, Scope.ACCOUNT),
        (613, Scope.ACCOUNT),
    ],
)
def test_throttling_names_the_budget_that_is_spent(code: int, scope: Scope) -> None:
    refusal = classify({"code": code, "is_transient": True}, 400)
    assert (refusal.kind, refusal.scope) == (ErrorKind.THROTTLED, scope)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 1, "message": "Please reduce the amount of data you're asking for"}, ErrorKind.REDUCE_DATA),
        ({"code": 1, "message": "An unknown error occurred"}, ErrorKind.TRANSIENT),
        ({"code": 3}, ErrorKind.CAPABILITY),
        ({"code": 10}, ErrorKind.PERMISSION),
        ({"code": 200}, ErrorKind.PERMISSION),
        ({"code": 299}, ErrorKind.PERMISSION),
        ({"code": 230}, ErrorKind.GONE),
        ({"code": 102}, ErrorKind.TOKEN),
        ({"code": 368}, ErrorKind.BLOCKED),
        ({"code": "190", "error_subcode": "463"}, ErrorKind.TOKEN),
        ({"code": 100}, ErrorKind.BAD_REQUEST),
        ({"code": 100, "is_transient": True}, ErrorKind.TRANSIENT),
        ({"code": 368, "is_transient": True}, ErrorKind.BLOCKED),
        ({"code": 190, "is_transient": True}, ErrorKind.TOKEN),
        ({"code": 613, "error_subcode": 2018338, "is_transient": True}, ErrorKind.ABUSE),
        ({"code": 613, "error_subcode": 2534040}, ErrorKind.THROTTLED),
        ({"code": 613, "error_subcode": 1996}, ErrorKind.THROTTLED),
        ({"code": 2500}, ErrorKind.TOKEN),
        ({"code": 987654}, ErrorKind.TRANSIENT),
        ({"code": True}, ErrorKind.TRANSIENT),
        ({"code": None, "message": ["x"]}, ErrorKind.TRANSIENT),
        ({}, ErrorKind.TRANSIENT),
        ("invalid_grant", ErrorKind.TRANSIENT),
        (None, ErrorKind.TRANSIENT),
    ],
)
def test_codes_without_a_recorded_body_are_classified(error: object, kind: ErrorKind) -> None:
    assert classify(error, 500).kind is kind


def test_an_error_that_needs_a_person_gives_advice() -> None:
    assert "connect the account again" in str(classify({"code": 190, "error_subcode": 463}, 400))
    assert str(classify({"code": 190, "error_subcode": 463}, 400)).startswith("token 190/463: the token has expired")
    assert ADVICE.keys() >= FATAL


def test_the_minutes_to_regain_access_become_seconds() -> None:
    throttled = load("headers_usage_throttled_doc")
    assert retry_after_seconds({"X-Business-Use-Case-Usage": throttled["x-business-use-case-usage"]}) == 19 * 60
    several = '{"1":[{"estimated_time_to_regain_access":2}],"2":[{"estimated_time_to_regain_access":7.5},{}]}'
    assert retry_after_seconds({"X-Business-Use-Case-Usage": several}) == 450


def test_zero_minutes_and_a_malformed_header_are_ignored() -> None:
    real = load("headers_usage_real")
    for header in [*real["x-business-use-case-usage"].values(), *real["malformed_samples"], "null", '{"1":[NaN]}']:
        assert retry_after_seconds({"X-Business-Use-Case-Usage": header}) is None, header
        assert retry_after_seconds({"X-Business-Use-Case-Usage": header, "Retry-After": "30"}) == 30
    assert retry_after_seconds({}) is None


@pytest.mark.parametrize("header", ["-5", "soon", "", "²", "Wed, 21 Oct 2015 07:28:00 GMT", "0"])
def test_a_retry_after_that_is_not_seconds_is_ignored(header: str) -> None:
    assert retry_after_seconds({"Retry-After": header}) is None


def test_a_requested_wait_has_a_maximum() -> None:
    assert retry_after_seconds({"Retry-After": "9" * 500}) == 24 * 3600
    endless = '{"1":[{"estimated_time_to_regain_access":1e300}]}'
    assert retry_after_seconds({"X-Business-Use-Case-Usage": endless}) == 24 * 3600
