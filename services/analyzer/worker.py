"""One look at one conversation: read it whole, analyse what is new, write what changed, tell it."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from services.analyzer.analyst import Analyst, Brief, Line, Transcript
from services.analyzer.merge import NOTHING_LEFT, Placement, next_contact
from services.analyzer.outbox import Outbox
from services.analyzer.placement import Placements
from services.analyzer.queue import Claim, LeaseLostError
from services.analyzer.transcript import build_transcript, fingerprint
from shared.clock import Clock
from shared.contact_store import Contacts, Stored
from shared.contacts import Analysis, Contact
from shared.conversations import StoredMessage, from_document
from shared.events import compact
from shared.ids import content_hash
from shared.metrics import AnalyzerMetrics
from shared.mongo import Collection

NOTHING = content_hash([])

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reading:
    """A conversation as it is now."""

    messages: tuple[StoredMessage, ...]
    transcript: Transcript | None

    @property
    def has_message(self) -> bool:
        """Of a message that is known by a reaction or a deletion only, there is nothing to make a contact from."""
        return any(message.sent_at for message in self.messages)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.transcript) if self.transcript else NOTHING


class Worker:
    def __init__(
        self,
        messages: Collection,
        contacts: Contacts,
        outbox: Outbox,
        placements: Placements,
        analyst: Analyst,
        clock: Clock,
        metrics: AnalyzerMetrics,
    ) -> None:
        self._messages = messages
        self._contacts = contacts
        self._outbox = outbox
        self._placements = placements
        self._analyst = analyst
        self._clock = clock
        self._metrics = metrics

    async def work(self, claim: Claim) -> None:
        """Returns when the contact says what the conversation says, and every version of it is published.

        LeaseLostError when another worker has gone beyond this claim.
        """
        stored = await self._load(claim)
        reading = await self._read(claim)
        old = stored.contact if stored else None
        if old is None and not reading.has_message:
            self._tell(claim, reading, "no_contact")
            return
        placement = await self._placements.of(claim.conversation)
        known = old.analysis if old else None
        if known is None or known.fingerprint != reading.fingerprint:
            known = await self._analyse(reading, placement)
        outcome, contact = await self._record(claim, stored, reading, known, placement)
        self._tell(claim, reading, outcome, contact)

    async def _load(self, claim: Claim) -> Stored | None:
        """The contact, with nothing left in its outbox."""
        stored = await self._contacts.load(claim.contact_id)
        if stored and stored.fence > claim.fence:
            raise LeaseLostError(claim.contact_id)
        await self._outbox.drain(claim, stored.outbox if stored else ())
        return stored

    async def _read(self, claim: Claim) -> Reading:
        found = self._messages.find({"conversation": claim.contact_id}).sort([("sent_at", 1), ("_id", 1)])
        messages = tuple([from_document(stored) async for stored in found])
        return Reading(messages, build_transcript(claim.conversation.platform, messages))

    async def _analyse(self, reading: Reading, placement: Placement) -> Analysis:
        lines: tuple[Line, ...] = ()
        verdict = NOTHING_LEFT
        if reading.transcript:
            lines = reading.transcript.lines
            stages = placement.pipeline.stages if placement.pipeline else ()
            with self._metrics.analysis_seconds.time():
                verdict = await self._analyst.analyse(Brief(reading.transcript, self._clock(), stages))
        self._metrics.analyses.labels(verdict.source).inc()
        return Analysis(
            **verdict.model_dump(),
            fingerprint=reading.fingerprint,
            messages_read=len(lines),
            analysed_at=self._clock(),
        )

    async def _record(
        self, claim: Claim, stored: Stored | None, reading: Reading, analysis: Analysis, placement: Placement
    ) -> tuple[str, Contact]:
        """Where a person's edit came between, merges again: the analysis is not made anew for it."""
        while True:
            old, after = (stored.contact, stored.version) if stored else (None, 0)
            now = self._clock()
            change = next_contact(old, claim.conversation, reading.messages, analysis, placement, now, after)
            if change is None and old is not None:
                if await self._contacts.touch(old, claim.fence):
                    return "unchanged", old
            elif change and (entry := await self._contacts.write(change, claim.fence)):
                await self._outbox.drain(claim, [entry])
                return "updated" if old else "created", change.contact
            stored = await self._load(claim)

    def _tell(self, claim: Claim, reading: Reading, outcome: str, contact: Contact | None = None) -> None:
        """A line a conversation: ids and numbers, nothing that was said."""
        self._metrics.conversations.labels(outcome).inc()
        analysis = contact.analysis if contact else None
        log.info(
            "conversation_analysed",
            contact_id=claim.contact_id,
            messages=len(reading.messages),
            contact=outcome,
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
