"""
Under which spellings the members of a workspace are found: made once, kept in a file, searched as one text.

A dictionary of 50,000 people's names takes half a second to make, in each process that needs it. A text takes
none to read, and a millisecond to search.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

from airflow_incident_provider.people.names import in_word_order, keys

NAME, USERNAME, BOTH = "n", "u", "b"
"""What a spelling is: of a display or real name, of a username, or of both."""

_BETWEEN = " \n "


class Named(Protocol):
    """Somebody with names."""

    @property
    def name(self) -> str:
        """The username."""

    @property
    def display_name(self) -> str:
        """What others see."""

    @property
    def real_name(self) -> str:
        """The name in the profile."""


@dataclass(frozen=True)
class Spellings:
    """
    Every key of every member, in a position of its own.

    :param text: the keys, one a line, with a blank on both sides of each, so that whole words are found.
    :param sorted_text: the same with the words of each key in alphabetical order.
    :param kinds: for each position :data:`NAME`, :data:`USERNAME` or :data:`BOTH`.
    :param owners: for each position the number of the member whose it is.
    """

    text: str
    sorted_text: str
    kinds: str
    owners: Sequence[int]

    @classmethod
    def of(cls, members: Sequence[Named]) -> Self:
        """Return the spellings of these members, who are numbered as they come."""
        spelt = [
            (key, kind, number) for number, member in enumerate(members) for key, kind in _kinds(member).items()
        ]
        return cls(
            text=_text(key for key, _, _ in spelt),
            sorted_text=_text(in_word_order(key) for key, _, _ in spelt),
            kinds="".join(kind for _, kind, _ in spelt),
            owners=[number for _, _, number in spelt],
        )

    @cached_property
    def keys(self) -> list[str]:
        """The keys, by position."""
        return _lines(self.text)

    @cached_property
    def sorted_keys(self) -> list[str]:
        """The keys with their words in alphabetical order, by position."""
        return _lines(self.sorted_text)

    def named(self, name: str) -> set[int]:
        """Return the numbers of those whose display or real name this is, but for case, accents, punctuation."""
        return self._owners_of(name, USERNAME)

    def with_username(self, name: str) -> set[int]:
        """Return the numbers of those whose username this is, compared in the same way."""
        return self._owners_of(name, NAME)

    def with_word(self, word: str) -> Iterator[int]:
        """Yield the positions of the keys that have this word."""
        return self._positions(f" {word} ")

    def _owners_of(self, name: str, other_kind: str) -> set[int]:
        found = (at for key in keys(name) for at in self._positions(f"\n {key} \n"))
        return {self.owners[at] for at in found if self.kinds[at] != other_kind}

    def _positions(self, wanted: str) -> Iterator[int]:
        """Yield the positions of the lines in which this is: there is one line break more before each."""
        at, counted, position = self.text.find(wanted), 0, -1
        while at >= 0:
            line = at + 1
            position += self.text.count("\n", counted, line)
            yield position
            counted = line
            at = self.text.find(wanted, self.text.find("\n", line))


def _kinds(member: Named) -> dict[str, str]:
    """Return the keys under which a member is found, each with what it is."""
    shown = keys(member.display_name)
    if member.real_name != member.display_name:
        shown += keys(member.real_name)
    found = dict.fromkeys(shown, NAME)
    for key in keys(member.name):
        found[key] = BOTH if key in found else USERNAME
    return found


def _text(lines: Iterator[str]) -> str:
    return f"\n {_BETWEEN.join(lines)} \n"


def _lines(text: str) -> list[str]:
    inner = text[2:-2]
    return inner.split(_BETWEEN) if inner else []
