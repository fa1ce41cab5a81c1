"""The progress of a run's steps, and what went wrong, as lines of a message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.messages.blocks import first_few
from airflow_incident_provider.messages.mrkdwn import Mrkdwn, code_span, duration, inline
from airflow_incident_provider.models import MissingScope, Model, ParseWarning, Problem


class StepState(StrEnum):
    """The state of a step, as the brief shows it."""

    TO_COME = "to come"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class StepProgress(Model):
    """
    A step of the run.

    :param step: the task id.
    :param done: how many of ``total`` parts are complete, for a step with parts.
    """

    step: str
    state: StepState = StepState.TO_COME
    duration_ms: Annotated[int, Field(ge=0)] | None = None
    done: int | None = None
    total: int | None = None


_STEP_NAMES: dict[str, str] = {
    TaskId.PARSE_INCIDENT: "alert",
    TaskId.SETUP_SLACK: "Slack",
    TaskId.RESOLVE_USERS: "people",
    TaskId.CREATE_WAR_ROOM: "room",
    TaskId.INVESTIGATE: "checks",
    TaskId.POST_UPDATES: "findings",
    TaskId.FINAL_SUMMARY: "summary",
}


def step_name(step: str) -> str:
    """Return the display name of a step; the task id for a step of another DAG."""
    return _STEP_NAMES.get(step, step)


def step_line(progress: StepProgress) -> Mrkdwn:
    """Return a step with its state, its completed parts or its duration."""
    name = inline(step_name(progress.step), 80)
    elapsed = duration(progress.duration_ms) if progress.duration_ms is not None else None
    match progress.state:
        case StepState.DONE:
            return Mrkdwn(f"{name} {elapsed or 'done'}")
        case StepState.FAILED:
            return Mrkdwn(f"{name} failed after {elapsed}" if elapsed else f"{name} failed")
        case StepState.RUNNING if progress.total is not None:
            return Mrkdwn(f"{name} {progress.done or 0} of {progress.total} done")
        case _:
            return Mrkdwn(f"{name} {progress.state.value}")


def problem_lines(problems: Iterable[Problem]) -> list[Mrkdwn]:
    """Return a line for each cause: what failed because of it, the error, and the fix."""
    by_cause: dict[tuple[str | None, str | None], list[str]] = {}
    for problem in problems:
        failed = by_cause.setdefault((problem.error, problem.fix), [])
        if problem.what not in failed:
            failed.append(problem.what)
    return [_problem_line(failed, error, fix) for (error, fix), failed in by_cause.items()]


def _problem_line(failed: Sequence[str], error: str | None, fix: str | None) -> Mrkdwn:
    line = str(first_few([inline(what) for what in failed], 4))
    if error:
        line += f": {inline(error)}"
    return Mrkdwn(f"{line} ({inline(fix)})" if fix else line)


def missing_scope_line(scope: MissingScope) -> Mrkdwn:
    """Return a scope that the Slack app lacks, and the consequence."""
    return Mrkdwn(f"{code_span(scope.scope)}: {inline(scope.costs)}")


def warning_line(warning: ParseWarning) -> Mrkdwn:
    """Return a parse warning: the field, its value, and how it was handled."""
    return Mrkdwn(f'{inline(warning.field, 80)} "{inline(warning.value, 100)}" {inline(warning.note, 200)}')
