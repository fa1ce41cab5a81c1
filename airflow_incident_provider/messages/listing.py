"""A list that says how much of itself it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_incident_provider.messages.escaping import Mrkdwn, flow, join

LINE_LIMIT = 2_900


@dataclass(frozen=True)
class Listing:
    """
    A labelled list of entries, of which a message shows only so many.

    :param label: our own words in front of the list; part of the markup.
    :param most: how many entries are shown; one too many is shown rather than counted.
    :param characters: how many characters the shown entries may take.
    """

    label: Mrkdwn
    entries: tuple[Mrkdwn, ...]
    most: int
    characters: int
    separator: str = " · "

    @property
    def shown(self) -> tuple[Mrkdwn, ...]:
        """The entries that the short form has room for."""
        wanted = len(self.entries) if len(self.entries) <= self.most + 1 else self.most
        used = 0
        for position, entry in enumerate(self.entries[:wanted]):
            used += len(entry) + len(self.separator)
            if used > self.characters:
                return self.entries[:position]
        return self.entries[:wanted]

    @property
    def hidden(self) -> int:
        """How many entries the short form leaves out."""
        return len(self.entries) - len(self.shown)

    def short(self) -> Mrkdwn:
        """Return the label, the entries there is room for and how many more there are; nothing when empty."""
        if not self.entries:
            return Mrkdwn("")
        words = str(join(self.shown, self.separator))
        if self.hidden:
            words += f" and {self.hidden} more, in the thread" if words else f"{self.hidden}, in the thread"
        return Mrkdwn(f"{self.label} {words}")

    def full(self) -> list[Mrkdwn]:
        """Return the label and every entry, in as many lines as that takes."""
        first, *rest = flow(self.entries, LINE_LIMIT, self.separator)
        return [Mrkdwn(f"{self.label} {first}"), *rest]


def few(entries: Sequence[Mrkdwn], most: int = 3) -> Mrkdwn:
    """Return the first entries, and how many more there are."""
    more = f" and {len(entries) - most} more" if len(entries) > most else ""
    return Mrkdwn(f"{', '.join(entries[:most])}{more}")


def points(label: Mrkdwn, entries: list[Mrkdwn]) -> list[Mrkdwn]:
    """Return a single entry beside its label, or several below it, one a line; nothing when there is none."""
    if len(entries) <= 1:
        return [Mrkdwn(f"{label} {entry}") for entry in entries]
    return [label, *(Mrkdwn(f"• {entry}") for entry in entries)]
