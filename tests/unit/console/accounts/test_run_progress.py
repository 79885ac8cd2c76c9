"""Progress of runs, and what pages show of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.console.accounts.pages import AccountView, by_platform
from services.console.accounts.run_progress import combine, next_in_seconds, progress_of
from services.console.view.rendering import environment
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.domain.runs import RUN_LEASE, Run, RunCounters, RunState
from tests.unit.console.rows import NOON


def run(state: RunState, listed: int, read: int, **more: object) -> Run:
    counters = RunCounters(conversations_listed=listed, conversations_read=read)
    fields = {"run_id": "r", "platform": Platform.MESSENGER, "account_id": "371", "created_at": NOON}
    fields |= {"heartbeat_at": NOON + timedelta(seconds=29), **more}
    return Run.model_validate({**fields, "state": state, "counters": counters})


def test_a_running_run_shows_its_share_rate_and_time_left() -> None:
    progress = progress_of(run(RunState.RUNNING, 100, 25, started_at=NOON), NOON + timedelta(seconds=30))
    assert (progress.share, progress.per_minute, progress.left_seconds) == (25, 50, 90)


def test_the_time_left_includes_a_throttle() -> None:
    until = NOON + timedelta(seconds=50)
    progress = progress_of(
        run(RunState.RUNNING, 100, 25, started_at=NOON, throttled_until=until), NOON + timedelta(seconds=30)
    )
    assert (progress.throttled_seconds, progress.left_seconds) == (20, 110)


def test_only_a_completed_run_shows_a_full_bar() -> None:
    assert progress_of(run(RunState.RUNNING, 10, 10, started_at=NOON), NOON).share == 99
    assert progress_of(run(RunState.COMPLETED, 0, 0, started_at=NOON, finished_at=NOON), NOON).share == 100
    assert progress_of(run(RunState.CANCELLED, 10, 5, started_at=NOON, finished_at=NOON), NOON).share == 50


def test_a_run_that_no_worker_claims_says_so() -> None:
    assert progress_of(run(RunState.QUEUED, 0, 0), NOON + timedelta(seconds=11)).is_unclaimed
    assert not progress_of(run(RunState.QUEUED, 0, 0), NOON + timedelta(seconds=1)).is_unclaimed


def test_a_run_that_was_just_given_back_is_not_yet_unclaimed() -> None:
    later = NOON + timedelta(hours=1)
    given_back = run(RunState.QUEUED, 0, 0, started_at=NOON, since=later)
    assert not progress_of(given_back, later + timedelta(seconds=5)).is_unclaimed
    assert progress_of(given_back, later + timedelta(seconds=15)).is_unclaimed


def test_the_rate_of_a_run_that_was_taken_over_counts_from_then() -> None:
    later = NOON + timedelta(hours=1)
    taken = run(RunState.RUNNING, 100, 25, started_at=NOON, since=later, heartbeat_at=later)
    progress = progress_of(taken, later + timedelta(seconds=5))
    assert (progress.per_minute, progress.left_seconds) == (300, 15)


def test_a_run_whose_process_died_is_stalled() -> None:
    now = NOON + timedelta(seconds=29) + RUN_LEASE + timedelta(seconds=1)
    progress = progress_of(run(RunState.RUNNING, 100, 25, started_at=NOON), now)
    assert (progress.is_abandoned, progress.is_moving, progress.per_minute, progress.left_seconds) == (
        True,
        False,
        0,
        None,
    )
    ended = run(RunState.FAILED, 100, 25, started_at=NOON, finished_at=NOON + timedelta(seconds=30))
    assert not progress_of(ended, now).is_abandoned


@pytest.mark.parametrize(
    ("state", "more", "after", "words"),
    [
        (RunState.QUEUED, {}, 2, "waiting for a worker"),
        (RunState.QUEUED, {}, 20, "no worker has taken it yet"),
        (RunState.RUNNING, {"started_at": NOON}, 30, "50 per minute · about 1 min 30 s left"),
        (RunState.RUNNING, {"started_at": NOON, "throttled_until": NOON + timedelta(minutes=2)}, 30, "1 min 30 s more"),
        (RunState.RUNNING, {"started_at": NOON}, 60, "its worker stopped"),
        (RunState.COMPLETED, {"started_at": NOON, "finished_at": NOON + timedelta(seconds=42)}, 900, "in 42 s"),
    ],
)
def test_a_run_shows_what_it_waits_for(state: RunState, more: dict[str, object], after: int, words: str) -> None:
    progress = progress_of(run(state, 100, 25, **more), NOON + timedelta(seconds=after))
    page = environment(lambda: NOON).from_string(
        """{% from "progress.html" import bar, run_state %}{{ run_state(progress) }}{{ bar(progress) }}"""
    )
    shown = page.render(progress=progress)
    assert words in shown
    assert ("Stalled" in shown) is progress.is_abandoned


ACCOUNT = Account(platform=Platform.MESSENGER, account_id="371", page_id="371", name="Shop", encrypted_token="x")
HOURLY = ACCOUNT.model_copy(update={"every_seconds": 3600})


def test_an_account_syncs_automatically_an_interval_after_its_last_run() -> None:
    ended, now = run(RunState.COMPLETED, 1, 1, finished_at=NOON), NOON + timedelta(minutes=20)
    assert next_in_seconds(HOURLY, ended, now) == 2400
    assert next_in_seconds(HOURLY, ended, now + timedelta(days=1)) == 0
    assert next_in_seconds(HOURLY, None, now) == 0
    for account, last in (
        (ACCOUNT, ended), (HOURLY, run(RunState.RUNNING, 1, 0)),
        (HOURLY, run(RunState.FAILED, 1, 0, finished_at=NOON, is_warned=True)),
    ):  # fmt: skip
        assert next_in_seconds(account, last, now) is None


def test_a_platform_is_the_sum_of_its_accounts() -> None:
    at, other = NOON + timedelta(seconds=30), ACCOUNT.model_copy(update={"account_id": "372"})
    running = progress_of(run(RunState.RUNNING, 100, 25, started_at=NOON), at)
    ended = progress_of(run(RunState.COMPLETED, 8, 8, started_at=NOON, finished_at=at), at)
    fresh = ACCOUNT.model_copy(update={"platform": Platform.INSTAGRAM})
    views = [
        AccountView(ACCOUNT, 7, None, running, None), AccountView(other, 5, None, ended, None),
        AccountView(fresh, 0, None, None, None),
    ]  # fmt: skip
    messenger, instagram = by_platform(views)
    assert (messenger.accounts, messenger.contacts, messenger.active, messenger.last.done) == (2, 12, 1, 33)
    assert (instagram.accounts, instagram.active, instagram.last.counters) == (1, 0, RunCounters())


def test_summed_runs_add_up_and_end_with_the_last() -> None:
    at = NOON + timedelta(seconds=30)
    one, other, ended = (
        progress_of(each, at)
        for each in (
            run(RunState.RUNNING, 100, 25, started_at=NOON), run(RunState.RUNNING, 20, 10, started_at=NOON),
            run(RunState.COMPLETED, 8, 8, started_at=NOON, finished_at=at),
        )
    )  # fmt: skip
    both = combine([one, other, ended])
    assert (both.done, both.counters.conversations_listed, both.per_minute, both.left_seconds) == (43, 128, 70, 90)
    assert combine([one, progress_of(run(RunState.QUEUED, 0, 0), at)]).left_seconds is None
    assert combine([ended]).left_seconds is None
