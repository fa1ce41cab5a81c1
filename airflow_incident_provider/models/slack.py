"""The workspace, the people, the room and its messages: the values of the steps that use Slack."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

from pydantic import Field

from airflow_incident_provider.models.values import Mode, Model, Problem, UtcDatetime, Verdict, XComValue


class MissingScope(Model):
    """A scope that the Slack app lacks, and what does not work without it."""

    scope: str
    costs: str


class SlackWorkspace(XComValue):
    """The Slack workspace of a run, or why there is none. The value of ``setup_slack_integration``.

    ``conn_id`` is the Airflow connection; later tasks use the same one.
    ``interactive`` is whether the app's signing secret is configured, so that buttons can be used.
    ``dry_run_requested`` distinguishes a requested dry run from one without a connection.
    """

    mode: Mode
    reason: str | None = None
    dry_run_requested: bool = False
    conn_id: str | None = None
    team: str | None = None
    team_id: str | None = None
    url: str | None = None
    bot_user_id: str | None = None
    interactive: bool = False
    scopes_granted: tuple[str, ...] = ()
    scopes_missing: tuple[MissingScope, ...] = ()

    @property
    def dry_run(self) -> bool:
        """Whether nothing is posted."""
        return self.mode is Mode.DRY_RUN

    def has_scope(self, scope: str) -> bool:
        """Return whether the app has a scope; if the scopes are unknown, it is assumed to."""
        return not self.scopes_granted or scope in self.scopes_granted


class ResolutionOutcome(StrEnum):
    """Result of a query for a person."""

    RESOLVED = "resolved"
    AMBIGUOUS = "ambiguous"
    NOT_FOUND = "not_found"
    DEACTIVATED = "deactivated"
    NOT_ALLOWED = "not_allowed"


class MatchMethod(StrEnum):
    """How a person was found, most reliable first."""

    ID = "id"
    EMAIL = "email"
    USERGROUP = "usergroup"
    DISPLAY_NAME = "display_name"
    USERNAME = "username"
    FUZZY = "fuzzy"


class SlackUser(Model):
    """A member of the workspace."""

    id: str
    name: str
    real_name: str = ""
    display_name: str = ""

    @property
    def label(self) -> str:
        """The name that Slack shows: the display name, else the real name, else the username."""
        return self.display_name or self.real_name or self.name


class Resolution(Model):
    """The result of one query.

    ``users`` are the people found: one, or the members of a user group. ``candidates`` are possible matches, most
    likely first; they are suggested and never invited. ``confidence`` is 0 to 100. ``group_id`` is the Slack id
    of the user group that was asked for.
    """

    query: str
    outcome: ResolutionOutcome
    method: MatchMethod | None = None
    confidence: float = 0.0
    users: tuple[SlackUser, ...] = ()
    candidates: tuple[SlackUser, ...] = ()
    reason: str | None = None
    group_id: str | None = None


class UserResolution(XComValue):
    """The results of all queries for people. The value of ``resolve_slack_users``.

    ``unanswered`` are the queries without a response in time, each with its problem, which is also in
    ``problems``; they are repeated later.
    """

    resolutions: tuple[Resolution, ...] = ()
    problems: tuple[Problem, ...] = ()
    unanswered: Mapping[str, Problem] = {}

    @property
    def resolved(self) -> tuple[Resolution, ...]:
        """Queries with a result."""
        return tuple(r for r in self.resolutions if r.outcome is ResolutionOutcome.RESOLVED)

    @property
    def unresolved(self) -> tuple[Resolution, ...]:
        """Queries without a unique result."""
        return tuple(r for r in self.resolutions if r.outcome is not ResolutionOutcome.RESOLVED)


class Invitation(Model):
    """A person who was invited, and how they were found; ``group_id`` is the Slack id of their user group."""

    user: SlackUser
    query: str
    method: MatchMethod
    group_id: str | None = None


class NotInvited(Model):
    """A person who was not invited, and why.

    ``suggestion`` names the closest matches, for a person to decide on; ``suggested`` holds the same names by Slack
    user id. With ``all_meant`` the query means all of those, such as a user group's members, and not one of them.
    ``user_id`` identifies a user who was found but could not be invited; two people may share a name.
    """

    query: str
    reason: str
    suggestion: str | None = None
    suggested: Mapping[str, str] = {}
    all_meant: bool = False
    user_id: str | None = None

    def is_made_up_for(self, there: Collection[str]) -> bool:
        """Return whether those who are there, by Slack user id, leave no gap."""
        if self.all_meant:
            return bool(self.suggested) and all(user_id in there for user_id in self.suggested)
        return any(user_id in there for user_id in self.suggested)


class WarRoom(XComValue):
    """The war room. The value of ``create_war_room``.

    In a dry run ``channel_id`` and ``brief_ts`` are absent and ``would_post`` holds the texts. ``picture`` is false
    if Slack could not fetch the alert's graph; the brief then links to it.
    """

    mode: Mode
    channel_name: str
    channel_id: str | None = None
    url: str | None = None
    private: bool = False
    created: bool = False
    opened_at: UtcDatetime
    brief_ts: str | None = None
    brief_url: str | None = None
    picture: bool = True
    invited: tuple[Invitation, ...] = ()
    not_invited: tuple[NotInvited, ...] = ()
    problems: tuple[Problem, ...] = ()
    would_post: tuple[str, ...] = ()


class PostedMessage(Model):
    """A message in the room: its unique key and Slack's timestamp."""

    key: str
    ts: str


class ThreadUpdates(XComValue):
    """What was posted under the brief. The value of ``post_investigation_updates``."""

    mode: Mode
    channel_id: str | None = None
    thread_ts: str | None = None
    messages: tuple[PostedMessage, ...] = ()
    counts: dict[Verdict, int] = Field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    would_post: tuple[str, ...] = ()
