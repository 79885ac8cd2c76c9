"""What an operator is shown while runs go on, and when they have ended."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from services.backfill.runs.eta import RateEstimator, duration
from services.backfill.runs.progress import CrawlProgress
from services.cli import backfill_display as display
from services.cli.backfill_display import Watch, live_view, progress_line, runs_table, showing, summary
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.domain.runs import ConversationFailure, Run, RunCounters, RunState
from shared.runtime.clock import Clock, utc_now
from tests.unit.backfill.staging import World, staged

PAGE = Account(
    platform=Platform.MESSENGER, account_id="371", page_id="371", name="Casa [Aurora]", encrypted_token="EAAsecret"
)
START = utc_now()


@dataclass
class Crawling:
    """A crawl of which only the display's part is there."""

    account: Account = PAGE
    progress: CrawlProgress = field(default_factory=CrawlProgress)
    client: Any = field(default_factory=lambda: SimpleNamespace(calls=18))
    clock: Clock = lambda: START


@dataclass
class Staged:
    """A watch whose time the test moves."""

    crawl: Crawling = field(default_factory=Crawling)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.watch = Watch(self.crawl, RateEstimator(lambda: self.seconds))
        self.watch.sample()

    def pass_on(self, seconds: float, **counted: int) -> None:
        self.seconds += seconds
        self.crawl.progress.add(**counted)
        self.watch.sample()

    def drawn(self, width: int = 80) -> str:
        return draw([self.watch], width)


def draw(watches: Sequence[Watch], width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(live_view(watches, width))
    return console.export_text()


@pytest.mark.parametrize("width", [80, 120])
def test_the_widest_run_fits_into_the_terminal_with_uncut_numbers(width: int) -> None:
    name = "Casa Aurora Home and Garden of Quezon City, the only one"
    staged = Staged(Crawling(PAGE.model_copy(update={"name": name}), client=SimpleNamespace(calls=18_204)))
    staged.crawl.progress.listing_is_complete = True
    numbers = {"conversations_listed": 12_345, "conversations_read": 8_214, "messages_published": 1_204_331}
    staged.pass_on(10, **numbers, messages_unavailable=123_456, conversations_failed=3)
    staged.crawl.progress.failures.append(ConversationFailure(thread_id="t_1", reason="reduce_data: " + "x" * 200))
    lines = staged.drawn(width).splitlines()
    assert max(map(len, lines)) <= width
    for whole in ("8,217/12,345", "1,204,331", "18,204", "123,456 messages", "3 failed, the last: reduce_data"):
        assert any(whole in line for line in lines), whole


def test_the_display_shows_progress_rate_and_time_left() -> None:
    staged = Staged()
    staged.crawl.progress.listing_is_complete = True
    staged.pass_on(10, conversations_listed=59, conversations_read=5, messages_published=250)
    line = "messenger 371: 5 of 59 conversations, 250 messages, 25 a second, 18 calls, about 2 min left"
    assert progress_line(staged.watch) == line
    for text in ("Messenger Casa [Aurora]", "5/59", "250", "25", "18", "2 min"):
        assert text in staged.drawn()


def test_an_unknown_time_left_is_not_shown() -> None:
    staged = Staged()
    staged.pass_on(10, conversations_listed=59, conversations_read=5)
    assert "5 of 59+" in progress_line(staged.watch)
    assert "left" not in progress_line(staged.watch), "more may be listed"
    staged.crawl.progress.listing_is_complete = True
    assert "left" in progress_line(staged.watch)
    staged.crawl.progress.throttled_until = START + timedelta(seconds=45)
    assert progress_line(staged.watch).endswith(", throttled for 45 s")
    assert "throttled, next call in 45 s" in staged.drawn()
    staged.crawl.progress.throttled_until = START - timedelta(seconds=1)
    staged.pass_on(120)
    staged.pass_on(1)
    assert "left" not in progress_line(staged.watch), "none was read in the last minute"
    staged.pass_on(1, conversations_read=54)
    assert "left" not in progress_line(staged.watch), "none is left"


async def test_the_whole_number_is_known_while_conversations_are_still_being_read() -> None:
    known: list[bool] = []

    def note(path: str, _start: int) -> None:
        if path.endswith("/messages"):
            known.append(crawl.progress.listing_is_complete)

    async with staged(World(conversations=5, messages=5, answer=note)) as stage:
        crawl = stage.crawl()
        await crawl.read("run1")
    assert known[-1]


def test_the_rate_is_that_of_the_last_seconds() -> None:
    estimator, now = RateEstimator(lambda: now), 0.0
    estimator.sample(0, 0)
    assert estimator.messages_per_second is None
    now = 50.0
    estimator.sample(1_000, 0)
    now = 55.0
    estimator.sample(1_500, 0)
    assert estimator.messages_per_second == 100


def test_notes_below_the_table_are_about_failures_and_hidden_messages_only() -> None:
    staged = Staged()
    staged.pass_on(1, conversations_listed=9, conversations_read=5)
    assert len(staged.drawn().splitlines()) == 2
    staged.crawl.progress.fail("t_1", "transient 2")
    staged.pass_on(1, messages_unavailable=23, conversations_unchanged=2)
    assert "Casa [Aurora]: 1 failed, the last: transient 2" in staged.drawn()
    assert "23 messages that the platform does not show" in staged.drawn()
    assert "8 of 9+ conversations (2 unchanged, 1 failed)" in progress_line(staged.watch)


def test_durations_are_rounded_up() -> None:
    assert list(map(duration, (0.2, 90, 91, 5_400, 5_401))) == ["1 s", "90 s", "2 min", "90 min", "2 h"]


async def test_without_a_terminal_lines_are_printed_periodically(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "PLAIN_LINES_EVERY_SECONDS", 0.001)
    file = io.StringIO()
    async with showing(Console(file=file, width=40), [Crawling()]):
        while file.getvalue().count("messenger 371: 0 of 0+ conversations, 0 messages") < 3:
            await asyncio.sleep(0.001)
    assert "\x1b" not in file.getvalue()


async def test_a_terminal_shows_the_table_at_the_end() -> None:
    file, crawl = io.StringIO(), Crawling()
    async with showing(Console(file=file, width=80, force_terminal=True), [crawl]):
        crawl.progress.add(conversations_listed=59, conversations_read=59)
    assert "59/59" in file.getvalue()


def test_an_ended_run_has_a_summary_and_is_listed() -> None:
    counters = RunCounters(conversations_listed=5, conversations_read=4, conversations_failed=1, messages_published=25)
    run = Run(
        run_id="abcdef0123", platform=Platform.MESSENGER, account_id="371", state=RunState.PARTIAL, created_at=START,
        started_at=START, counters=counters, reason="1 conversations failed",
    )  # fmt: skip
    counts = "5 conversations listed, 4 read, 0 unchanged, 1 failed, 25 messages, 0 unavailable, 0 calls"
    assert summary(run) == f"messenger 371: PARTIAL, {counts} (1 conversations failed)"
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(runs_table([run], {"messenger:371": "[bold]"}))
    for text in ("abcdef01", "Messenger [bold]", "PARTIAL", "25"):
        assert text in console.export_text(clear=False)
