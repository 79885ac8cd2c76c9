"""What an operator sees of a run: live lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from services.backfill.crawl import Crawl
from shared.runs import Run, RunState

COLOURS = {
    RunState.COMPLETED: "green",
    RunState.PARTIAL: "yellow",
    RunState.FAILED: "red",
    RunState.CANCELLED: "yellow",
}


class LiveTable:
    """Rendered anew by rich a few times a second from the tallies of the crawls."""

    def __init__(self, crawls: list[Crawl]) -> None:
        self._crawls = crawls

    def __rich__(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, show_header=False)
        for _ in range(5):
            table.add_column(no_wrap=True)
        for crawl in self._crawls:
            table.add_row(*_row(crawl))
        return Group(table)


def _row(crawl: Crawl) -> list[RenderableType]:
    counters = crawl.tally.counters
    done = counters.conversations_read + counters.conversations_unchanged + counters.conversations_failed
    total = counters.conversations_listed
    failed = f"  [red]{counters.conversations_failed} failed[/]" if counters.conversations_failed else ""
    return [
        f"  {crawl.account.platform.value.capitalize()}",
        ProgressBar(total=max(total, 1), completed=done, width=24),
        f"{done}/{total}{'' if crawl.tally.listing_is_complete else '+'} conversations",
        f"{counters.messages_published:,} messages",
        f"{crawl.client.calls} calls{_throttle(crawl)}{failed}",
    ]


def _throttle(crawl: Crawl) -> str:
    until = crawl.tally.throttled_until
    left = int((until - crawl.clock()).total_seconds()) if until else 0
    return f"  [yellow]throttled, {left} s[/]" if left > 0 else ""


@contextmanager
def live(console: Console, crawls: list[Crawl]) -> Iterator[None]:
    if not console.is_terminal:
        yield
        return
    with Live(LiveTable(crawls), console=console, refresh_per_second=8):
        yield


def summary(run: Run) -> str:
    """One plain line, for logs and pipes."""
    c = run.counters
    text = (
        f"{run.platform} {run.account_id}: {run.state}, {c.conversations_listed} conversations listed, "
        f"{c.conversations_read} read, {c.conversations_unchanged} unchanged, {c.conversations_failed} failed, "
        f"{c.messages_published} messages, {c.messages_unavailable} unavailable, {c.calls} calls"
    )
    return f"{text} ({run.reason})" if run.reason else text


def runs_table(runs: list[Run], names: Mapping[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("run", "platform", "account", "state", "started", "read", "unchanged", "failed", "messages"):
        table.add_column(column, no_wrap=True)
    for run in runs:
        c = run.counters
        started = f"{run.started_at:%Y-%m-%d %H:%M}" if run.started_at else "–"
        state = f"[{COLOURS.get(run.state, 'default')}]{run.state}[/]"
        name = names.get(f"{run.platform}:{run.account_id}", run.account_id)
        counts = (c.conversations_read, c.conversations_unchanged, c.conversations_failed, c.messages_published)
        table.add_row(run.run_id[:8], run.platform, name, state, started, *(f"{number:,}" for number in counts))
    return table
