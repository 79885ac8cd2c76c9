"""What an operator sees of a run: live lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from services.backfill.crawl import Crawl
from shared.accounts import account_key
from shared.runs import Run, RunCounters, RunState

PLAIN_LINES_EVERY_SECONDS = 5.0
COLOURS = {
    RunState.COMPLETED: "green",
    RunState.PARTIAL: "yellow",
    RunState.FAILED: "red",
    RunState.CANCELLED: "yellow",
}


@asynccontextmanager
async def showing(console: Console, crawls: list[Crawl]) -> AsyncIterator[None]:
    """Shows the crawls' progress for as long as the block runs."""
    if console.is_terminal:
        with Live(get_renderable=lambda: live_table(crawls), console=console, refresh_per_second=8):
            yield
        return
    lines = asyncio.create_task(_print_lines(console, crawls))
    try:
        yield
    finally:
        lines.cancel()


async def _print_lines(console: Console, crawls: list[Crawl]) -> None:
    while True:
        await asyncio.sleep(PLAIN_LINES_EVERY_SECONDS)
        for crawl in crawls:
            console.print(progress_line(crawl), soft_wrap=True, markup=False)


def live_table(crawls: list[Crawl]) -> Table:
    """Fits into eighty columns."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("account", no_wrap=True, overflow="ellipsis", max_width=28)
    table.add_column("")
    for column in ("conversations", "messages", "not shown", "calls"):
        table.add_column(column, no_wrap=True, justify="right")
    table.add_column("")
    for crawl in crawls:
        table.add_row(*_row(crawl))
    return table


def _row(crawl: Crawl) -> list[RenderableType]:
    counters = crawl.tally.counters
    done = counters.conversations_read + counters.conversations_unchanged + counters.conversations_failed
    total = counters.conversations_listed
    failed = f" [red]{counters.conversations_failed} failed[/]" if counters.conversations_failed else ""
    return [
        f"{crawl.account.platform.value.capitalize()} {escape(crawl.account.name)}",
        ProgressBar(total=max(total, 1), completed=done, width=8),
        f"{done}/{total}{'' if crawl.tally.listing_is_complete else '+'}",
        f"{counters.messages_published:,}",
        f"{counters.messages_unavailable:,}",
        f"{crawl.client.calls:,}",
        f"[yellow]{throttle(crawl).removeprefix(', ')}[/]{failed}",
    ]


def progress_line(crawl: Crawl) -> str:
    """One plain line while it runs."""
    counters = crawl.tally.counters.model_copy(update={"calls": crawl.client.calls})
    return f"{crawl.account.platform} {crawl.account.account_id}: {_counts(counters)}{throttle(crawl)}"


def throttle(crawl: Crawl) -> str:
    until = crawl.tally.throttled_until
    left_seconds = int((until - crawl.clock()).total_seconds()) if until else 0
    return f", throttled for {left_seconds} s" if left_seconds > 0 else ""


def summary(run: Run) -> str:
    """One plain line when it has ended."""
    text = f"{run.platform} {run.account_id}: {run.state}, {_counts(run.counters)}"
    return f"{text} ({run.reason})" if run.reason else text


def _counts(counters: RunCounters) -> str:
    return (
        f"{counters.conversations_listed} conversations listed, {counters.conversations_read} read, "
        f"{counters.conversations_unchanged} unchanged, {counters.conversations_failed} failed, "
        f"{counters.messages_published} messages, {counters.messages_unavailable} unavailable, {counters.calls} calls"
    )


def runs_table(runs: list[Run], names: Mapping[str, str]) -> Table:
    """Fits into eighty columns: the account's name gives way, an id never does."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for column in ("run", "account", "state", "started"):
        table.add_column(column, no_wrap=column != "account")
    for column in ("read", "same", "failed", "messages"):
        table.add_column(column, no_wrap=True, justify="right")
    for run in runs:
        c = run.counters
        name = escape(names.get(account_key(run.platform, run.account_id), run.account_id))
        started = f"{run.started_at:%Y-%m-%d %H:%M}" if run.started_at else "–"
        state = f"[{COLOURS.get(run.state, 'default')}]{run.state}[/]"
        counts = (c.conversations_read, c.conversations_unchanged, c.conversations_failed, c.messages_published)
        account = f"{run.platform.capitalize()} {name}"
        table.add_row(run.run_id[:8], account, state, started, *(f"{number:,}" for number in counts))
    return table
