"""The result of the first minutes: the value of ``final_summary``."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from airflow_incident_provider.models.incident import Severity
from airflow_incident_provider.models.slack import Invitation, NotInvited
from airflow_incident_provider.models.values import Mode, Model, Problem, Timing, UtcDatetime, Verdict, XComValue


class RunOutcome(StrEnum):
    """How the run ended: ``NOT_RAISED`` when the payload was no new incident (a recovery, say)."""

    COMPLETE = "complete"
    DEGRADED = "degraded"
    FAILED = "failed"
    NOT_RAISED = "not_raised"


class StepReport(Model):
    """The result of one step: Airflow's state and the step's own timing."""

    task_id: str
    state: str
    timing: Timing | None = None
    problem: Problem | None = None


class TimelineEntry(Model):
    """A moment of the incident that we can prove."""

    at: UtcDatetime
    what: str


class Statement(Model):
    """A sentence that restates findings, with the probes and targets of the findings that it cites."""

    text: str
    probes: tuple[str, ...]
    targets: tuple[str, ...] = ()
    verdict: Verdict | None = None


class IncidentSummary(XComValue):
    """The result of the first minutes. The value of ``final_summary``. Durations are in milliseconds.

    ``status`` and ``time_to_recovery_ms`` come later: what became of the incident since, such as ``resolved``.
    ``invited_later`` are those of the ``invited`` who could not be invited when the room was opened;
    ``unanswered`` the queries for people that Slack has not answered until then: they are tried again.
    """

    key: str | None
    title: str | None
    severity: Severity | None
    outcome: RunOutcome
    mode: Mode
    room_url: str | None = None
    channel_name: str | None = None
    steps: tuple[StepReport, ...] = ()
    timeline: tuple[TimelineEntry, ...] = ()
    findings: dict[Verdict, int] = Field(default_factory=dict)
    known: tuple[Statement, ...] = ()
    unknown: tuple[str, ...] = ()
    hypotheses: tuple[Statement, ...] = ()
    invited: int = 0
    invited_later: tuple[Invitation, ...] = ()
    unanswered: tuple[str, ...] = ()
    here: int | None = None
    not_invited: tuple[NotInvited, ...] = ()
    problems: tuple[Problem, ...] = ()
    total_ms: int | None = None
    time_to_room_ms: int | None = None
    time_to_first_evidence_ms: int | None = None
    time_to_recovery_ms: int | None = None
    status: str | None = None
    posted_ts: str | None = None
    would_post: tuple[str, ...] = ()
