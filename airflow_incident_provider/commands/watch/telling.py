"""What a step came to, in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from airflow_incident_provider.commands.access.airflow import Airflow, Run, Step
from airflow_incident_provider.config import TaskId, XComKey
from airflow_incident_provider.models import (
    Finding,
    Incident,
    IncidentSummary,
    Mode,
    Problem,
    SlackWorkspace,
    ThreadUpdates,
    UserResolution,
    WarRoom,
)
from airflow_incident_provider.text import one_line, shorten

LONGEST = 160
ENDED = frozenset({"success", "failed", "skipped", "upstream_failed"})


def told(airflow: Airflow, run: Run, step: Step) -> str:
    """Return what an ended step came to; nothing where it left nothing that is understood."""
    if step.state == "failed":
        return shorten(one_line(_problem(airflow, run, step)), LONGEST)
    tell = _TELL.get(step.task_id)
    if tell is None or step.state != "success":
        return ""
    value = airflow.value(run.dag_id, run.run_id, step.task_id, map_index=step.map_index)
    try:
        return shorten(one_line(tell(value)), LONGEST) if value is not None else ""
    except (ValidationError, TypeError):
        return ""


def _problem(airflow: Airflow, run: Run, step: Step) -> str:
    left = airflow.value(run.dag_id, run.run_id, step.task_id, map_index=step.map_index, key=XComKey.PROBLEM)
    if not isinstance(left, Mapping):
        return "failed; its log tells why"
    problem = Problem.model_validate(left["problem"])
    return f"{problem.what} {problem.fix or ''}"


def _incident(value: Any) -> str:
    incident = Incident.model_validate(value)
    return f"{incident.severity}: {incident.title}"


def _workspace(value: Any) -> str:
    workspace = SlackWorkspace.model_validate(value)
    if workspace.mode is Mode.DRY_RUN:
        return f"dry-run: {workspace.reason or ''}"
    lacking = f", {len(workspace.scopes_missing)} scopes missing" if workspace.scopes_missing else ""
    return f"{workspace.team}{lacking}"


def _people(value: Any) -> str:
    people = UserResolution.model_validate(value)
    return f"{len(people.resolved)} of {len(people.resolutions)} found"


def _room(value: Any) -> str:
    room = WarRoom.model_validate(value)
    left_out = f", {len(room.not_invited)} not" if room.not_invited else ""
    return f"#{room.channel_name}: {len(room.invited)} invited{left_out}"


def _plan(value: Any) -> str:
    return f"{len(value)} probes"


def _finding(value: Any) -> str:
    finding = Finding.model_validate(value)
    return f"{finding.verdict}: {finding.summary}"


def _updates(value: Any) -> str:
    updates = ThreadUpdates.model_validate(value)
    return f"{len(updates.messages) or len(updates.would_post)} messages"


def _summary(value: Any) -> str:
    return str(IncidentSummary.model_validate(value).outcome)


_TELL: Mapping[str, Callable[[Any], str]] = {
    TaskId.PARSE_INCIDENT: _incident,
    TaskId.SETUP_SLACK: _workspace,
    TaskId.RESOLVE_USERS: _people,
    TaskId.CREATE_WAR_ROOM: _room,
    TaskId.PLAN_INVESTIGATION: _plan,
    TaskId.INVESTIGATE: _finding,
    TaskId.POST_UPDATES: _updates,
    TaskId.FINAL_SUMMARY: _summary,
}
