"""How long names take in a workspace of 50,000 members, and what its directory weighs in memory and on disk."""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from airflow_incident_provider.hooks.directory_cache import DirectoryCache
from airflow_incident_provider.people.directory import Directory, Member
from airflow_incident_provider.people.matching import match_name

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
QUERIES = {
    "exact": "Alice Ng",
    "username": "alice.ng",
    "typo": "Alice Featherstonehaughh",
    "one word": "Alice",
    "nobody": "Qqxyzzy Vvwblorb",
}

T = TypeVar("T")


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


@contextmanager
def memory(what: str) -> Iterator[None]:
    """Print how much memory a block allocates and keeps."""
    tracemalloc.start()
    yield
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{what:<34}{kept / 2**20:9.1f} MiB kept, {peak / 2**20:.1f} MiB at most")


def timed(what: str, repeat: int, call: Callable[[], T]) -> T:
    """Print the best and the median time of some calls in milliseconds; return the last result."""
    times = []
    for _ in range(repeat):
        begun = time.perf_counter()
        result = call()
        times.append((time.perf_counter() - begun) * 1000)
    print(f"{what:<34}{min(times):9.2f} ms at best, {statistics.median(times):.2f} ms median")
    return result


def main() -> None:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=50_000)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    members = list(made_up_members(options.members, options.seed))
    directory = timed("build the index", options.repeat, lambda: Directory(members))
    for what, query in QUERIES.items():
        result = timed(f"match: {what}", options.repeat, partial(match_name, query, directory))
        print(f"{'':<34}{result.outcome}: {result.reason or result.users[0].label}")
    with tempfile.TemporaryDirectory() as folder:
        cache = DirectoryCache(Path(folder))
        timed("write the file", options.repeat, lambda: cache.put("T1", members))
        timed("read the file and build the index", options.repeat, lambda: cache.get("T1"))
        print(f"{'the file':<34}{cache.path('T1').stat().st_size / 2**20:9.1f} MiB")
        with memory("read the file and build the index"):
            kept = cache.get("T1")
        assert kept is not None


if __name__ == "__main__":
    main()
