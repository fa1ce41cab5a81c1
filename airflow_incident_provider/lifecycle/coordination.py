"""
What people do about an incident: actions, roles, status updates, action items and feedback.

An action comes from a button or command in Slack, from the incidents page, or from the command line. Its ``id``
derives from the request, so an action that is delivered twice is applied once.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from airflow_incident_provider.models import Model, Severity, UtcDatetime

MAX_ACTIONS = 60
MAX_STATUS_UPDATES = 20
MAX_ACTION_ITEMS = 30
MAX_FEEDBACK = 60
MAX_UPDATE_TEXT = 600
MAX_ITEM_TEXT = 300

ActionId = Annotated[str, Field(min_length=1, max_length=64)]


class Role(StrEnum):
    """A role in the response. One person may hold several."""

    COMMANDER = "commander"
    COMMUNICATIONS = "communications"
    SCRIBE = "scribe"


class ActorSource(StrEnum):
    """Where an action comes from."""

    SLACK = "slack"
    AIRFLOW = "airflow"
    COMMAND_LINE = "command_line"


class Person(Model):
    """A person as an action names them.

    :param name: a display name, an e-mail address, or a handle. Untrusted text.
    :param slack_id: the Slack user, if known.
    """

    name: str
    slack_id: str | None = None


class Actor(Person):
    """The person who acts."""

    source: ActorSource


class ActionKind(StrEnum):
    """An action. The value is the name of the command, in Slack and on the command line."""

    LEAD = "lead"
    ROLE = "role"
    SEVERITY = "severity"
    UPDATE = "update"
    CHECK = "recheck"
    INVITE = "invite"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    SNOOZE = "snooze"
    FEEDBACK = "feedback"
    ITEM = "item"


class ReminderKind(StrEnum):
    """The reason for a reminder."""

    NO_COMMANDER = "no_commander"
    UPDATE_DUE = "update_due"
    STALLED = "stalled"
    """Recovered, and not resolved."""


class IncidentAction(Model):
    """One action of one person, with the arguments of its kind.

    ``person`` takes the role (``lead``, ``role``); without one, the actor does. ``minutes`` is the time until the
    next update is due (``update``), or the length of the pause (``snooze``). ``names`` are invited. ``finding`` is
    the id of the finding that ``useful`` rates.
    """

    id: ActionId
    kind: ActionKind
    at: UtcDatetime
    actor: Actor
    role: Role = Role.COMMANDER
    person: Person | None = None
    severity: Severity | None = None
    text: str = ""
    minutes: Annotated[int, Field(ge=1, le=24 * 60)] | None = None
    names: tuple[str, ...] = ()
    finding: str | None = None
    useful: bool | None = None


class ActionEntry(Model):
    """An applied action as the timeline keeps it. ``detail`` is its essential argument; untrusted text."""

    id: ActionId
    kind: ActionKind
    at: UtcDatetime
    actor: str
    detail: str = ""


class StatusUpdate(Model):
    """A status update of a person, and when the next one is due."""

    at: UtcDatetime
    actor: str
    text: str
    next_at: UtcDatetime | None = None


class ActionItem(Model):
    """Work for after the incident."""

    at: UtcDatetime
    actor: str
    text: str


class Feedback(Model):
    """Whether a person found a finding useful; the last answer of each person counts."""

    finding: str
    actor: str
    useful: bool


class SeverityOverride(Model):
    """A severity that a person chose.

    It holds until an alert fires that is worse than any that fired at that time (``worst``).
    """

    chosen: Severity
    worst: Severity


class Coordination(Model):
    """The state that follows from all actions of an incident. Part of its record; bounded in size.

    :param held_open: a person reopened it although no alert fires.
    :param snoozed_until: no reminder is posted before.
    """

    roles: dict[Role, Person] = Field(default_factory=dict)
    severity: SeverityOverride | None = None
    updates: tuple[StatusUpdate, ...] = ()
    items: tuple[ActionItem, ...] = ()
    feedback: tuple[Feedback, ...] = ()
    snoozed_until: UtcDatetime | None = None
    held_open: bool = False
    actions: tuple[ActionEntry, ...] = ()
    dropped_actions: int = 0
    first_led_at: UtcDatetime | None = None

    def has_applied(self, action_id: str) -> bool:
        """Return whether an action was applied before."""
        return any(entry.id == action_id for entry in self.actions)
