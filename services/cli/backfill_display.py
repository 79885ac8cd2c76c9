"""Shows runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from services.backfill.runs.eta import RateEstimator, duration
from services.backfill.runs.progress import CrawlProgress
from shared.domain.accounts import Account, account_key
from shared.domain.runs import Run, RunCounters, RunState
from shared.graph_api.client import GraphClient
from shared.runtime.clock import Clock

PLAIN_LINES_EVERY_SECONDS = 5.0
LOOKS_PER_SECOND = 4
COLOURS = {
    RunState.COMPLETED: "green",
    RunState.PARTIAL: "yellow",
    RunState.FAILED: "red",
    RunState.CANCELLED: "yellow",
}


class Watched(Protocol):
    """The part of a crawl that is shown."""

    @property
    def account(self) -> Account: ...
    @property
    def progress(self) -> CrawlProgress: ...
    @property
    def client(self) -> GraphClient: ...
    @property
    def clock(self) -> Clock: ...


@dataclass(slots=True)
class Watch:
    """One shown crawl. Call `sample` before showing it."""

    crawl: Watched
    estimator: RateEstimator = field(default_factory=RateEstimator)

    def sample(self) -> None:
        counters = self.counters
        self.estimator.sample(counters.messages_published, counters.done)

    @property
    def counters(self) -> RunCounters:
        return self.crawl.progress.counters.model_copy(update={"calls": self.crawl.client.calls})

    @property
    def of_how_many(self) -> str:
        """The number listed, with a plus while more may be listed."""
        return f"{self.counters.conversations_listed:,}{'' if self.crawl.progress.listing_is_complete else '+'}"

    @property
    def throttled_seconds(self) -> float:
        until = self.crawl.progress.throttled_until
        return max(0.0, (until - self.crawl.clock()).total_seconds()) if until else 0.0

    @property
    def seconds_left(self) -> float | None:
        """`None` while unknown: more may be listed, calls are throttled, or no conversation was read lately."""
        left = self.counters.conversations_listed - self.counters.done
        if left <= 0 or self.throttled_seconds or not self.crawl.progress.listing_is_complete:
            return None
        return self.estimator.seconds_for(left)


@asynccontextmanager
async def showing(console: Console, crawls: Sequence[Watched]) -> AsyncIterator[None]:
    """Show the crawls' progress while the block runs."""
    watches = [Watch(crawl) for crawl in crawls]
    if console.is_terminal:
        view = lambda: live_view(watches, console.width)  # noqa: E731
        with Live(get_renderable=view, console=console, refresh_per_second=LOOKS_PER_SECOND):
            yield
        return
    lines = asyncio.create_task(_print_lines(console, watches))
    try:
        yield
    finally:
        lines.cancel()


async def _print_lines(console: Console, watches: Sequence[Watch]) -> None:
    while True:
        for watch in watches:
            watch.sample()
        await asyncio.sleep(PLAIN_LINES_EVERY_SECONDS)
        for watch in watches:
            watch.sample()
            console.print(progress_line(watch), soft_wrap=True, markup=False)


def live_view(watches: Sequence[Watch], width: int = 80) -> RenderableType:
    """The table and, below it, notes. Fits into 80 columns; a wider terminal shows longer names."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("account", no_wrap=True, overflow="ellipsis", max_width=max(20, width - 56))
    table.add_column("")
    for column in ("conversations", "messages", "msg/s", "calls", "left"):
        table.add_column(column, no_wrap=True, justify="right")
    for watch in watches:
        watch.sample()
        table.add_row(*_row(watch))
    return Group(table, *(note for watch in watches for note in _notes(watch)))


def _row(watch: Watch) -> list[RenderableType]:
    counters, rate, left = watch.counters, watch.estimator.messages_per_second, watch.seconds_left
    return [
        title(watch.crawl.account),
        _bar(watch),
        f"{watch.counters.done:,}/{watch.of_how_many}",
        f"{counters.messages_published:,}",
        "–" if rate is None else f"{rate:,.0f}",
        f"{counters.calls:,}",
        "–" if left is None else duration(left),
    ]


def _bar(watch: Watch) -> ProgressBar:
    """Without rich's own red, which would look like a failure."""
    return ProgressBar(
        total=max(watch.counters.conversations_listed, 1), completed=watch.counters.done, width=8,
        style="bright_black", complete_style="cyan", finished_style="green",
    )  # fmt: skip


def _notes(watch: Watch) -> Iterator[Text]:
    """Notes on throttling, failures and hidden messages; none while all goes well."""
    account, progress, c = watch.crawl.account, watch.crawl.progress, watch.counters
    whose = f"  {account.platform.capitalize()} {_cut(account.name, 20)}: "
    if watch.throttled_seconds:
        yield Text(f"{whose}throttled, next call in {duration(watch.throttled_seconds)}", "yellow")
    if c.conversations_failed:
        reason = f", the last: {progress.failures[-1].reason}" if progress.failures else ""
        yield Text(f"{whose}{c.conversations_failed:,} failed{reason}", "red", no_wrap=True, overflow="ellipsis")
    if c.messages_unavailable:
        yield Text(f"{whose}{c.messages_unavailable:,} messages that the platform does not show", "dim")


def _cut(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def progress_line(watch: Watch) -> str:
    """A plain line: `messenger 371: 5 of 9+ conversations (1 failed), 25 messages, 18 calls`."""
    c, account, rate, left = (
        watch.counters,
        watch.crawl.account,
        watch.estimator.messages_per_second,
        watch.seconds_left,
    )
    other = {
        "unchanged": c.conversations_unchanged,
        "failed": c.conversations_failed,
        "gone": c.conversations_gone,
    }
    of_them = ", ".join(f"{number:,} {name}" for name, number in other.items() if number)
    parts = [
        f"{watch.counters.done:,} of {watch.of_how_many} conversations" + (f" ({of_them})" if of_them else ""),
        f"{c.messages_published:,} messages",
        f"{c.messages_unavailable:,} not shown by the platform" if c.messages_unavailable else "",
        "" if rate is None else f"{rate:,.0f} a second",
        f"{c.calls:,} calls",
        "" if left is None else f"about {duration(left)} left",
        f"throttled for {duration(watch.throttled_seconds)}" if watch.throttled_seconds else "",
    ]
    return f"{account.platform} {account.account_id}: {', '.join(filter(None, parts))}"


def summary(run: Run) -> str:
    """One plain line about an ended run."""
    text = f"{run.platform} {run.account_id}: {run.state}, {_counts(run.counters)}"
    return f"{text} ({run.reason})" if run.reason else text


def _counts(counters: RunCounters) -> str:
    gone = f"{counters.conversations_gone} gone, " if counters.conversations_gone else ""
    return (
        f"{counters.conversations_listed} conversations listed, {counters.conversations_read} read, "
        f"{counters.conversations_unchanged} unchanged, {counters.conversations_failed} failed, {gone}"
        f"{counters.messages_published} messages, {counters.messages_unavailable} unavailable, {counters.calls} calls"
    )


def title(account: Account) -> str:
    """The account's platform and name, safe as rich markup."""
    return f"{account.platform.capitalize()} {escape(account.name)}"


def runs_table(runs: list[Run], names: Mapping[str, str], left: Collection[Run] = ()) -> Table:
    """Fits into 80 columns: names are cut, ids are not. `left` are the runs without a process."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for column in ("run", "account", "state", "started"):
        table.add_column(column, no_wrap=column != "account")
    for column in ("read", "same", "failed", "messages"):
        table.add_column(column, no_wrap=True, justify="right")
    for run in runs:
        c = run.counters
        name = escape(_cut(names.get(account_key(run.platform, run.account_id), run.account_id), 24))
        started = f"{run.started_at:%Y-%m-%d %H:%M}" if run.started_at else "–"
        state = "[red]no process[/]" if run in left else f"[{COLOURS.get(run.state, 'default')}]{run.state}[/]"
        counts = (c.conversations_read, c.conversations_unchanged, c.conversations_failed, c.messages_published)
        account = f"{run.platform.capitalize()} {name}"
        table.add_row(run.run_id[:8], account, state, started, *(f"{number:,}" for number in counts))
    return table
