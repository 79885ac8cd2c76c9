"""One budget of calls at the platform: what is known of it, and what changes that. Pure.

Times are seconds on the one clock of all who share the budget. A budget is shut when the platform has refused a call
for it, or when 95 % of it are used; it is opened by the answer to one probing call, made after a wait.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SLOW_FROM_USAGE, STOP_AT_USAGE = 0.75, 0.95
MIN_SPACING_SECONDS, MAX_SPACING_SECONDS = 0.1, 10.0
FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS = 60.0, 3600.0
PROBE_SECONDS = 60.0
"""Who probes and is not heard of for so long was killed: another may probe."""
MAX_WAITING_CALLS = 400
"""No slot is reserved farther ahead than so many calls need that wait for theirs: the clock was set back."""


@dataclass(frozen=True, slots=True)
class Budget:
    """`usage` is the share that is used, as last heard. `version` grows with every change that all know of.

    Shut while `refusals` is not 0: then a call may be made after `shut_until` only, and only as a probe.
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
    """What one answer said of a budget: None where it said nothing. `is_answer` is False where none came at all."""

    usage: float | None = None
    is_refused: bool = False
    regain_seconds: float | None = None
    is_answer: bool = True

    @property
    def shuts(self) -> bool:
        return self.is_refused or self.regain_seconds is not None or (self.usage or 0.0) >= STOP_AT_USAGE


def spacing_seconds(usage: float) -> float:
    """How far calls must be apart: none below 75 %, then growing tenfold with every 10 % up to 10 s."""
    if usage < SLOW_FROM_USAGE:
        return 0.0
    share = min(1.0, (usage - SLOW_FROM_USAGE) / (STOP_AT_USAGE - SLOW_FROM_USAGE))
    factor: float = (MAX_SPACING_SECONDS / MIN_SPACING_SECONDS) ** share
    return MIN_SPACING_SECONDS * factor


def apply_report(budget: Budget, heard: UsageReport, now: float) -> Budget:
    """Only a probe opens what is shut: calls under way when it was shut may still be answered well."""
    if heard.usage is not None:
        budget = replace(budget, usage=heard.usage)
    if heard.shuts:
        return _shut(budget, heard.regain_seconds, now)
    if not budget.is_probed:
        return budget
    if not heard.is_answer:
        return replace(budget, is_probed=False, shut_until=now)
    return replace(budget, is_probed=False, shut_until=0.0, refusals=0)


def _shut(budget: Budget, regain_seconds: float | None, now: float) -> Budget:
    """For as long as the platform says, else from a minute to an hour, doubling. Those refused together wait once."""
    if budget.is_shut and not budget.is_probed:
        return replace(budget, shut_until=max(budget.shut_until, now + (regain_seconds or 0.0)))
    growing = min(FIRST_WAIT_SECONDS * 2.0 ** min(budget.refusals, 10), MAX_WAIT_SECONDS)
    until = now + (regain_seconds or growing)
    return replace(budget, shut_until=until, refusals=budget.refusals + 1, is_probed=False)


def start_probe(budget: Budget, now: float) -> Budget:
    """With a probe under way, where one is due; else unchanged."""
    if not budget.is_shut or now < budget.shut_until:
        return budget
    return replace(budget, is_probed=True, shut_until=now + PROBE_SECONDS)


def reserve_slot(budget: Budget, earliest: float, min_spacing_seconds: float) -> Budget:
    """With the next call's slot, `last_slot`: not before `earliest`, and as far behind the one before as is due."""
    apart = max(min_spacing_seconds, spacing_seconds(budget.usage))
    following = budget.last_slot + apart
    is_plausible = following < earliest + MAX_WAITING_CALLS * apart
    return replace(budget, last_slot=max(earliest, following) if is_plausible else earliest + min_spacing_seconds)
