"""The members of a workspace, and how they are found by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from airflow_incident_provider.models import SlackUser
from airflow_incident_provider.people.spellings import Spellings
from airflow_incident_provider.text import digest

SLACKBOT = "USLACKBOT"
"""Slack's own robot, which Slack does not flag as a bot."""


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
    return digest(email.strip().casefold(), 64) if email.strip() else ""


def _is_stranger(user: Mapping[str, Any], team_id: str) -> bool:
    """Return whether somebody is of other workspaces only; one that Slack names no workspace for is not."""
    teams = set((user.get("enterprise_user") or {}).get("teams") or ())
    if user.get("team_id"):
        teams.add(user["team_id"])
    return bool(user.get("is_stranger")) or (bool(teams) and team_id not in teams)


@dataclass(frozen=True, slots=True)
class Directory:
    """
    All members, whatever their state, and where their names are: who may be invited is for matching to judge.

    :param members: each id once, in the order of the ids: they are told apart by their numbers here.
    :param spellings: under which they are found.
    :param eligible: a sign for each: ``+`` for those whom nothing keeps from being invited.
    :param departed: a line for each: the digest of the address that a deactivated one had, else empty.
    """

    members: Sequence[Member]
    spellings: Spellings
    eligible: str
    departed: str

    @classmethod
    def of(cls, members: Iterable[Member]) -> Self:
        """Return the directory of these, in any order; of several with one id the latest ``updated`` counts."""
        ordered = sorted(members, key=lambda member: (member.id, member.updated))
        unique = list({member.id: member for member in ordered}.values())
        return cls(
            members=unique,
            spellings=Spellings.of(unique),
            eligible="".join("-" if member.ineligibility else "+" for member in unique),
            departed="".join(f"{member.departed_email}\n" for member in unique),
        )

    def __len__(self) -> int:
        return len(self.members)

    def by_id(self, user_id: str) -> Member | None:
        """Return the member with this id."""
        return next((member for member in self.members if member.id == user_id), None)

    def who_left(self, email: str) -> Member | None:
        """Return the deactivated member who had this e-mail address."""
        digest = _digest(email)
        at = self.departed.find(digest) if digest else -1
        return self.members[self.departed.count("\n", 0, at)] if at >= 0 else None

    def called(self, name: str) -> dict[str, Member]:
        """Return by id everybody whose display name or real name is this, but for case, accents, punctuation."""
        return self._by_id(self.spellings.named(name))

    def with_username(self, name: str) -> dict[str, Member]:
        """Return by id everybody whose username is this, compared in the same way."""
        return self._by_id(self.spellings.with_username(name))

    def may_be_invited(self, number: int) -> bool:
        """Return whether nothing keeps the member of this number from being invited."""
        return self.eligible[number] == "+"

    def _by_id(self, numbers: Iterable[int]) -> dict[str, Member]:
        members = (self.members[number] for number in sorted(numbers))
        return {member.id: member for member in members}
