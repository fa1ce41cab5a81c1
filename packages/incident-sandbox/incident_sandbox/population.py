"""Crowds: as many plausible members as a large workspace has, the same ones each time."""

from __future__ import annotations

import random
from collections.abc import Iterator

from incident_sandbox.entities import Person

FIRST = (
    "Aisha Ana Anders Bea Bilal Carla Chen Daniel Deepa Elena Emeka Eva Farid Greta Hana Hugo Ines "
    "Ivan Jana Javier Jin Kaja Karim Lara Leo Lina Luca Malik Maria Marta Mina Nadia Nils Nora Omar "
    "Oscar Paula Petra Rafael Rosa Sara Sven Tara Theo Uma Viktor Wanda Xin Yara Zofia"
)
LAST = (
    "Abbas Almeida Andersson Baker Bianchi Brown Castro Cohen Costa Davies Diaz Dubois Evans Fischer "
    "Fontaine Gomez Gupta Haas Hansen Ibrahim Ito Jansen Kaya Khan Kim Kovacs Kumar Larsen Lopez "
    "Meyer Moreau Nguyen Novak Okafor Olsen Park Patel Perez Popescu Rao Rossi Schmidt Silva Singh "
    "Suzuki Torres Vargas Weber Wright Yilmaz"
)
FIRST_NAMES, LAST_NAMES = FIRST.split(), LAST.split()
LEFT_EVERY, BOT_EVERY, NAMELESS_EVERY = 11, 97, 7


def crowd(count: int, *, start: int = 0, seed: int = 7) -> Iterator[Person]:
    """Yield ``count`` members, numbered from ``start``; some left, some are bots, some have no display name."""
    draw = random.Random(seed + start)  # noqa: S311 - names, not secrets
    for number in range(start, start + count):
        first, last = draw.choice(FIRST_NAMES), draw.choice(LAST_NAMES)
        username = f"{first}.{last}.{number}".lower()
        is_bot = number % BOT_EVERY == 0
        yield Person(
            id=f"U1{number:09d}",
            username=username,
            real_name=f"{first} {last}",
            display_name="" if number % NAMELESS_EVERY == 0 else f"{first} {last}",
            email=None if is_bot else f"{username}@acme.example",
            deleted=number % LEFT_EVERY == 0,
            is_bot=is_bot,
            bot_id=f"B1{number:09d}" if is_bot else None,
        )
