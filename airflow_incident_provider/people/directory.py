"""The members of a workspace, and under which names each is found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntFlag
from typing import Any, NamedTuple, Protocol, Self

from airflow_incident_provider.models import SlackUser
from airflow_incident_provider.people.names import (
    consonants,
    is_abjad,
    keys,
    parts_without_remarks,
    similar_keys,
    transliterated,
)
from airflow_incident_provider.text import digest

SLACKBOT = "USLACKBOT"
"""Slack's own bot, which Slack does not flag as one."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member, as ``users.list`` describes it, as far as matching needs it.

    ``guest`` is a single- or multi-channel guest; ``external`` belongs to another workspace (Slack Connect, or
    another workspace of the same organisation); ``updated`` is the Unix time of the last change. E-mail addresses
    are left out on purpose: Slack finds one address in one call, so a file with all of them is not needed. It does
    not find deactivated members: ``departed_email`` keeps a digest of theirs, so that "has left" is not "unknown".
    """

    id: str
    name: str
    display_name: str = ""
    real_name: str = ""
    deleted: bool = False
    is_bot: bool = False
    guest: bool = False
    external: bool = False
    updated: int = 0
    departed_email: str = ""

    @classmethod
    def from_slack(cls, user: Mapping[str, Any], *, team_id: str) -> Self:
        """Read a ``user`` object of a Slack response.

        :param team_id: the workspace; on Enterprise Grid a person may belong to several.
        """
        profile = _mapping(user.get("profile"))
        updated = user.get("updated")
        return cls(
            id=user["id"],
            name=_text(user.get("name")),
            display_name=_text(profile.get("display_name")),
            real_name=_text(profile.get("real_name") or user.get("real_name")),
            deleted=bool(user.get("deleted")),
            is_bot=bool(user.get("is_bot") or user.get("is_workflow_bot")) or user["id"] == SLACKBOT,
            guest=bool(user.get("is_restricted") or user.get("is_ultra_restricted")),
            external=_is_external(user, team_id),
            updated=int(updated) if isinstance(updated, int | float) else 0,
            departed_email=email_digest(_text(profile.get("email"))) if user.get("deleted") else "",
        )

    @property
    def ineligibility(self) -> str | None:
        """Why this member must not be invited automatically, as text; else ``None``."""
        if self.deleted:
            return "deactivated in Slack"
        if self.is_bot:
            return "a bot"
        if self.external:
            return "from another workspace"
        return "a guest" if self.guest else None

    @property
    def label(self) -> str:
        """The name that Slack shows."""
        return self.display_name or self.real_name or self.name

    @property
    def names(self) -> tuple[str, ...]:
        """Display name, real name and username, without the empty ones."""
        return tuple(name for name in (self.display_name, self.real_name, self.name) if name)

    @property
    def user(self) -> SlackUser:
        """The member as the room needs them."""
        return SlackUser(id=self.id, name=self.name, real_name=self.real_name, display_name=self.display_name)


def _mapping(value: object) -> Mapping[str, Any]:
    """Return a part of Slack's response; a gateway may have something else in its place, which is nothing."""
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    """Return a name that can be stored: Slack's JSON may hold half of a surrogate pair."""
    return str(value or "").encode("utf-8", "replace").decode("utf-8")


def email_digest(email: str) -> str:
    """Return a digest of an address, regardless of case; of an empty one, an empty string."""
    return digest(email.strip().casefold(), 64) if email.strip() else ""


def _is_external(user: Mapping[str, Any], team_id: str) -> bool:
    """Return whether a person belongs to other workspaces only; without any workspace named, they do not."""
    listed = _mapping(user.get("enterprise_user")).get("teams")
    teams = {team for team in listed if isinstance(team, str)} if isinstance(listed, list) else set()
    if user.get("team_id"):
        teams.add(user["team_id"])
    return bool(user.get("is_stranger")) or (bool(team_id) and bool(teams) and team_id not in teams)


class NameKind(IntFlag):
    """What a key in the directory is."""

    NAME = 1
    """A display name or real name."""
    USERNAME = 2
    SIMILAR = 4
    """A form for similarity only, such as a transliteration."""
    CONSONANTS = 8
    """The consonants of a name in a script without vowels."""
    PART = 16
    """A display name or real name without what people add to it, such as pronouns."""


def name_keys(member: Member) -> dict[str, NameKind]:
    """Return every key under which a member is found, with what it is."""
    found: dict[str, NameKind] = {}

    def add(forms: Iterable[str], kind: NameKind) -> None:
        for form in forms:
            found[form] = found.get(form, NameKind(0)) | kind

    add(keys(member.display_name), NameKind.NAME)
    if member.real_name != member.display_name:
        add(keys(member.real_name), NameKind.NAME)
    add(keys(member.name), NameKind.USERNAME)
    for name in (member.display_name, member.real_name):
        for part in parts_without_remarks(name):
            add(keys(part), NameKind.PART)
    for name in member.names:
        if not name.isascii():
            add((form for form in similar_keys(name) if form not in found), NameKind.SIMILAR)
            if is_abjad(name):
                add((consonants(transliterated(name)),), NameKind.CONSONANTS)
    return found


class KeyOwner(NamedTuple):
    """Whose key is at a position: the member's number, and whether they may be invited automatically."""

    position: int
    member: int
    eligible: bool


class Directory(Protocol):
    """All members of a workspace, whatever their state. Matching decides who may be invited."""

    @property
    def fetched_at(self) -> datetime | None:
        """When the members were fetched from Slack."""

    def __len__(self) -> int: ...

    def find(self, keys: Iterable[str], kind: NameKind) -> list[Member]:
        """Return the members with one of these keys, by id."""

    def find_departed(self, email: str) -> Member | None:
        """Return the deactivated member who had this e-mail address."""

    @property
    def keys(self) -> Sequence[str]:
        """All keys for similarity, by position."""

    @property
    def word_sorted_keys(self) -> Sequence[str]:
        """The same keys with their words in alphabetical order."""

    @property
    def spaceless_keys(self) -> Sequence[str]:
        """The same keys without spaces."""

    def positions_of(self, keys: Iterable[str], kind: NameKind = NameKind.NAME) -> list[int]:
        """Return the positions of these keys."""

    def positions_with_words(self, words: Iterable[str]) -> list[int]:
        """Return the positions of the keys that contain all these words."""

    def owners(self, positions: Iterable[int]) -> list[KeyOwner]:
        """Return whose the keys at these positions are."""

    def members(self, numbers: Iterable[int]) -> list[Member]:
        """Return members by number, in the order of the numbers given."""
