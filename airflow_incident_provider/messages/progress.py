"""How far the run has come, and what did not work, in a line each."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.messages.escaping import Mrkdwn, code_span, inline
from airflow_incident_provider.messages.times import duration
from airflow_incident_provider.models import MissingScope, Model, ParseWarning, Problem


class StepState(StrEnum):
    """Where a step is."""

    TO_COME = "to come"
    RUNNING = "under way"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class StepProgress(Model):
    """
    One step of the run as the brief shows it.

    :param step: the task id.
    :param done: how many of ``total`` parts are finished, for a step that has parts.
    """

    step: str
    state: StepState = StepState.TO_COME
    duration_ms: Annotated[int, Field(ge=0)] | None = None
    done: int | None = None
    total: int | None = None


_SHORT_NAMES: dict[str, str] = {
    TaskId.PARSE_INCIDENT: "parsed",
    TaskId.SETUP_SLACK: "Slack",
    TaskId.RESOLVE_USERS: "people",
    TaskId.CREATE_WAR_ROOM: "room",
    TaskId.INVESTIGATE: "investigation",
    TaskId.POST_UPDATES: "findings",
    TaskId.FINAL_SUMMARY: "summary",
}
_UNDER_WAY: dict[str, str] = {TaskId.PARSE_INCIDENT: "parsing", TaskId.INVESTIGATE: "investigating"}


def step_name(step: str) -> str:
    """Return what the room calls a step: a short name for ours, the task id for another DAG's."""
    return _SHORT_NAMES.get(step, step)


def step_progress(progress: StepProgress) -> Mrkdwn:
    """Return one step with how long it took, how far it is, or that it failed."""
    name = inline(step_name(progress.step), 80)
    took = duration(progress.duration_ms) if progress.duration_ms is not None else None
    match progress.state:
        case StepState.DONE:
            return Mrkdwn(f"{name} {took or 'done'}")
        case StepState.FAILED:
            return Mrkdwn(f"{name} failed after {took}" if took else f"{name} failed")
        case StepState.RUNNING:
            name = inline(_UNDER_WAY.get(progress.step, step_name(progress.step)), 80)
            parts = None if progress.total is None else f"{progress.done or 0} of {progress.total}"
            return Mrkdwn(f"{name} {parts or 'under way'}")
        case _:
            return Mrkdwn(f"{name} {progress.state.value}")


def problem(found: Problem) -> Mrkdwn:
    """Return what did not work, what was said, and what would mend it."""
    line = str(inline(found.what))
    if found.error:
        line += f": {inline(found.error)}"
    return Mrkdwn(f"{line} ({inline(found.fix)})" if found.fix else line)


def missing_scope(scope: MissingScope) -> Mrkdwn:
    """Return a scope that the app lacks and what the room lacks for it."""
    return Mrkdwn(f"{code_span(scope.scope)}: {inline(scope.costs)}")


def flag(oddity: ParseWarning) -> Mrkdwn:
    """Return an oddity of the payload and what was made of it."""
    return Mrkdwn(f'{inline(oddity.field, 80)} "{inline(oddity.value, 100)}" {inline(oddity.note, 200)}')
