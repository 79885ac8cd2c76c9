"""Reading the usage headers; malformed ones are ignored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.graph_api.usage import MAX_WAIT_SECONDS, Usage, read_usage

PAYLOADS = Path(__file__).parents[2] / "payloads" / "graph"


def load(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_text())


def business(*entries: object, more: object = None) -> dict[str, str]:
    return {"X-Business-Use-Case-Usage": json.dumps({"1": list(entries), "2": more})}


def test_usage_of_app_and_account_is_read() -> None:
    said = load("headers_usage_throttled_doc")
    headers = {
        "X-App-Usage": said["x-app-usage"],
        "X-Business-Use-Case-Usage": said["x-business-use-case-usage"],
    }
    assert read_usage(headers) == Usage(app=0.28, account=1.0, regain_seconds=19 * 60)


def test_the_highest_share_over_all_ids_counts() -> None:
    headers = business({"call_count": 3, "total_cputime": 81}, {"total_time": 40}, more=[{"call_count": 5}])
    assert read_usage(headers) == Usage(account=0.81)


def test_the_old_page_usage_header_counts_too() -> None:
    assert read_usage({"X-Page-Usage": '{"call_count": 96, "total_time": 1}'}) == Usage(account=0.96)
    assert read_usage(business({"call_count": 97}) | {"X-Page-Usage": '{"call_count": 96}'}).account == 0.97


def test_missing_usage_is_none_and_not_zero() -> None:
    assert read_usage({}) == Usage(None, None, None)


@pytest.mark.parametrize("name", ["X-App-Usage", "X-Page-Usage", "X-Business-Use-Case-Usage"])
@pytest.mark.parametrize(
    "value",
    [
        "", "{", "null", "[]", "5", '"95"', "\x00", "[" * 2000, '{"call_count": "95"}', '{"call_count": null}',
        '{"call_count": true}', '{"call_count": -5}', '{"call_count": [95]}', '{"1": {"call_count": 95}}',
        '{"1": [95, null, "x", [], {"call_count": "95"}]}', '{"1": [{"estimated_time_to_regain_access": "5"}]}',
        '{"1": [{"estimated_time_to_regain_access": 0}]}', '{"1": [{"estimated_time_to_regain_access": -1}]}',
        *load("headers_usage_real")["malformed_samples"],
    ],
)  # fmt: skip
def test_malformed_usage_is_ignored(name: str, value: str) -> None:
    assert read_usage({name: value}) == Usage()


def test_the_regain_time_has_a_maximum() -> None:
    headers = business({"estimated_time_to_regain_access": 1e300, "call_count": 100})
    assert read_usage(headers) == Usage(account=1.0, regain_seconds=MAX_WAIT_SECONDS)
