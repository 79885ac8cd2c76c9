"""The live part of the demo: scenes with the actions of people and the expected outcome of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from shared.contract.contacts import Contact, LeadStatus, StageType

Act = Callable[..., Awaitable[dict[str, Any]]]
"""`await act(act="say", who=…, text=…)` performs an action in the simulator and returns its response."""


@dataclass(frozen=True, slots=True)
class SceneOutcome:
    """A contact before and after one scene, its messages, and the response statuses of the webhooks."""

    before: Contact | None
    after: Contact | None
    statuses: list[int]
    texts: list[str]
    deleted_messages: int


@dataclass(frozen=True, slots=True)
class Scene:
    """`play` returns (contact id, statuses). The scene ends when its outcome `passed`."""

    title: str
    expected: str
    play: Callable[[Act], Awaitable[tuple[str, list[int]]]]
    passed: Callable[[SceneOutcome], bool]
    describe: Callable[[SceneOutcome], str]


NEW_CUSTOMER, RETURNING_CUSTOMER = "Carmela Dizon", "Maria Santos"
LAST_TEXT = "We will be there!"
DUPLICATED_TEXT = "See you at the showroom then!"
CORRECTED_TEXT = "Can you deliver to Cebu on Friday?"


async def _new_customer(act: Act) -> tuple[str, list[int]]:
    asked = await act(act="say", who=NEW_CUSTOMER, text="Hi po, magkano po yung standing desk?")
    return asked["contact_id"], [asked["status"]]


async def _more_messages(act: Act) -> tuple[str, list[int]]:
    lines = (
        ("Meron po kami for you, ₱13,990 po.", True),
        ("Available po ba sa Saturday? Dalawa po kukunin ko para sa office namin sa Makati", False),
        ("Yes po, may stock po tayo.", True),
        ("Sige po, paki-reserve. Magkano po ang delivery? Eto po number ko 0917 555 0142", False),
    )
    done = [await act(act="say", who=NEW_CUSTOMER, text=text, echo=echo) for text, echo in lines]
    return done[0]["contact_id"], [each["status"] for each in done]


async def _closed_deal(act: Act) -> tuple[str, list[int]]:
    lines = (
        ("Free delivery na po. Dito po ang GCash namin.", True),
        ("Nabayaran ko na po, eto po yung resibo. Deal na po!", False),
        ("Received na po ang payment, confirmed na po ang order. Salamat po!", True),
    )
    done = [await act(act="say", who=NEW_CUSTOMER, text=text, echo=echo) for text, echo in lines]
    return done[0]["contact_id"], [each["status"] for each in done]


async def _edit_and_deletion(act: Act) -> tuple[str, list[int]]:
    mistaken = await act(act="say", who=RETURNING_CUSTOMER, text="Can you deliver to Cebu on Firday?")
    edited = await act(act="edit", message_id=mistaken["message_id"], text=CORRECTED_TEXT)
    regretted = await act(act="say", who=RETURNING_CUSTOMER, text="My card number is 4111 1111 1111 1111")
    unsent = await act(act="unsend", message_id=regretted["message_id"])
    return mistaken["contact_id"], [each["status"] for each in (mistaken, edited, regretted, unsent)]


async def _duplicate_and_forgery(act: Act) -> tuple[str, list[int]]:
    sent = await act(act="say", who=RETURNING_CUSTOMER, text=DUPLICATED_TEXT)
    again = await act(act="resend")
    forged = await act(act="forge", who=RETURNING_CUSTOMER, text="Refund everything to this account")
    await act(act="say", who=RETURNING_CUSTOMER, text=LAST_TEXT, echo=True)
    return sent["contact_id"], [sent["status"], again["status"], forged["status"]]


def _score(contact: Contact | None) -> int:
    return contact.analysis.lead_score if contact and contact.analysis else 0


def _stage(contact: Contact | None) -> str:
    return contact.stage.name if contact and contact.stage else "none"


def _is_won(contact: Contact | None) -> bool:
    if contact is None or contact.analysis is None or contact.stage is None:
        return False
    return contact.analysis.lead_status is LeadStatus.WON and contact.stage.type is StageType.WON


def _is_once_and_not_forged(texts: list[str]) -> bool:
    """Return whether the duplicate is stored once and the forgery is not, once the last message has arrived."""
    forged = any("Refund" in text for text in texts)
    return LAST_TEXT in texts and texts.count(DUPLICATED_TEXT) == 1 and not forged


SCENES = (
    Scene(
        "a new customer asks for a price",
        "a new contact with a score",
        _new_customer,
        lambda o: o.before is None and _score(o.after) > 0,
        lambda o: f"score {_score(o.after)}, {_stage(o.after)}",
    ),
    Scene(
        "the customer orders two and gives a number",
        "a higher score and a phone number",
        _more_messages,
        lambda o: _score(o.after) > _score(o.before) and bool(o.after and o.after.phones),
        lambda o: f"score {_score(o.before)} → {_score(o.after)}, {', '.join(o.after.phones) if o.after else ''}",
    ),
    Scene(
        "the customer pays and the order is confirmed",
        "WON, in a stage of type WON",
        _closed_deal,
        lambda o: _is_won(o.after),
        lambda o: f"{o.after.analysis.lead_status if o.after and o.after.analysis else 'none'}, {_stage(o.after)}",
    ),
    Scene(
        "one message is edited and one is unsent",
        "edited, 1 deleted",
        _edit_and_deletion,
        lambda o: (
            o.deleted_messages == 1
            and CORRECTED_TEXT in o.texts
            and not any("Firday" in t or "4111" in t for t in o.texts)
        ),
        lambda o: f"{'edited' if CORRECTED_TEXT in o.texts else 'not edited'}, {o.deleted_messages} deleted",
    ),
    Scene(
        "a duplicate and a forged webhook arrive",
        "responses 200, 200, 403; stored 1×",
        _duplicate_and_forgery,
        lambda o: o.statuses == [200, 200, 403] and _is_once_and_not_forged(o.texts),
        lambda o: f"responses {', '.join(map(str, o.statuses))}; stored {o.texts.count(DUPLICATED_TEXT)}×",
    ),
)
