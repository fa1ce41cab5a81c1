"""How long it takes to find a name among 50,000 members, misspelt or not."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from airflow_incident_provider.people.directory import Member
from airflow_incident_provider.people.matching import match_name
from airflow_incident_provider.slack.directory_cache import SqliteDirectory
from benchmarks.speed.results import Results

GIVEN = [
    "Alice",
    "Zoë",
    "Łukasz",
    "José",
    "Dana",
    "Jon",
    "Priya",
    "Søren",
    "Aiko",
    "Chen",
    "Fatima",
    "Иван",
    "Ana",
    "Björn",
    "Noor",
    "Kwame",
]
SYLLABLES = [
    "ka",
    "ro",
    "mi",
    "len",
    "stra",
    "vo",
    "ner",
    "hil",
    "das",
    "pet",
    "rov",
    "ska",
    "gar",
    "win",
    "tem",
    "bo",
    "ül",
    "ñe",
]
SEED = 1
REPEAT = 50
QUERIES = {
    "as it is written": "Alice Ng",
    "a username": "alice.ng",
    "a letter too many": "Alice Featherstonehaughh",
    "a letter wrong": "Alice Featherstonehavgh",
    "two letters swapped": "Alice Featherstnoehaugh",
    "the first name misspelt": "Alise Featherstonehaugh",
    "family name first": "Featherstonehaughh, Alice",
    "a first name that every 16th has": "Alice",
    "the same, misspelt": "Allice",
    "nobody's": "Qqxyzzy Vvwblorb",
}


def measure_matching(members: int, results: Results) -> None:
    """Match each name some times against the same directory, whose index is there before the clock starts."""
    import rapidfuzz.process  # noqa: F401 - before the clock starts, as in a warm worker

    directory = SqliteDirectory.of(made_up_members(members, SEED))
    for what, query in QUERIES.items():
        times = []
        for _ in range(REPEAT):
            began = time.perf_counter()
            result = match_name(query, directory)
            times.append(round((time.perf_counter() - began) * 1000, 3))
        said = result.reason or result.users[0].label
        results.add(
            "match", query=f"{what}: `{query}`", ms=times, outcome=f"{result.outcome}: {said}", members=members
        )


def made_up_members(count: int, seed: int) -> Iterator[Member]:
    """Yield members as a large workspace has them: two fifths have left, some are guests or bots."""
    chance = random.Random(seed)
    yield Member("U0", "alice.ng", "Alice Ng", "Alice Ng")
    yield Member("U1", "afeather", "", "Alice Featherstonehaugh")
    for number in range(2, count):
        given = chance.choice(GIVEN)
        family = "".join(chance.choices(SYLLABLES, k=chance.randint(2, 4))).title()
        kind = chance.random()
        yield Member(
            id=f"U{number:07}",
            name=f"{given}.{family}{number}".lower(),
            display_name="" if chance.random() < 0.4 else f"{given.lower()} {family[0]}",
            real_name=f"{given} {family}",
            deleted=kind < 0.4,
            is_bot=0.4 <= kind < 0.42,
            guest=0.42 <= kind < 0.47,
            updated=1_700_000_000 + number,
        )
