"""What the demo must come to, by the rules of the system that Leadstream replaces. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.contract.contacts import Contact, ContactUpdated
from shared.contract.ids import Platform
from shared.domain.runs import Run, RunState

MESSENGER_CONVERSATIONS, INSTAGRAM_CONVERSATIONS = 59, 25
LONGEST_MESSENGER, LONGEST_INSTAGRAM = 87, 43
MESSAGES_TOGETHER = 2000


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the comparison. `before` is what the replaced system did with its fault."""

    what: str
    before: str
    expected: str
    happened: str
    holds: bool


def equal(what: str, before: str, expected: object, happened: object) -> Check:
    return Check(what, before, str(expected), str(happened), expected == happened)


@dataclass(frozen=True, slots=True)
class BackfillResult:
    """What is there after the first backfill. `read` is messages listed per conversation, by platform."""

    runs: Sequence[Run]
    read: Mapping[Platform, Sequence[int]]
    contacts: Sequence[Contact]


def backfill_checks(seen: BackfillResult) -> list[Check]:
    listed = Counter({run.platform: run.counters.conversations_listed for run in seen.runs})
    together = sum(sum(numbers) for numbers in seen.read.values())
    by_platform = Counter(contact.platform for contact in seen.contacts)
    everyone = MESSENGER_CONVERSATIONS + INSTAGRAM_CONVERSATIONS
    staged = sum(contact.stage is not None for contact in seen.contacts)
    return [
        equal("Messenger conversations listed", "59", MESSENGER_CONVERSATIONS, listed[Platform.MESSENGER]),
        equal("Instagram conversations listed", "25", INSTAGRAM_CONVERSATIONS, listed[Platform.INSTAGRAM]),
        equal("messages of the longest, Messenger", "0", LONGEST_MESSENGER, _longest(seen, Platform.MESSENGER)),
        equal("messages of the longest, Instagram", "0", LONGEST_INSTAGRAM, _longest(seen, Platform.INSTAGRAM)),
        Check("messages fetched", "0", f"{MESSAGES_TOGETHER:,}+", f"{together:,}", together >= MESSAGES_TOGETHER),
        equal("contacts, Messenger", "0", MESSENGER_CONVERSATIONS, by_platform[Platform.MESSENGER]),
        equal("contacts, Instagram", "0", INSTAGRAM_CONVERSATIONS, by_platform[Platform.INSTAGRAM]),
        equal("contacts with a lead score of 0", "all", 0, sum(_score(contact) == 0 for contact in seen.contacts)),
        equal("contacts with an AI context", "0", everyone, sum(_has_summary(contact) for contact in seen.contacts)),
        equal("contacts with a pipeline stage", "0", everyone, staged),
        equal("sync", "stuck", "2 COMPLETED", _states(seen.runs)),
    ]  # fmt: skip


def version_checks(updates: Sequence[ContactUpdated], contacts: Sequence[Contact]) -> list[Check]:
    """Over everything on `contact-updated`: no hole, no version with two contents, the last one is what is stored."""
    contents: dict[tuple[str, int], set[str]] = {}
    for update in updates:
        contents.setdefault((update.contact_id, update.version), set()).add(update.contact.model_dump_json())
    published = Counter(contact_id for contact_id, _ in contents)
    stored = {contact.contact_id: contact.version for contact in contacts}
    holes = sum(published[contact_id] != version for contact_id, version in stored.items())
    two_contents = sum(len(variants) > 1 for variants in contents.values())
    return [
        Check("versions published", "–", "all", f"{len(contents):,}", bool(contents) and holes == 0),
        equal("versions published with two contents", "–", 0, two_contents),
    ]


def _longest(seen: BackfillResult, platform: Platform) -> int:
    return max(seen.read.get(platform, ()), default=0)


def _score(contact: Contact) -> int:
    return contact.analysis.lead_score if contact.analysis else 0


def _has_summary(contact: Contact) -> bool:
    return bool(contact.analysis and contact.analysis.summary)


def _states(runs: Sequence[Run]) -> str:
    completed = sum(run.state is RunState.COMPLETED for run in runs)
    return f"{completed} COMPLETED" if completed == len(runs) else ", ".join(run.state for run in runs)
