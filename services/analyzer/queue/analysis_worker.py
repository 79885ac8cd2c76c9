"""A look at a group of conversations: read each whole, analyse what is new, write what changed, tell it.

Groups go through the steps together because one query or write for many costs a fraction of many; only who has to wait
for the AI goes on alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from services.analyzer.analysis.analyst import AnalysisInput, Analyst
from services.analyzer.analysis.resilient import ResilientAnalyst
from services.analyzer.contact.conversation_loader import MAX_GROUP_MESSAGES, ConversationLoader, LoadedConversation
from services.analyzer.contact.merge import NOTHING_LEFT, Placement, next_contact
from services.analyzer.contact.outbox import Due, Outbox
from services.analyzer.contact.pipeline_assignment import PipelineAssignments, account_of
from services.analyzer.queue.claim_queue import Claim, is_still_held, log_lost_lease
from shared.contract.contacts import Analysis, AnalysisSource, Change, Contact, Verdict
from shared.contract.events import compact
from shared.runtime.clock import Clock
from shared.runtime.metrics import AnalyzerMetrics
from shared.store.activities import ActivityStore
from shared.store.contact_versions import FenceWrite, OutboxEntry, StoredContact, VersionWrite
from shared.store.contacts import Contacts

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class ConversationSnapshot:
    """A conversation and its contact as they are now."""

    claim: Claim
    stored: StoredContact | None
    reading: LoadedConversation
    placement: Placement

    @property
    def old(self) -> Contact | None:
        return self.stored.contact if self.stored else None

    @property
    def known(self) -> Analysis | None:
        """The analysis of what is said, if it was made before."""
        analysis = self.old.analysis if self.old else None
        return analysis if analysis and analysis.fingerprint == self.reading.fingerprint else None

    @property
    def is_unsaid(self) -> bool:
        """Whether an earlier analysis may have told of what is unsent now."""
        return self.old is not None and self.known is None and self.reading.has_unsent

    @property
    def makes_contact(self) -> bool:
        return self.old is not None or self.reading.has_message


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisOutcome:
    """What came of a look: its contact, and what is to be published of it: what was `waiting`, oldest first, and `new`.

    `is_unanswered`: a person wanted it analysed anew, and what the AI said before stands until the AI is to be had.
    """

    claim: Claim
    messages: int
    outcome: str
    contact: Contact | None
    waiting: tuple[OutboxEntry, ...]
    new: OutboxEntry | None = None
    is_unanswered: bool = False

    @property
    def is_left_to_ai(self) -> bool:
        return self.is_fallback or self.is_unanswered

    @property
    def is_fallback(self) -> bool:
        """Whether there was something to read, and no AI read it."""
        analysis = self.contact.analysis if self.contact else None
        return analysis is not None and analysis.source is AnalysisSource.FALLBACK and analysis.messages_read > 0


class AnalysisWorker:
    """`has_ai`: an analysis may take long, and what the fallback said is to be said again by the AI."""

    def __init__(
        self,
        histories: ConversationLoader,
        contacts: Contacts,
        activities: ActivityStore,
        outbox: Outbox,
        placements: PipelineAssignments,
        analyst: Analyst,
        clock: Clock,
        metrics: AnalyzerMetrics,
    ) -> None:
        self._histories = histories
        self._contacts = contacts
        self._activities = activities
        self._outbox = outbox
        self._placements = placements
        self._analyst = analyst
        self._ai = analyst if isinstance(analyst, ResilientAnalyst) else None
        self._clock = clock
        self._metrics = metrics

    @property
    def has_ai(self) -> bool:
        return self._ai is not None

    async def read(
        self, claims: Sequence[Claim], limit: int | None = MAX_GROUP_MESSAGES
    ) -> list[ConversationSnapshot] | None:
        """What there is of each; None when they have more than `limit` messages between them.

        Those that another worker has gone beyond are left out.
        """
        histories, stored, placements = await asyncio.gather(
            self._histories.of([claim.conversation for claim in claims], limit),
            self._contacts.load_all(claim.contact_id for claim in claims),
            self._placements.of(claim.conversation for claim in claims),
        )
        if histories is None:
            return None
        looks = []
        for claim in claims:
            known = stored.get(claim.contact_id)
            if known and known.fence > claim.fence:
                log_lost_lease(claim)
            else:
                placement = placements[account_of(claim.conversation)]
                looks.append(ConversationSnapshot(claim, known, histories[claim.contact_id], placement))
        return looks

    def is_slow(self, look: ConversationSnapshot) -> bool:
        """Whether it has to wait for the AI."""
        return self._ai is not None and look.reading.transcript is not None and self._is_asked(look)

    async def record(self, looks: Sequence[ConversationSnapshot]) -> list[AnalysisOutcome]:
        """Those whose contact says what the conversation says. Where a person's edit comes between, it is merged again,
        and the analysis is not made anew for it."""
        await self._activities.withdraw_reasoning(look.claim.contact_id for look in looks if look.is_unsaid)
        recorded = [_without_contact(look) for look in looks if not look.makes_contact]
        left = [(look, await self._analysis(look)) for look in looks if look.makes_contact]
        in_vain = {look.claim.contact_id for look, it in left if look.claim.reanalyse and it is look.known}
        while left := [(look, analysis) for look, analysis in left if is_still_held(look.claim)]:
            changes = [(look, await self._change(look, analysis)) for look, analysis in left]
            entries = await self._contacts.write_all([_write(look, change) for look, change in changes])
            for look, change in changes:
                if (contact_id := look.claim.contact_id) in entries:
                    recorded.append(_recorded(look, change, entries[contact_id], is_unanswered=contact_id in in_vain))
            left = await self._again([pair for pair in left if pair[0].claim.contact_id not in entries])
        return recorded

    async def tell(self, recorded: Sequence[AnalysisOutcome]) -> list[AnalysisOutcome]:
        """Those of which all versions are published."""
        published = await self._outbox.drain_all([Due(each.claim, each.waiting, each.new) for each in recorded])
        ids = {claim.contact_id for claim in published}
        told = [each for each in recorded if each.claim.contact_id in ids]
        for each in told:
            self._log(each)
        return told

    def _is_asked(self, look: ConversationSnapshot) -> bool:
        """Whether there is something to ask an analyst for."""
        return look.known is None or look.claim.reanalyse or self._is_asked_again(look)

    def _is_asked_again(self, look: ConversationSnapshot) -> bool:
        return bool(look.claim.is_ai_retry and look.known and look.known.source is AnalysisSource.FALLBACK)

    async def _analysis(self, look: ConversationSnapshot) -> Analysis:
        if look.known and not self._is_asked(look):
            return look.known
        verdict: Verdict | None = NOTHING_LEFT
        transcript = look.reading.transcript
        if transcript:
            stages = look.placement.pipeline.stages if look.placement.pipeline else ()
            with self._metrics.analysis_seconds.time():
                verdict = await self._ask(look, AnalysisInput(transcript, self._clock(), stages))
        if verdict is None and look.known:
            return look.known
        verdict = verdict or NOTHING_LEFT
        self._metrics.analyses.labels(verdict.source).inc()
        return Analysis(
            **verdict.model_dump(),
            fingerprint=look.reading.fingerprint,
            messages_read=len(transcript.lines) if transcript else 0,
            analysed_at=self._clock(),
        )

    async def _ask(self, look: ConversationSnapshot, analysis_input: AnalysisInput) -> Verdict | None:
        """None when the AI alone was asked, and is not to be had: the fallback takes the place of no AI's verdict on
        the same messages."""
        is_by_ai = look.known and look.known.source is AnalysisSource.AI
        if self._ai and look.known and (is_by_ai or not look.claim.reanalyse):
            return await self._ai.analyse_by_ai(analysis_input)
        return await self._analyst.analyse(analysis_input)

    async def _change(self, look: ConversationSnapshot, analysis: Analysis) -> Change | None:
        after, messages = look.stored.version if look.stored else 0, look.reading.messages
        told = look.old, look.claim.conversation, messages, analysis, look.placement, self._clock(), after
        return await asyncio.to_thread(next_contact, *told) if look.reading.is_long else next_contact(*told)

    async def _again(
        self, left: Sequence[tuple[ConversationSnapshot, Analysis]]
    ) -> list[tuple[ConversationSnapshot, Analysis]]:
        """With the contacts as they are now; one may be what was just written, though the answer denied it. Who was
        forgotten meanwhile is not written from what was read before."""
        if not left:
            return []
        stored = await self._contacts.load_all(look.claim.contact_id for look, _ in left)
        again = []
        for look, analysis in left:
            look.claim.may_be_unpublished = True
            new = replace(look, stored=stored.get(look.claim.contact_id))
            if (new.stored and new.stored.fence > look.claim.fence) or (look.old and not new.old):
                log_lost_lease(look.claim)
            else:
                again.append((new, analysis))
        return again

    def _log(self, each: AnalysisOutcome) -> None:
        """A line a conversation: ids and numbers, nothing that was said."""
        self._metrics.conversations.labels(each.outcome).inc()
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


def _write(look: ConversationSnapshot, change: Change | None) -> VersionWrite | FenceWrite:
    before = look.stored.version if look.stored else 0
    if change is None:
        return FenceWrite(look.claim.contact_id, before, look.claim.fence)
    over = look.stored.own if look.stored and look.claim.may_be_unpublished else None
    return VersionWrite(change, before, look.claim.fence, over)


def _without_contact(look: ConversationSnapshot) -> AnalysisOutcome:
    return AnalysisOutcome(look.claim, len(look.reading.messages), "no_contact", None, _waiting(look))


def _recorded(
    look: ConversationSnapshot, change: Change | None, entry: OutboxEntry | None, *, is_unanswered: bool
) -> AnalysisOutcome:
    outcome = "unchanged" if change is None else "updated" if look.old else "created"
    contact = change.contact if change else look.old
    messages = len(look.reading.messages)
    return AnalysisOutcome(look.claim, messages, outcome, contact, _waiting(look), entry, is_unanswered=is_unanswered)


def _waiting(look: ConversationSnapshot) -> tuple[OutboxEntry, ...]:
    """What an earlier holder, or a person, has left to be published."""
    return look.stored.unpublished(may_be_unpublished=look.claim.may_be_unpublished) if look.stored else ()
