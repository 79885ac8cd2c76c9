"""What pages show: messages, the score plot, runs, the board, times."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.console.accounts.pages import AccountView, by_platform
from services.console.accounts.run_progress import combine, next_in_seconds, progress_of
from services.console.board.columns import MAX_CARDS, columns_of
from services.console.contacts.message_list import displayed_messages
from services.console.contacts.score_plot import HEIGHT, score_plot
from services.console.overview.system_status import sparkline
from services.console.view.formats import ago, duration, initials
from services.console.view.rendering import environment
from shared.contract.contacts import AnalysisSource, Score
from shared.contract.events import Attachment
from shared.contract.ids import Platform
from shared.domain.accounts import Account
from shared.domain.messages import fold_all
from shared.domain.pipelines import template
from shared.domain.runs import RUN_LEASE, Run, RunCounters, RunState
from tests.support.making import answered, reacted, said, unsent
from tests.unit.console.rows import NOON, contact, contact_index

SALES = template("Sales")


def test_a_conversation_shows_both_sides_in_order_of_time() -> None:
    found = displayed_messages(fold_all([answered("Yes", 2, mid="m_b"), said("Is it there?", 1, mid="m_a")]).values())
    assert [(each.text, each.is_customer) for each in found] == [("Is it there?", True), ("Yes", False)]
    assert [each.is_first_of_day for each in found] == [True, False]


def test_an_unsent_message_is_marked_and_shows_no_content() -> None:
    (only,) = displayed_messages(fold_all([said("my secret", 1, mid="m_a"), unsent("m_a", 2)]).values())
    assert only.is_unsent
    assert (only.text, only.marks) == ("", ())


def test_attachments_and_reactions_are_shown() -> None:
    picture = said(None, 1, mid="m_a", attachments=(Attachment(type="image"),))
    (only,) = displayed_messages(fold_all([picture, reacted("m_a", 2)]).values())
    assert (only.marks, only.reactions) == (("image",), ("❤",))


def test_a_message_known_only_by_a_reaction_is_not_shown() -> None:
    assert displayed_messages(fold_all([reacted("m_a", 2)]).values()) == []


def scores(*values: int) -> list[Score]:
    return [Score(version=i + 1, score=v, source=AnalysisSource.AI, at=NOON) for i, v in enumerate(values)]


def test_a_plot_rises_with_the_score_and_stays_within_its_frame() -> None:
    made = score_plot(scores(1, 50, 100))
    assert made is not None
    heights = [point.y for point in made.points]
    assert heights == sorted(heights, reverse=True)
    assert all(0 <= height <= HEIGHT for height in heights)
    assert made.description == "Score over 3 analyses, from 1 to 100"


@pytest.mark.parametrize("values", [(), (50,)])
def test_fewer_than_two_scores_make_no_plot(values: tuple[int, ...]) -> None:
    assert score_plot(scores(*values)) is None


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


def test_a_board_has_every_stage_and_its_best_first() -> None:
    assert SALES is not None
    made = contact_index(contact("1", "A", 20, stage="New Lead"), contact("2", "B", 30, stage="New Lead"), contact("3"))
    columns = columns_of(made, SALES)
    assert [column.name for column in columns] == [stage.name for stage in SALES.stages]
    first = columns[0]
    assert ([row.name for row in first.rows], first.count, first.points, first.mean) == (["B", "A"], 2, 50, 25)


def test_a_column_shows_its_best_and_counts_all() -> None:
    assert SALES is not None
    made = contact_index(*(contact(str(i), score=50, stage="New Lead") for i in range(MAX_CARDS + 5)))
    column = columns_of(made, SALES)[0]
    assert (len(column.rows), column.count) == (MAX_CARDS, MAX_CARDS + 5)


def test_a_removed_stage_with_contacts_stays_on_the_board() -> None:
    assert SALES is not None
    columns = columns_of(contact_index(contact("1", score=50, stage="Old")), SALES)
    assert (columns[-1].name, columns[-1].count) == ("Old", 1)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("Maria Santos", "MS"), ("maria de la cruz", "MC"), ("マリア", "マ"), ("<b>", "B"), ("🎉 🎉", "?"), ("", "?")],
)
def test_initials_are_letters(name: str, shown: str) -> None:
    assert initials(name) == shown


@pytest.mark.parametrize(
    ("seconds", "words"), [(5, "just now"), (300, "5 min ago"), (7200, "2 h ago"), (200_000, "2 d ago")]
)
def test_times_read_as_people_say_them(seconds: int, words: str) -> None:
    assert ago(NOON - timedelta(seconds=seconds), NOON) == words


def test_long_ago_is_a_date() -> None:
    assert ago(NOON - timedelta(days=30), NOON) == "25 Oct"
    assert ago(NOON - timedelta(days=400), NOON) == "20 Oct 2025"
    assert ago(None, NOON) == "never"


@pytest.mark.parametrize(("seconds", "words"), [(4.4, "4 s"), (200, "3 min 20 s"), (3900, "1 h 5 min"), (120, "2 min")])
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_sparkline_needs_two_values() -> None:
    assert sparkline([1.0]) == ""
    assert sparkline([0.0, 0.0]).startswith("0.0,26.0")
