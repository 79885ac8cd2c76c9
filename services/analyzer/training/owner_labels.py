"""Labels that an account's people have set: the conversation as it stood then, and what may be right for it. Pure.

A person says one thing, not all: a status leaves several bands possible, and a stage several statuses. So a label has
all that what was said leaves possible. People set what they find wrong more often than what is right;
`owner_training` says how that is taken into account.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.analyzer.analysis.analyst import AnalysisInput
from services.analyzer.analysis.transcript import build_transcript
from shared.contract.contacts import Band, Contact, LeadStatus, StageRef, StageType, Verdict, band
from shared.domain.corrections import Correction, standing
from shared.domain.messages import StoredMessage
from shared.domain.pipelines import Pipeline

COLD, WARM, HOT, READY = Band
BANDS_OF_STATUS = {
    LeadStatus.NEW: {COLD, WARM},
    LeadStatus.CONTACTED: {COLD, WARM, HOT},
    LeadStatus.QUALIFIED: {WARM, HOT, READY},
    LeadStatus.PROPOSAL_SENT: {WARM, HOT},
    LeadStatus.NEGOTIATING: {WARM, HOT, READY},
    LeadStatus.WON: {READY},
    LeadStatus.LOST: {COLD},
    LeadStatus.UNRESPONSIVE: {COLD, WARM},
}
"""The bands that the labelled conversations of `make train` have beside a status, but for one in twenty."""
NO_LEAD_STATUSES = frozenset({LeadStatus.NEW, LeadStatus.CONTACTED, LeadStatus.LOST})
"""What authors of labelled conversations give to job seekers, suppliers and spam."""
STILL_OPEN = frozenset(LeadStatus) - {LeadStatus.WON, LeadStatus.LOST}
ANY_BAND, ANY_STATUS = frozenset(Band), frozenset(LeadStatus)


@dataclass(frozen=True, slots=True)
class OwnerLabel:
    """`bands` and `statuses` are those that may be right. `customer` is the contact's id."""

    customer: str
    analysis_input: AnalysisInput
    bands: frozenset[Band]
    statuses: frozenset[LeadStatus]

    def agrees(self, verdict: Verdict) -> bool:
        return band(verdict.lead_score) in self.bands and verdict.lead_status in self.statuses


def owner_labels(
    contact: Contact, corrections: Sequence[Correction], messages: Iterable[StoredMessage], pipeline: Pipeline | None
) -> list[OwnerLabel]:
    """Return what was said of a contact that still holds, each with the messages sent until then.

    Left out is what says nothing: an archived stage, or an edit before the first message that is still there.
    """
    known, found = list(messages), []
    for each in standing(contact, corrections):
        until = [message for message in known if message.sent_at and message.sent_at <= each.at]
        transcript = build_transcript(contact.platform, until)
        bands, statuses = _possible(each, pipeline)
        if transcript and (bands, statuses) != (ANY_BAND, ANY_STATUS):
            found.append(OwnerLabel(contact.contact_id, AnalysisInput(transcript, each.at), bands, statuses))
    return found


def _possible(correction: Correction, pipeline: Pipeline | None) -> tuple[frozenset[Band], frozenset[LeadStatus]]:
    """Return what all that was said leaves possible. Where it contradicts itself, the status counts first."""
    bands, statuses = ANY_BAND, ANY_STATUS
    for of_bands, of_statuses in _said(correction, pipeline):
        if bands & of_bands and statuses & of_statuses:
            bands, statuses = bands & of_bands, statuses & of_statuses
    return bands, statuses


def _said(correction: Correction, pipeline: Pipeline | None) -> Iterable[tuple[frozenset[Band], frozenset[LeadStatus]]]:
    if status := correction.status:
        yield frozenset(BANDS_OF_STATUS[status]), frozenset({status})
    if correction.not_a_lead:
        yield frozenset({COLD}), NO_LEAD_STATUSES
    if correction.stage:
        yield _of_stage(correction.stage, pipeline)


def _of_stage(stage: StageRef, pipeline: Pipeline | None) -> tuple[frozenset[Band], frozenset[LeadStatus]]:
    if stage.type is StageType.ARCHIVED:
        return ANY_BAND, ANY_STATUS
    if stage.type in (StageType.WON, StageType.LOST):
        status = LeadStatus(stage.type.value)
        return frozenset(BANDS_OF_STATUS[status]), frozenset({status})
    return _bands_of_open(stage.name, pipeline), STILL_OPEN


def _bands_of_open(name: str, pipeline: Pipeline | None) -> frozenset[Band]:
    """Return the bands of the stage's scores. The last open stage has the ready leads as well that are not won yet."""
    stage = pipeline.stage(name) if pipeline else None
    if pipeline is None or stage is None or stage.range is None:
        return ANY_BAND
    bands = frozenset(band(score) for score in range(stage.range.low, stage.range.high + 1))
    return bands | {READY} if stage == pipeline.open_stages[-1] else bands
