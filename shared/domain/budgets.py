"""A rate budget of the platform: the known state and its transitions. Pure.

Times are seconds on a clock that all users of the budget share. A budget is shut when the platform refuses a call for
it or reports 95 % usage. It opens with the answer to one probe: a call made after a wait.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SLOW_FROM_USAGE, STOP_AT_USAGE = 0.75, 0.95
MIN_SPACING_SECONDS, MAX_SPACING_SECONDS = 0.1, 10.0
FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS = 60.0, 3600.0
PROBE_SECONDS = 60.0
"""A probe without a report for this long belongs to a killed process: another process may probe."""
MAX_WAITING_CALLS = 400
"""A last slot farther ahead than this many waiting calls need means that the clock was set back."""


@dataclass(frozen=True, slots=True)
class Budget:
    """`usage` is the used share as last reported (1.0 is all). `version` grows with every stored change.

    The budget is shut while `refusals` is not 0: a call may be made only after `shut_until`, and only as a probe.
    """

    usage: float = 0.0
    shut_until: float = 0.0
    refusals: int = 0
    is_probed: bool = False
    last_slot: float = 0.0
    version: int = 0

    @property
    def is_shut(self) -> bool:
        return self.refusals > 0

    @property
    def pressure(self) -> float:
        return max(self.usage, 1.0) if self.is_shut else self.usage


UNKNOWN_BUDGET = Budget()


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What one answer says about a budget; None where it says nothing. `is_answer` is False if no answer came."""

    usage: float | None = None
    is_refused: bool = False
    regain_seconds: float | None = None
    is_answer: bool = True

    @property
    def shuts(self) -> bool:
        return self.is_refused or self.regain_seconds is not None or (self.usage or 0.0) >= STOP_AT_USAGE


def spacing_seconds(usage: float) -> float:
    """Return the spacing of calls: 0 below 75 %, then growing tenfold with every 10 % up to 10 s."""
    if usage < SLOW_FROM_USAGE:
        return 0.0
    share = min(1.0, (usage - SLOW_FROM_USAGE) / (STOP_AT_USAGE - SLOW_FROM_USAGE))
    factor: float = (MAX_SPACING_SECONDS / MIN_SPACING_SECONDS) ** share
    return MIN_SPACING_SECONDS * factor


def apply_report(budget: Budget, report: UsageReport, now: float) -> Budget:
    """Return the budget after `report`. Only a probe opens it: calls made before it was shut may still succeed."""
    if report.usage is not None:
        budget = replace(budget, usage=report.usage)
    if report.shuts:
        return _shut(budget, report.regain_seconds, now)
    if not budget.is_probed:
        return budget
    if not report.is_answer:
        return replace(budget, is_probed=False, shut_until=now)
    return replace(budget, is_probed=False, shut_until=0.0, refusals=0)


def _shut(budget: Budget, regain_seconds: float | None, now: float) -> Budget:
    """Shut the budget for as long as the platform says, else for a minute, doubling up to an hour.

    Refusals of concurrent calls count once.
    """
    if budget.is_shut and not budget.is_probed:
        return replace(budget, shut_until=max(budget.shut_until, now + (regain_seconds or 0.0)))
    growing = min(FIRST_WAIT_SECONDS * 2.0 ** min(budget.refusals, 10), MAX_WAIT_SECONDS)
    until = now + (regain_seconds or growing)
    return replace(budget, shut_until=until, refusals=budget.refusals + 1, is_probed=False)


def start_probe(budget: Budget, now: float) -> Budget:
    """Return the budget with a probe in flight if one is due; else unchanged."""
    if not budget.is_shut or now < budget.shut_until:
        return budget
    return replace(budget, is_probed=True, shut_until=now + PROBE_SECONDS)


def reserve_slot(budget: Budget, earliest: float, min_spacing_seconds: float) -> Budget:
    """Return the budget with the next call's slot as `last_slot`: spaced from the last one, not before `earliest`."""
    spacing = max(min_spacing_seconds, spacing_seconds(budget.usage))
    following = budget.last_slot + spacing
    is_plausible = following < earliest + MAX_WAITING_CALLS * spacing
    return replace(budget, last_slot=max(earliest, following) if is_plausible else earliest + min_spacing_seconds)
