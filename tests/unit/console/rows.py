"""Contacts and an index of them, for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from services.console.index.contact_index import ContactIndex, row_of
from shared.contract.contacts import (
    Analysis,
    AnalysisSource,
    Contact,
    LeadStatus,
    Name,
    NameSource,
    StageRef,
    StageType,
)
from shared.contract.ids import Platform

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def contact(customer: str, name: str = "Maria Santos", score: int = 0, **more: Any) -> Contact:
    """A contact who wrote `days` ago; `score` 0 is not analysed."""
    days, status = more.pop("days", 1), more.pop("by_machine", LeadStatus.NEW)
    source, summary = more.pop("source", AnalysisSource.AI), more.pop("summary", "Asks for a sofa.")
    stage = more.pop("stage", None)
    at = NOON - timedelta(days=days)
    fields: dict[str, Any] = {
        "contact_id": f"messenger:371:{customer}", "platform": Platform.MESSENGER, "account_id": "371",
        "customer_id": customer, "version": 1, "name": Name.split(name, NameSource.MESSAGE), "created_at": at,
        "updated_at": at, "last_inbound_at": at,
        "analysis": analysis(score, status, source, summary, at) if score else None,
        "stage": StageRef(pipeline="Sales", name=stage, type=StageType.LEAD) if stage else None,
    }  # fmt: skip
    return Contact(**{**fields, **more})


def analysis(
    score: int, status: LeadStatus, source: AnalysisSource = AnalysisSource.AI, summary: str = "", at: datetime = NOON
) -> Analysis:
    return Analysis(
        summary=summary, lead_score=score, lead_status=status, confidence=80, reasoning="", source=source,
        fingerprint="f", messages_read=3, analysed_at=at,
    )  # fmt: skip


def contact_index(*contacts: Contact) -> ContactIndex:
    made = ContactIndex()
    for each in contacts:
        made.put(row_of(each))
    return made
