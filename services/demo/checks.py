"""Checks of the demo's results, with the counts that the replaced system's rules demand. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.contract.contacts import Contact, ContactUpdated
from shared.contract.ids import Platform
from shared.domain.runs import Run, RunState

MESSENGER_CONVERSATIONS, INSTAGRAM_CONVERSATIONS = 59, 25
MAX_MESSENGER_MESSAGES, MAX_INSTAGRAM_MESSAGES = 87, 43
"""The messages of the longest conversation of each platform."""
MIN_MESSAGES = 2000
"""The least messages of all conversations together."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table. `before` is the result of the faulty system that Leadstream replaces."""

    name: str
    before: str
    expected: str
    actual: str
    passed: bool


def equal(name: str, before: str, expected: object, actual: object) -> Check:
    return Check(name, before, str(expected), str(actual), expected == actual)


@dataclass(frozen=True, slots=True)
class BackfillResult:
    """The state after the first backfill. `messages_read` has the number for each conversation, by platform."""

    runs: Sequence[Run]
    messages_read: Mapping[Platform, Sequence[int]]
    contacts: Sequence[Contact]


def backfill_checks(result: BackfillResult) -> list[Check]:
    listed = Counter({run.platform: run.counters.conversations_listed for run in result.runs})
    messages = sum(sum(numbers) for numbers in result.messages_read.values())
    longest = {platform: max(result.messages_read.get(platform, ()), default=0) for platform in Platform}
    by_platform = Counter(contact.platform for contact in result.contacts)
    everyone = MESSENGER_CONVERSATIONS + INSTAGRAM_CONVERSATIONS
    staged = sum(contact.stage is not None for contact in result.contacts)
    return [
        equal("Messenger conversations listed", "59", MESSENGER_CONVERSATIONS, listed[Platform.MESSENGER]),
        equal("Instagram conversations listed", "25", INSTAGRAM_CONVERSATIONS, listed[Platform.INSTAGRAM]),
        equal("longest Messenger conversation (messages)", "0", MAX_MESSENGER_MESSAGES, longest[Platform.MESSENGER]),
        equal("longest Instagram conversation (messages)", "0", MAX_INSTAGRAM_MESSAGES, longest[Platform.INSTAGRAM]),
        Check("messages read", "0", f"{MIN_MESSAGES:,}+", f"{messages:,}", messages >= MIN_MESSAGES),
        equal("Messenger contacts", "0", MESSENGER_CONVERSATIONS, by_platform[Platform.MESSENGER]),
        equal("Instagram contacts", "0", INSTAGRAM_CONVERSATIONS, by_platform[Platform.INSTAGRAM]),
        equal("contacts with a lead score of 0", "all", 0, sum(_score(contact) == 0 for contact in result.contacts)),
        equal("contacts with a summary", "0", everyone, sum(_has_summary(contact) for contact in result.contacts)),
        equal("contacts with a pipeline stage", "0", everyone, staged),
        equal("backfill runs", "stuck", "2 COMPLETED", _states(result.runs)),
    ]  # fmt: skip


def version_checks(updates: Sequence[ContactUpdated], contacts: Sequence[Contact]) -> list[Check]:
    """Check all of `contact-updated`: versions without a gap, one content each, and the last is the stored one."""
    contents: dict[tuple[str, int], set[str]] = {}
    for update in updates:
        contents.setdefault((update.contact_id, update.version), set()).add(update.contact.model_dump_json())
    published = Counter(contact_id for contact_id, _ in contents)
    stored = {contact.contact_id: contact.version for contact in contacts}
    gaps = sum(published[contact_id] != version for contact_id, version in stored.items())
    two_contents = sum(len(variants) > 1 for variants in contents.values())
    all_published = bool(contents) and gaps == 0
    return [
        Check("contact versions published", "–", f"{sum(stored.values()):,}", f"{len(contents):,}", all_published),
        equal("versions with two different contents", "–", 0, two_contents),
    ]


def _score(contact: Contact) -> int:
    return contact.analysis.lead_score if contact.analysis else 0


def _has_summary(contact: Contact) -> bool:
    return bool(contact.analysis and contact.analysis.summary)


def _states(runs: Sequence[Run]) -> str:
    completed = sum(run.state is RunState.COMPLETED for run in runs)
    return f"{completed} COMPLETED" if completed == len(runs) else ", ".join(run.state for run in runs)
