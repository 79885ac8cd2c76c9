"""What an operator, and a program, is told of holes."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from services.backfill.reconcile import Compared, Uncompared
from services.cli.account_views import show
from services.cli.reconcile import ReconcileReport, report_json, report_view
from shared.contract.ids import ConversationKey, Platform
from shared.domain.accounts import Account

ACCOUNT = Account(
    platform=Platform.INSTAGRAM, account_id="17841400000000001", page_id="371", name="Casa [Aurora]",
    encrypted_token="EAAsecret",
)  # fmt: skip
KEY = ConversationKey(Platform.INSTAGRAM, ACCOUNT.account_id, "12345678901234567")
WHOLE = Compared(KEY, "Maria", listed=43, counted_by="pages", stored=20, unavailable=23, missing=0)
HOLE = Compared(KEY, "Nguyễn Thu Hà " * 5, listed=1_043, counted_by="pages", stored=1_000, unavailable=17, missing=26)


def report_of(*found: Compared | Uncompared) -> ReconcileReport:
    report = ReconcileReport(ACCOUNT)
    for each in found:
        report.add(each)
    return report


def drawn(report: ReconcileReport, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    show(console, report_view(report))
    return console.export_text()


def test_an_account_without_holes_is_one_line() -> None:
    text = drawn(report_of(WHOLE, WHOLE), 80)
    assert "Instagram Casa [Aurora]  17841400000000001  nothing missing" in text
    assert "2 conversations: 86 messages listed, 40 stored, 46 not shown, 0 missing" in text
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize("width", [80, 120])
def test_holes_are_shown_with_every_number_in_the_terminals_width(width: int) -> None:
    text = drawn(report_of(WHOLE, HOLE), width)
    assert max(map(len, text.splitlines())) <= width
    row = next(line for line in text.splitlines() if KEY.customer_id in line)
    assert row.split()[-5:] == ["1,043", "pages", "1,000", "17", "26"]
    assert "not whole" in text
    assert f"`leadstream backfill run instagram {ACCOUNT.account_id} --again` fills them" in text


def test_an_account_with_an_uncompared_conversation_is_not_whole() -> None:
    report = report_of(WHOLE, Uncompared("t_1", "transient 2"), Uncompared(None, "token 190"))
    assert not report.is_whole
    text = drawn(report, 80)
    assert "! t_1 could not be compared: transient 2" in text
    assert "! the rest of the account could not be compared: token 190" in text


def test_the_json_has_totals_and_every_hole_by_conversation() -> None:
    told = report_json(report_of(WHOLE, HOLE, Uncompared("t_1", "transient 2")))
    assert (told["conversations"], told["listed"], told["missing"], told["is_whole"]) == (2, 1_086, 26, False)
    (hole,) = told["holes"]
    assert (hole["conversation"], hole["counted_by"], hole["missing"]) == (str(KEY), "pages", 26)
    assert told["uncompared"] == [{"thread_id": "t_1", "reason": "transient 2"}]
    assert "EAAsecret" not in str(told)
