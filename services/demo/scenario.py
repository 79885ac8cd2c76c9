"""The live part of the demo: what people do, and what must come of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from services.demo.checks import Check
from shared.contract.contacts import Contact, LeadStatus, StageType

Act = Callable[..., Awaitable[dict[str, Any]]]
"""`await act(act="say", who=…, text=…)`: does it in the simulator and returns its answer."""


@dataclass(frozen=True, slots=True)
class SceneOutcome:
    """A contact before and after one scene, and the statuses that the webhooks were answered with."""

    before: Contact | None
    after: Contact | None
    statuses: list[int]
    texts: list[str]
    unsent: int


@dataclass(frozen=True, slots=True)
class Scene:
    """`play` returns (contact id, statuses). It is over when `holds` is true of the contact."""

    title: str
    expected: str
    play: Callable[[Act], Awaitable[tuple[str, list[int]]]]
    holds: Callable[[SceneOutcome], bool]
    happened: Callable[[SceneOutcome], str]


def check(scene: Scene, outcome: SceneOutcome) -> Check:
    return Check(f"live: {scene.title}", "–", scene.expected, scene.happened(outcome), scene.holds(outcome))


NEWCOMER, RETURNING = "Carmela Dizon", "Maria Santos"
LAST_WORD = "We will be there!"
CORRECTED_TEXT = "Can you deliver to Cebu on Friday?"


async def _new_customer(act: Act) -> tuple[str, list[int]]:
    said = await act(act="say", who=NEWCOMER, text="Hi po, magkano po yung standing desk?")
    return said["contact_id"], [said["status"]]


async def _more_messages(act: Act) -> tuple[str, list[int]]:
    lines = (
        ("Meron po kami for you, ₱13,990 po.", True),
        ("Available po ba sa Saturday? Dalawa po kukunin ko para sa office namin sa Makati", False),
        ("Yes po, may stock po tayo.", True),
        ("Sige po, paki-reserve. Magkano po ang delivery? Eto po number ko 0917 555 0142", False),
    )
    done = [await act(act="say", who=NEWCOMER, text=text, echo=echo) for text, echo in lines]
    return done[0]["contact_id"], [each["status"] for each in done]


async def _deal(act: Act) -> tuple[str, list[int]]:
    lines = (
        ("Free delivery na po. Dito po ang GCash namin.", True),
        ("Nabayaran ko na po, eto po yung resibo. Deal na po!", False),
        ("Received na po ang payment, confirmed na po ang order. Salamat po!", True),
    )
    done = [await act(act="say", who=NEWCOMER, text=text, echo=echo) for text, echo in lines]
    return done[0]["contact_id"], [each["status"] for each in done]


async def _edit_and_unsend(act: Act) -> tuple[str, list[int]]:
    mistaken = await act(act="say", who=RETURNING, text="Can you deliver to Cebu on Firday?")
    edited = await act(act="edit", message_id=mistaken["message_id"], text=CORRECTED_TEXT)
    regretted = await act(act="say", who=RETURNING, text="My card number is 4111 1111 1111 1111")
    unsent = await act(act="unsend", message_id=regretted["message_id"])
    return mistaken["contact_id"], [each["status"] for each in (mistaken, edited, regretted, unsent)]


async def _duplicate_and_forgery(act: Act) -> tuple[str, list[int]]:
    said = await act(act="say", who=RETURNING, text="See you at the showroom then!")
    again = await act(act="resend")
    forged = await act(act="forge", who=RETURNING, text="Refund everything to this account")
    await act(act="say", who=RETURNING, text=LAST_WORD, echo=True)
    return said["contact_id"], [said["status"], again["status"], forged["status"]]


def _score(contact: Contact | None) -> int:
    return contact.analysis.lead_score if contact and contact.analysis else 0


def _stage(contact: Contact | None) -> str:
    return contact.stage.name if contact and contact.stage else "none"


def _is_won(contact: Contact | None) -> bool:
    if contact is None or contact.analysis is None or contact.stage is None:
        return False
    return contact.analysis.lead_status is LeadStatus.WON and contact.stage.type is StageType.WON


def _is_once_and_not_forged(texts: list[str]) -> bool:
    """To be asked when the last word has arrived: what came before it has arrived as well."""
    forged = any("Refund" in text for text in texts)
    return LAST_WORD in texts and texts.count("See you at the showroom then!") == 1 and not forged


SCENES = (
    Scene(
        "a new customer asks for a price",
        "a contact",
        _new_customer,
        lambda o: o.before is None and _score(o.after) > 0,
        lambda o: f"score {_score(o.after)}, {_stage(o.after)}",
    ),
    Scene(
        "she wants two, and leaves a number",
        "a higher score and a phone number",
        _more_messages,
        lambda o: _score(o.after) > _score(o.before) and bool(o.after and o.after.phones),
        lambda o: f"score {_score(o.before)} → {_score(o.after)}, {', '.join(o.after.phones) if o.after else ''}",
    ),
    Scene(
        "the deal is closed",
        "WON",
        _deal,
        lambda o: _is_won(o.after),
        lambda o: f"{o.after.analysis.lead_status if o.after and o.after.analysis else 'none'}, {_stage(o.after)}",
    ),
    Scene(
        "one message edited, one unsent",
        "mended, 1 gone",
        _edit_and_unsend,
        lambda o: (
            o.unsent == 1 and CORRECTED_TEXT in o.texts and not any("Firday" in t or "4111" in t for t in o.texts)
        ),
        lambda o: f"{'mended' if CORRECTED_TEXT in o.texts else 'not mended'}, {o.unsent} gone",
    ),
    Scene(
        "a duplicate, and a bad signature",
        "once; 200, 200, 403",
        _duplicate_and_forgery,
        lambda o: o.statuses == [200, 200, 403] and _is_once_and_not_forged(o.texts),
        lambda o: f"{', '.join(map(str, o.statuses))}",
    ),
)
