"""Generates a corpus: two accounts, their customers and messages. The same seed and time give the same bytes."""

from __future__ import annotations

import base64
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.simulator.dialogue import LANGUAGES, Beat, DialogueWriter, catalogue
from services.simulator.identifiers import new_message_id, new_thread_id
from services.simulator.personas import Persona, personas
from shared.contract.ids import Platform

SHOP = "Casa Aurora Home"
PAGE_ID = "371000000000001"
INSTAGRAM_ID = "17841400000000001"
MAX_CONVERSATION_MESSAGES = {Platform.MESSENGER: 87, Platform.INSTAGRAM: 43}
MAX_OTHER_CONVERSATION_MESSAGES = {Platform.MESSENGER: 64, Platform.INSTAGRAM: 40}
STORY_LINES = 45
"""A conversation longer than one and a half times this consists of several stories: the customer comes back."""

PLACES = "Quezon City|Makati|Taguig|Pasig|Mandaluyong|Parañaque|Marikina|Cainta|Bacoor|Antipolo|Las Piñas".split("|")
BRANCHES, AGENTS = ("Shaw Boulevard", "Banawe", "Alabang"), ("Liza", "Mark", "Joy")
DAYS = ("Friday", "Saturday", "Monday", "Wednesday")

HOUR, DAY = 3_600.0, 86_400.0
PAUSES = {
    "opening": (0.0, 0.0), "brief": (0.0, 0.0), "question": (0.05 * HOUR, 9 * HOUR), "filler": (20.0, 0.2 * HOUR),
    "followup": (1 * DAY, 4 * DAY), "after": (1 * DAY, 3 * DAY), "ghost": (1 * DAY, 2 * DAY),
    "returning": (8 * DAY, 16 * DAY),
}  # fmt: skip
"""The least and most seconds before the first line of an episode, by its phase."""
OTHER_PAUSE = (0.5 * HOUR, 1 * DAY)
MAX_AGE_SECONDS = 90 * DAY


@dataclass(frozen=True, slots=True)
class SimulatedAccount:
    platform: Platform
    id: str
    page_id: str
    name: str
    username: str
    token: str


@dataclass(slots=True)
class SimulatedMessage:
    """`at` has milliseconds, as in webhooks. `attachment` is a key of `nodes.ATTACHMENTS` or `sticker`."""

    id: str
    at: datetime
    inbound: bool
    text: str
    attachment: str | None = None
    pressed: bool = False
    deleted: bool = False
    edits: int = 0
    reaction: str | None = None


@dataclass(slots=True)
class SimulatedConversation:
    thread_id: str
    customer: Persona
    messages: list[SimulatedMessage] = field(default_factory=list)  # oldest first, no two in one millisecond


@dataclass(slots=True)
class Corpus:
    accounts: list[SimulatedAccount]
    conversations: dict[str, list[SimulatedConversation]]  # by account id


def generate(seed: int, now: datetime, messenger: int = 59, instagram: int = 25, messages: int | None = None) -> Corpus:
    """Return a corpus with these numbers of conversations in the 90 days before `now`; the first is the longest.

    With `messages` every conversation has exactly that number, over as many days as they need.
    """
    rng = random.Random(f"leadstream-{seed}")  # noqa: S311
    token = "EAAG" + base64.b32encode(rng.randbytes(50)).decode().rstrip("=")
    accounts = [
        SimulatedAccount(Platform.MESSENGER, PAGE_ID, PAGE_ID, SHOP, "casaaurorahome", token),
        SimulatedAccount(Platform.INSTAGRAM, INSTAGRAM_ID, PAGE_ID, SHOP, "casaaurora.home", token),
    ]
    customers, conversations = personas(rng), {}
    for account, number in zip(accounts, (messenger, instagram), strict=True):
        lengths = [messages or MAX_CONVERSATION_MESSAGES[account.platform], *[messages] * (number - 1)][:number]
        conversations[account.id] = [_conversation(rng, account, next(customers), length, now) for length in lengths]
    return Corpus(accounts, conversations)


def _conversation(
    rng: random.Random, account: SimulatedAccount, customer: Persona, length: int | None, now: datetime
) -> SimulatedConversation:
    language = rng.choice(LANGUAGES)
    beats = (
        _stories_of(rng, language, customer, length)
        if length
        else DialogueWriter(rng, language, _slots(rng, customer)).write_arc(
            MAX_OTHER_CONVERSATION_MESSAGES[account.platform]
        )
    )
    lines = list(_timed(rng, beats))
    start = now - timedelta(seconds=lines[-1][0] + _silence(rng, beats, lines[-1][0]))
    conversation = SimulatedConversation(new_thread_id(rng, account.platform, account.id), customer)
    for offset, line in lines:
        at = start + timedelta(milliseconds=round(offset * 1000))
        message_id = new_message_id(rng, account.platform, account.id, conversation.thread_id)
        conversation.messages.append(_message(message_id, at, line))
    return conversation


def _stories_of(rng: random.Random, language: str, customer: Persona, length: int) -> list[Beat]:
    beats: list[Beat] = []
    while length > 0:
        of_this = STORY_LINES if length > 1.5 * STORY_LINES else length
        opening = "returning" if beats else "opening"
        beats += DialogueWriter(rng, language, _slots(rng, customer)).write_exactly(of_this, opening)
        length -= of_this
    return beats


def _slots(rng: random.Random, customer: Persona) -> dict[str, str]:
    product = rng.choice(catalogue())
    price = product["price"]
    details: dict[str, str] = {
        name: product[name] for name in ("size", "warranty", "running", "installation") if name in product
    }
    if colours := product.get("colours"):
        details |= {"colours": f"{', '.join(colours[:-1])} and {colours[-1]}", "colour": rng.choice(colours)}
    return details | {
        "shop": SHOP, "agent": rng.choice(AGENTS), "branch": rng.choice(BRANCHES), "place": rng.choice(PLACES),
        "first": customer.first, "last": customer.last, "email": customer.email, "phone": customer.phone,
        "product": product["name"], "price": f"{price:,}", "total": f"{price + 2950:,}",
        "discounted": f"{price * 0.92:,.0f}", "budget": f"{round(price * 0.9, -3):,.0f}",
        "monthly": f"{round(price / 12, -1):,.0f}", "day": rng.choice(DAYS), "order": str(rng.randint(10_400, 99_999)),
    }  # fmt: skip


def _timed(rng: random.Random, beats: list[Beat]) -> Iterator[tuple[float, str]]:
    """Yield every line with its seconds since the first. Consecutive lines of one side are often within a second."""
    at, side_before = 0.0, ""
    for beat in beats:
        for place, line in enumerate(beat.lines):
            if place == 0 or beat.phase == "ghost":
                at += rng.uniform(*PAUSES.get(beat.phase, OTHER_PAUSE))
            elif line[0] == side_before and rng.random() < 0.5:
                at += rng.uniform(0.15, 0.9)
            else:
                at += math.exp(rng.uniform(math.log(8), math.log(900)))
            side_before = line[0]
            yield at, line


def _silence(rng: random.Random, beats: list[Beat], duration_seconds: float) -> float:
    """Return the seconds since the last line: mostly hours, sometimes weeks, and days after a customer has left."""
    minimum = 4 * DAY if beats[-1].phase == "ghost" else 0.3 * HOUR
    maximum = max(minimum, min(80 * DAY, MAX_AGE_SECONDS - duration_seconds))
    return math.exp(rng.uniform(math.log(minimum), math.log(maximum)))


def _message(message_id: str, at: datetime, line: str) -> SimulatedMessage:
    side, _, text = line.partition(" ")
    attachment = None
    if text.endswith("]"):
        text, _, attachment = text[:-1].rpartition("[")
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    return SimulatedMessage(message_id, at, side != "<", text.strip(), attachment, pressed=side == "!")
