"""One analysis of a group of conversations: read each whole, analyse what is new, write what changed, publish it.

The steps are taken as a group because one query or write for many costs a fraction of many. A conversation that has to
wait for the AI continues alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from services.analyzer.analysis.analyst import AnalysisInput
from services.analyzer.analysis.resilient import ResilientAnalyst
from services.analyzer.contact.conversation_loader import MAX_GROUP_MESSAGES, ConversationLoader, LoadedConversation
from services.analyzer.contact.merge import NOTHING_LEFT, Placement, next_contact
from services.analyzer.contact.outbox import Outbox, Publication
from services.analyzer.contact.pipeline_assignment import PipelineAssignments, account_of
from services.analyzer.queue.claim_queue import Claim, is_still_held, log_lost_lease
from shared.contract.contacts import Analysis, AnalysisSource, Change, Contact, Verdict
from shared.contract.events import compact
from shared.runtime.clock import Clock
from shared.runtime.metrics import AnalyzerMetrics
from shared.store.activities import ActivityStore
from shared.store.contact_versions import OutboxEntry, StoredContact, next_write
from shared.store.contacts import Contacts

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class ConversationSnapshot:
    """A conversation and its contact, as they are when they are read."""

    claim: Claim
    stored: StoredContact | None
    loaded: LoadedConversation
    placement: Placement

    @property
    def contact(self) -> Contact | None:
        return self.stored.contact if self.stored else None

    @property
    def known(self) -> Analysis | None:
        """The stored analysis, if it is of the messages as they are now."""
        analysis = self.contact.analysis if self.contact else None
        return analysis if analysis and analysis.fingerprint == self.loaded.fingerprint else None

    @property
    def may_quote_deleted(self) -> bool:
        """Whether an earlier analysis may quote a message that is deleted now."""
        return self.contact is not None and self.known is None and self.loaded.has_deleted

    @property
    def makes_contact(self) -> bool:
        return self.contact is not None or self.loaded.has_message

    @property
    def unpublished(self) -> tuple[OutboxEntry, ...]:
        """What an earlier worker, or a person, has left to be published."""
        if self.stored is None:
            return ()
        return self.stored.unpublished(may_be_unpublished=self.claim.may_be_unpublished)


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisOutcome:
    """The result of one analysis: the contact, and what to publish: `unpublished` entries, oldest first, then `new`.

    `is_unanswered`: a person asked for a new analysis and the AI failed, so its earlier analysis stays.
    """

    claim: Claim
    messages: int
    outcome: str
    contact: Contact | None
    unpublished: tuple[OutboxEntry, ...]
    new: OutboxEntry | None = None
    is_unanswered: bool = False

    @property
    def needs_ai_retry(self) -> bool:
        return self.is_fallback or self.is_unanswered

    @property
    def is_fallback(self) -> bool:
        """Whether there was something to read and the fallback read it."""
        analysis = self.contact.analysis if self.contact else None
        return analysis is not None and analysis.source is AnalysisSource.FALLBACK and analysis.messages_read > 0


class AnalysisWorker:
    def __init__(
        self,
        loader: ConversationLoader,
        contacts: Contacts,
        activities: ActivityStore,
        outbox: Outbox,
        assignments: PipelineAssignments,
        analyst: ResilientAnalyst,
        clock: Clock,
        metrics: AnalyzerMetrics,
    ) -> None:
        self._loader = loader
        self._contacts = contacts
        self._activities = activities
        self._outbox = outbox
        self._assignments = assignments
        self._analyst = analyst
        self._clock = clock
        self._metrics = metrics

    @property
    def has_ai(self) -> bool:
        return self._analyst.has_ai

    async def read(
        self, claims: Sequence[Claim], limit: int | None = MAX_GROUP_MESSAGES
    ) -> list[ConversationSnapshot] | None:
        """Return the conversations, without those that another worker has claimed since.

        None when they have more than `limit` messages in all.
        """
        loaded, stored, placements = await asyncio.gather(
            self._loader.load([claim.conversation for claim in claims], limit),
            self._contacts.load_all(claim.contact_id for claim in claims),
            self._assignments.of(claim.conversation for claim in claims),
        )
        if loaded is None:
            return None
        snapshots = []
        for claim in claims:
            contact = stored.get(claim.contact_id)
            if contact and contact.fence > claim.fence:
                log_lost_lease(claim)
            else:
                placement = placements[account_of(claim.conversation)]
                snapshots.append(ConversationSnapshot(claim, contact, loaded[claim.contact_id], placement))
        return snapshots

    def waits_for_ai(self, snapshot: ConversationSnapshot) -> bool:
        return self.has_ai and snapshot.loaded.transcript is not None and self._needs_analysis(snapshot)

    async def record(self, snapshots: Sequence[ConversationSnapshot]) -> list[AnalysisOutcome]:
        """Analyse, write the contacts, and return those that say what their conversation says.

        When a person's edit gets between, the same analysis is merged again into the edited contact.
        """
        await self._activities.withdraw_reasoning(each.claim.contact_id for each in snapshots if each.may_quote_deleted)
        recorded = [_without_contact(each) for each in snapshots if not each.makes_contact]
        pairs = [(each, await self._analysis(each)) for each in snapshots if each.makes_contact]
        unanswered = {each.claim.contact_id for each, it in pairs if each.claim.reanalyse and it is each.known}
        while pairs := [(each, analysis) for each, analysis in pairs if is_still_held(each.claim)]:
            changes = [(each, await self._change(each, analysis)) for each, analysis in pairs]
            entries = await self._contacts.write_all(
                [
                    next_write(
                        each.claim.contact_id,
                        each.stored,
                        change,
                        each.claim.fence,
                        may_be_unpublished=each.claim.may_be_unpublished,
                    )
                    for each, change in changes
                ]
            )
            for each, change in changes:
                if (contact_id := each.claim.contact_id) in entries:
                    is_unanswered = contact_id in unanswered
                    recorded.append(_recorded(each, change, entries[contact_id], is_unanswered=is_unanswered))
            pairs = await self._reread([pair for pair in pairs if pair[0].claim.contact_id not in entries])
        return recorded

    async def publish(self, recorded: Sequence[AnalysisOutcome]) -> list[AnalysisOutcome]:
        """Publish all versions and return the outcomes of which all are acknowledged."""
        published = await self._outbox.publish_all(
            [Publication(each.claim, each.unpublished, each.new) for each in recorded]
        )
        ids = {claim.contact_id for claim in published}
        done = [each for each in recorded if each.claim.contact_id in ids]
        for each in done:
            self._log(each)
        return done

    def _needs_analysis(self, snapshot: ConversationSnapshot) -> bool:
        return snapshot.known is None or snapshot.claim.reanalyse or self._needs_ai_retry(snapshot)

    def _needs_ai_retry(self, snapshot: ConversationSnapshot) -> bool:
        known = snapshot.known
        return snapshot.claim.is_ai_retry and known is not None and known.source is AnalysisSource.FALLBACK

    async def _analysis(self, snapshot: ConversationSnapshot) -> Analysis:
        if snapshot.known and not self._needs_analysis(snapshot):
            return snapshot.known
        verdict: Verdict | None = NOTHING_LEFT
        transcript = snapshot.loaded.transcript
        if transcript:
            placement = snapshot.placement
            stages = placement.pipeline.stages if placement.pipeline else ()
            account = account_of(snapshot.claim.conversation)
            analysis_input = AnalysisInput(
                transcript, self._clock(), stages, placement.account_name, placement.timezone, account
            )
            with self._metrics.analysis_seconds.time():
                verdict = await self._ask(snapshot, analysis_input)
        if verdict is None and snapshot.known:
            return snapshot.known
        verdict = verdict or NOTHING_LEFT
        self._metrics.analyses[verdict.source].inc()
        return Analysis(
            **verdict.model_dump(),
            fingerprint=snapshot.loaded.fingerprint,
            messages_read=len(transcript.lines) if transcript else 0,
            analysed_at=self._clock(),
        )

    async def _ask(self, snapshot: ConversationSnapshot, analysis_input: AnalysisInput) -> Verdict | None:
        """Return a verdict; None when only the AI was asked and it failed.

        The fallback never replaces the AI's verdict on the same messages.
        """
        is_by_ai = snapshot.known and snapshot.known.source is AnalysisSource.AI
        if self.has_ai and snapshot.known and (is_by_ai or not snapshot.claim.reanalyse):
            return await self._analyst.analyse_by_ai(analysis_input)
        return await self._analyst.analyse(analysis_input)

    async def _change(self, snapshot: ConversationSnapshot, analysis: Analysis) -> Change | None:
        """Return the next version. Merging a long conversation takes a thread."""
        last_version, loaded = snapshot.stored.version if snapshot.stored else 0, snapshot.loaded
        arguments = (
            snapshot.contact, snapshot.claim.conversation, loaded.messages, analysis, snapshot.placement,
            self._clock(), last_version,
        )  # fmt: skip
        return await asyncio.to_thread(next_contact, *arguments) if loaded.is_long else next_contact(*arguments)

    async def _reread(
        self, pairs: Sequence[tuple[ConversationSnapshot, Analysis]]
    ) -> list[tuple[ConversationSnapshot, Analysis]]:
        """Return the pairs with the contacts as they are now; their versions may be unpublished (`contact_versions`).

        A customer who was erased meanwhile is left out: nothing is written from what was read before.
        """
        if not pairs:
            return []
        stored = await self._contacts.load_all(each.claim.contact_id for each, _ in pairs)
        reread = []
        for each, analysis in pairs:
            each.claim.may_be_unpublished = True
            new = replace(each, stored=stored.get(each.claim.contact_id))
            if (new.stored and new.stored.fence > each.claim.fence) or (each.contact and not new.contact):
                log_lost_lease(each.claim)
            else:
                reread.append((new, analysis))
        return reread

    def _log(self, each: AnalysisOutcome) -> None:
        """Log ids and numbers, nothing of what was said."""
        self._metrics.conversations[each.outcome].inc()
        contact = each.contact
        analysis = contact.analysis if contact else None
        log.info(
            "conversation_analysed",
            contact_id=each.claim.contact_id,
            messages=each.messages,
            contact=each.outcome,
            **compact(
                {
                    "version": contact.version if contact else None,
                    "analysed_by": analysis.source if analysis else None,
                    "score": analysis.lead_score if analysis else None,
                    "status": analysis.lead_status if analysis else None,
                    "stage": contact.stage.name if contact and contact.stage else None,
                }
            ),
        )


def _without_contact(snapshot: ConversationSnapshot) -> AnalysisOutcome:
    messages = len(snapshot.loaded.messages)
    return AnalysisOutcome(snapshot.claim, messages, "no_contact", None, snapshot.unpublished)


def _recorded(
    snapshot: ConversationSnapshot, change: Change | None, entry: OutboxEntry | None, *, is_unanswered: bool
) -> AnalysisOutcome:
    outcome = "unchanged" if change is None else "updated" if snapshot.contact else "created"
    contact = change.contact if change else snapshot.contact
    messages, unpublished = len(snapshot.loaded.messages), snapshot.unpublished
    return AnalysisOutcome(snapshot.claim, messages, outcome, contact, unpublished, entry, is_unanswered=is_unanswered)
