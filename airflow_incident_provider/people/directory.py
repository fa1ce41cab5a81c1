"""The members of a workspace, and an index that finds them by name."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from typing import Any, Self

from airflow_incident_provider.models import SlackUser
from airflow_incident_provider.people.names import in_word_order, keys

SLACKBOT = "USLACKBOT"
"""Slack's own robot, which Slack does not flag as a bot."""

_BETWEEN = " \n "
"""What parts the spellings in the text that is searched for words: each has a blank on both sides."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member as ``users.list`` tells it, as far as matching needs it.

    ``guest`` is a single- or multi-channel guest; ``stranger`` belongs to another workspace (Slack Connect);
    ``updated`` is the Unix time of the last change in seconds. E-mail addresses are left out on purpose: Slack
    answers for one address in one call, so nobody needs a file with all of them. It does not answer for those
    who were deactivated: of them ``departed_email`` keeps a digest, to tell "has left" from "unknown".
    """

    id: str
    name: str
    display_name: str = ""
    real_name: str = ""
    deleted: bool = False
    is_bot: bool = False
    guest: bool = False
    stranger: bool = False
    updated: int = 0
    departed_email: str = ""

    @classmethod
    def from_slack(cls, user: Mapping[str, Any], *, team_id: str) -> Self:
        """Read a ``user`` object of Slack's answers.

        :param team_id: the workspace that asks; on Enterprise Grid a person may belong to several.
        """
        profile = user.get("profile") or {}
        return cls(
            id=user["id"],
            name=user.get("name") or "",
            display_name=profile.get("display_name") or "",
            real_name=profile.get("real_name") or user.get("real_name") or "",
            deleted=bool(user.get("deleted")),
            is_bot=bool(user.get("is_bot") or user.get("is_workflow_bot")) or user["id"] == SLACKBOT,
            guest=bool(user.get("is_restricted") or user.get("is_ultra_restricted")),
            stranger=_is_stranger(user, team_id),
            updated=int(user.get("updated") or 0),
            departed_email=_digest(profile.get("email") or "") if user.get("deleted") else "",
        )

    @property
    def ineligibility(self) -> str | None:
        """What keeps this member from being invited without a person's say-so, in words; else ``None``."""
        if self.deleted:
            return "deactivated in Slack"
        if self.is_bot:
            return "a bot"
        if self.stranger:
            return "from another workspace"
        return "a guest" if self.guest else None

    @property
    def label(self) -> str:
        """The name that Slack shows."""
        return self.display_name or self.real_name or self.name

    @property
    def user(self) -> SlackUser:
        """The member as the room needs to know them."""
        return SlackUser(id=self.id, name=self.name, real_name=self.real_name, display_name=self.display_name)


def _digest(email: str) -> str:
    """Return a digest of an address, compared without regard to case; of none, none."""
    return sha256(email.strip().casefold().encode()).hexdigest() if email.strip() else ""


def _is_stranger(user: Mapping[str, Any], team_id: str) -> bool:
    """Return whether somebody is of other workspaces only; one that Slack names no workspace for is not."""
    teams = set((user.get("enterprise_user") or {}).get("teams") or ())
    if user.get("team_id"):
        teams.add(user["team_id"])
    return bool(user.get("is_stranger")) or (bool(teams) and team_id not in teams)


class Directory:
    """An index over all members, whatever their state: who may be invited is for matching to judge.

    :param members: in any order; of several entries with one id the latest ``updated`` counts.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        ordered = sorted(members, key=lambda member: (member.id, member.updated))
        self._by_id = {member.id: member for member in ordered}
        self._by_name: dict[str, list[Member]] = {}
        self._by_username: dict[str, list[Member]] = {}
        self._by_departed_email = {m.departed_email: m for m in self._by_id.values() if m.departed_email}
        self._spellings: list[str] = []
        self._owners: list[Member] = []
        for member in self._by_id.values():
            self._add(member)
        # In one go: what lies side by side in memory is compared twice as fast.
        self._sorted_spellings = [in_word_order(key) for key in self._spellings]
        self._text = f" {_BETWEEN.join(self._spellings)} "
        self._ends = list(accumulate(len(key) + len(_BETWEEN) for key in self._spellings))

    def _add(self, member: Member) -> None:
        shown = keys(member.display_name)
        if member.real_name != member.display_name:
            shown += keys(member.real_name)
        usernames = keys(member.name)
        for key in dict.fromkeys(shown):
            self._by_name.setdefault(key, []).append(member)
        for key in usernames:
            self._by_username.setdefault(key, []).append(member)
        for key in dict.fromkeys(shown + usernames):
            self._spellings.append(key)
            self._owners.append(member)

    def __len__(self) -> int:
        return len(self._by_id)

    def by_id(self, user_id: str) -> Member | None:
        """Return the member with this id."""
        return self._by_id.get(user_id)

    def departed(self, email: str) -> Member | None:
        """Return the deactivated member who had this e-mail address."""
        return self._by_departed_email.get(_digest(email))

    def called(self, name: str) -> dict[str, Member]:
        """Return by id everybody whose display name or real name is this, but for case, accents, punctuation."""
        return _union(self._by_name, keys(name))

    def with_username(self, name: str) -> dict[str, Member]:
        """Return by id everybody whose username is this, compared in the same way."""
        return _union(self._by_username, keys(name))

    @property
    def spellings(self) -> Sequence[str]:
        """Every key of every member; the one at each position belongs to ``owners`` at the same position."""
        return self._spellings

    @property
    def sorted_spellings(self) -> Sequence[str]:
        """The same as ``spellings``, the words of each in alphabetical order."""
        return self._sorted_spellings

    @property
    def owners(self) -> Sequence[Member]:
        """Whom each of ``spellings`` belongs to."""
        return self._owners

    def with_word(self, word: str) -> Iterator[int]:
        """Yield the positions of the spellings that have this word.

        One search of one text: to look into each of so many spellings takes ten times as long.
        """
        wanted = f" {word} "
        at = self._text.find(wanted)
        while at >= 0:
            position = bisect_right(self._ends, at)
            yield position
            at = self._text.find(wanted, self._ends[position])


def _union(index: Mapping[str, list[Member]], wanted: Iterable[str]) -> dict[str, Member]:
    return {member.id: member for key in wanted for member in index.get(key, ())}
