"""Generates customers: most with Filipino names, some with names from elsewhere."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle

FIRST_NAMES = (
    "Maria Jose Juan Angelica Mark John Grace Jasmine Paolo Bea Miguel Katrina Rafael Kristine Carlo Nicole Andrea "
    "Joshua Camille Francis Patricia Gabriel Hannah Luis Sofia Daniel Michelle Anton Isabel Kevin Jhun Rowena Marites "
    "Arnel Jennylyn Rodel"
).split()  # fmt: skip
LAST_NAMES = (
    "Santos Reyes Cruz Bautista Ocampo Garcia Mendoza Torres Castillo Villanueva Ramos Aquino Navarro Salazar Domingo "
    "Mercado Pascual Soriano Lim Tan Sy Chua Dela_Cruz San_Jose Macaraeg Dimaculangan Peñaflor Batungbakal"
).split()  # fmt: skip
FOREIGN_NAMES = (
    "Emma_Schneider Lucas_Rossi Hiroshi_Tanaka Fatima_Hassan Noah_Williams Elena_Müller Omar_Farouk Priya_Kumar "
    "Chen_Wei Aisha_Rahman Sarah_O'Connor Kim_Min-ji Nguyễn_Thu_Hà João_Silva"
).split()  # fmt: skip
FOREIGN_NAME_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Persona:
    """A customer. `id` is the scoped id; `shows_name` is whether Instagram shows the name beside the username."""

    id: str
    first: str
    last: str
    username: str
    email: str
    phone: str
    shows_name: bool

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}".strip()


def personas(rng: random.Random) -> Iterator[Persona]:
    """Yield personas without end. Maria Santos is first, and names repeat only when all were used."""
    local = [(first, last.replace("_", " ")) for first in FIRST_NAMES for last in LAST_NAMES]
    local.remove(("Maria", "Santos"))
    rng.shuffle(local)
    abroad = [split_name(name.replace("_", " ")) for name in rng.sample(FOREIGN_NAMES, len(FOREIGN_NAMES))]
    locals_, strangers = cycle(local), iter(abroad)
    yield new_persona(rng, "Maria", "Santos")
    while True:
        chosen = next(strangers, None) if rng.random() < FOREIGN_NAME_SHARE else None
        yield new_persona(rng, *(chosen or next(locals_)))


def new_persona(rng: random.Random, first: str, last: str) -> Persona:
    """Return a persona with an e-mail address of a reserved domain and a Philippine mobile number in a usual format."""
    handle = _handle(f"{first}.{last}")
    return Persona(
        id=str(rng.randint(10**15, 10**17 - 1)),
        first=first,
        last=last,
        username=f"{handle}{rng.choice(('', '_', '.ph', '_official'))}{rng.randint(1, 99)}",
        email=f"{handle}@example.com",
        phone=_phone(rng),
        shows_name=rng.random() < 0.6,
    )


def split_name(name: str) -> tuple[str, str]:
    first, _, last = name.partition(" ")
    return first, last


def _phone(rng: random.Random) -> str:
    prefix, rest = rng.choice(("917", "918", "927", "956", "995")), f"{rng.randint(0, 9999):04}"
    form = rng.choice(("0{}555{}", "0{} 555 {}", "0{}-555-{}", "+63 {} 555 {}", "+63{}555{}"))
    return form.format(prefix, rest)


def _handle(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9.]", "", plain).strip(".") or "customer"
