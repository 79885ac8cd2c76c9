"""A seeded corpus: two accounts, their customers and what they wrote. The same seed and time give the same bytes."""

from __future__ import annotations

import base64
import random
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any

from services.simulator.people import PLACES, PRODUCTS, SLOTS_OF_TIME, Person, people
from shared.ids import Platform

SHOP = "Casa Aurora Home"
PAGE_ID = "371000000000001"
INSTAGRAM_ID = "17841400000000001"
MESSENGER_LENGTHS, INSTAGRAM_LENGTHS = (14, 46), (8, 28)
ATTACHMENTS = {"image": "image/jpeg", "file": "application/pdf", "voice": "audio/mp4", "video": "video/mp4"}


@dataclass(frozen=True, slots=True)
class Account:
    platform: Platform
    id: str
    page_id: str
    name: str
    username: str
    token: str


@dataclass(slots=True)
class Message:
    """`at` has milliseconds, as the webhook tells them. `attachment` is image, file, voice, video or sticker."""

    id: str
    at: datetime
    inbound: bool
    text: str
    attachment: str | None = None
    pressed: bool = False
    deleted: bool = False
    edits: int = 0


@dataclass(slots=True)
class Conversation:
    thread_id: str
    customer: Person
    messages: list[Message] = field(default_factory=list)  # oldest first


@dataclass(slots=True)
class Corpus:
    accounts: list[Account]
    conversations: dict[str, list[Conversation]]  # by account id


def generate(seed: int, now: datetime, messenger: int = 59, instagram: int = 25) -> Corpus:
    """So many conversations of each account, of which the longest have 87 and 43 messages, in ninety days."""
    rng = random.Random(f"leadstream-{seed}")  # noqa: S311
    token = base64.b32encode(rng.randbytes(50)).decode().rstrip("=")
    accounts = [
        Account(Platform.MESSENGER, PAGE_ID, PAGE_ID, SHOP, "casaaurorahome", f"EAAG{token}"),
        Account(Platform.INSTAGRAM, INSTAGRAM_ID, PAGE_ID, SHOP, "casaaurora.home", f"EAAG{token}"),
    ]
    scenarios = Scenarios.load()
    lengths = [
        [87, *_lengths(rng, messenger - 1, MESSENGER_LENGTHS)],
        [43, *_lengths(rng, instagram - 1, INSTAGRAM_LENGTHS)],
    ]
    crowd = people(rng, messenger + instagram)
    conversations = {}
    for account, of_account in zip(accounts, lengths, strict=True):
        made = [_converse(rng, account, next(crowd), scenarios, length, now) for length in of_account]
        conversations[account.id] = made
    return Corpus(accounts, conversations)


def _lengths(rng: random.Random, number: int, bounds: tuple[int, int]) -> list[int]:
    return [rng.randint(*bounds) for _ in range(number)]


@dataclass(frozen=True, slots=True)
class Scenarios:
    """Openings, middles and endings by language."""

    parts: dict[str, list[dict[str, Any]]]

    @classmethod
    def load(cls) -> Scenarios:
        return cls(tomllib.loads(files("services.simulator").joinpath("scenarios.toml").read_text()))

    def lines(self, rng: random.Random, language: str, length: int) -> list[str]:
        """An opening, as many middles as fit and an ending: exactly `length` lines, cut in the middles."""
        opening, ending = (rng.choice(self._of(part, language))["lines"] for part in ("opening", "ending"))
        middles: list[str] = []
        while len(middles) < length:
            for middle in rng.sample(self._of("middle", language), len(self._of("middle", language))):
                middles += middle["lines"]
        if length < len(opening) + len(ending):
            return [*opening, *ending][:length]
        return [*opening, *middles[: length - len(opening) - len(ending)], *ending]

    def _of(self, part: str, language: str) -> Sequence[dict[str, Any]]:
        return [scenario for scenario in self.parts[part] if scenario["language"] == language]


def _converse(
    rng: random.Random, account: Account, customer: Person, scenarios: Scenarios, length: int, now: datetime
) -> Conversation:
    slots = _slots(rng, customer)
    conversation = Conversation(new_thread_id(rng, account), customer)
    at = now - timedelta(minutes=rng.choice(SLOTS_OF_TIME) + rng.randint(0, 500))
    for line in reversed(scenarios.lines(rng, rng.choice(("en", "taglish")), length)):
        conversation.messages.append(_message(rng, account, conversation, line.format(**slots), at))
        at -= timedelta(
            milliseconds=rng.choice((400, 900, 45_000, 200_000, 2_500_000, 14_000_000)) + rng.randint(0, 90_000)
        )
    conversation.messages.reverse()
    return conversation


def _slots(rng: random.Random, customer: Person) -> dict[str, str]:
    product, price = rng.choice(PRODUCTS)
    return {
        "shop": SHOP,
        "first": customer.first,
        "last": customer.last,
        "email": customer.email,
        "phone": customer.phone,
        "product": product,
        "price": f"{price:,}",
        "monthly": f"{round(price / 12, -1):,.0f}",
        "total": f"{price + 2950:,}",
        "place": rng.choice(PLACES),
        "branch": rng.choice(("Shaw Boulevard", "Banawe", "Alabang")),
        "day": rng.choice(("Friday", "Saturday", "Monday", "Wednesday")),
        "order": str(rng.randint(10_400, 99_999)),
    }


def _message(rng: random.Random, account: Account, conversation: Conversation, line: str, at: datetime) -> Message:
    side, _, text = line.partition(" ")
    attachment = None
    if text.endswith("]"):
        text, _, attachment = text[:-1].rpartition("[")
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    message_id = new_message_id(rng, account, conversation)
    return Message(message_id, at, side != "<", text.strip(), attachment, pressed=side == "!")


def new_message_id(rng: random.Random, account: Account, conversation: Conversation) -> str:
    """In the real forms: `m_` and 64 bytes, of which 16 tell the thread; or Instagram's escaped base64 path."""
    if account.platform is Platform.MESSENGER:
        thread = random.Random(conversation.thread_id).randbytes(16)  # noqa: S311
        raw = rng.randbytes(16) + thread + rng.randbytes(32)
        return "m_" + base64.urlsafe_b64encode(raw).decode().rstrip("=")
    path = f"ig_dm_item:1:IGMessageID:{account.id}:{rng.randint(10**38, 10**39)}:{rng.randint(10**34, 10**35)}"
    return _instagram_id(path)


def new_thread_id(rng: random.Random, account: Account) -> str:
    if account.platform is Platform.MESSENGER:
        return f"t_{rng.randint(10**14, 10**15)}"
    return _instagram_id(f"ig_dm:1:IGMessageThread:{account.id}:{rng.randint(10**38, 10**39)}")


def _instagram_id(path: str) -> str:
    escapes = {"Z": "ZA", "+": "ZB", "/": "ZC", "=": "ZD"}
    return "".join(escapes.get(letter, letter) for letter in base64.b64encode(path.encode()).decode())
