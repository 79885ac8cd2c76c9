"""Who writes, and about what."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

FIRST = (
    "Maria Jose Juan Angelica Mark John Grace Jasmine Paolo Bea Miguel Katrina Rafael Kristine Carlo Nicole Andrea "
    "Joshua Camille Francis Patricia Gabriel Hannah Luis Sofia Daniel Michelle Anton Isabel Kevin Priya Chen Aisha "
    "Emma Lucas Hiroshi Fatima Noah Elena Omar"
).split()  # fmt: skip
LAST = (
    "Santos Reyes Cruz Bautista Ocampo Garcia Mendoza Torres Castillo Villanueva Ramos Aquino Navarro Salazar "
    "Domingo Mercado Pascual Soriano Lim Tan Sy Chua Dela_Cruz San_Jose Smith Kumar Tanaka Hassan Müller Rossi"
).split()  # fmt: skip
PLACES = (
    "Quezon City",
    "Makati",
    "Taguig",
    "Pasig",
    "Mandaluyong",
    "Parañaque",
    "Marikina",
    "Cainta",
    "Bacoor",
    "Antipolo",
)
PRODUCTS = (
    ("1.5 HP inverter aircon", 32_500),
    ("L-shaped sofa", 24_800),
    ("six-seater dining set", 28_900),
    ("two-door refrigerator", 21_995),
    ("queen size bed frame", 15_500),
    ("front load washing machine", 26_750),
    ("solar panel kit", 78_000),
    ("standing desk", 13_990),
    ("55-inch smart TV", 24_500),
    ("kitchen cabinet set", 46_000),
)
SLOTS_OF_TIME = (40, 600, 1_500, 3_000, 8_000, 16_000, 30_000, 60_000, 120_000)
"""Minutes since the last message: from within the hour to three months."""


@dataclass(frozen=True, slots=True)
class Person:
    """`id` is the scoped id. `phone` is a Philippine mobile number, `email` of a reserved domain."""

    id: str
    first: str
    last: str
    username: str
    email: str
    phone: str

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"


def people(rng: random.Random, number: int) -> Iterator[Person]:
    """`number` people with names of their own; Maria Santos is always the first."""
    pairs = [(first, last.replace("_", " ")) for first in FIRST for last in LAST]
    rest = [pair for pair in pairs if pair != ("Maria", "Santos")]
    rng.shuffle(rest)
    for first, last in [("Maria", "Santos"), *rest][:number]:
        yield person(rng, first, last)


def person(rng: random.Random, first: str, last: str) -> Person:
    handle = f"{first}.{last}".lower().replace(" ", "").replace("ü", "u")
    phone = f"09{rng.choice(('17', '18', '27', '56', '95'))}{rng.randint(1_000_000, 9_999_999)}"
    return Person(
        str(rng.randint(10**15, 10**16)), first, last, f"{handle}{rng.randint(1, 99)}", f"{handle}@example.com", phone
    )
