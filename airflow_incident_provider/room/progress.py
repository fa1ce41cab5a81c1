"""How far the run has come, as its XComs tell: for the brief and for the summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.config import STEPS, TaskId, XComKey
from airflow_incident_provider.messages.brief import StepProgress, StepState
from airflow_incident_provider.models import Problem, StepReport, Timing, XComValue
from airflow_incident_provider.room.xcom import returned

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

# The worst first: a mapped step is as its worst instance is.
_WORST_FIRST = ("failed", "upstream_failed", "running", "success", "skipped")
_STEP_STATES = {
    "success": StepState.DONE,
    "failed": StepState.FAILED,
    "upstream_failed": StepState.FAILED,
    "skipped": StepState.SKIPPED,
    "running": StepState.RUNNING,
}


def step_reports(context: Context) -> tuple[StepReport, ...]:
    """Return how each step of this run went so far; a step that this DAG does not have is left out."""
    ti = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    present = {step: state for step in STEPS if (state := _state(step, states)) is not None}
    return tuple(_report(ti, step, state) for step, state in present.items())


def progress_at_the_room(context: Context, task: BaseOperator, *done: XComValue) -> tuple[StepProgress, ...]:
    """Return the steps as they are when the room is opened.

    What the steps before it returned has been read already and tells how long they took. Asking Airflow how all
    steps are takes ten calls, which the room would wait for: only if one of the values is not a step's own.

    :param task: the task that opens the room.
    :param done: what the first steps returned, in their order.
    """
    timings = {step: value.timing for step, value in zip(STEPS, done, strict=False)}
    if None in timings.values() or not task.has_dag():  # type: ignore[no-untyped-call]
        return step_progress(step_reports(context))
    return tuple(_at_the_room(step, timings.get(step)) for step in STEPS if task.dag.has_task(step))


def _at_the_room(step: str, timing: Timing | None) -> StepProgress:
    if timing is not None:
        return StepProgress(step=step, state=StepState.DONE, duration_ms=timing.duration_ms)
    return StepProgress(step=step, state=StepState.RUNNING if step == TaskId.CREATE_WAR_ROOM else StepState.TO_COME)


def progress_with_the_room(steps: Sequence[StepProgress], took_ms: int) -> tuple[StepProgress, ...]:
    """Return the steps once the room stands, the next one under way: it begins as soon as this one ends.

    :param steps: the steps as they were when the room was opened.
    :param took_ms: how long that took, in milliseconds.
    """
    return tuple(_with_the_room(step, before, took_ms) for before, step in zip((None, *steps), steps, strict=False))


def _with_the_room(step: StepProgress, before: StepProgress | None, took_ms: int) -> StepProgress:
    if step.step == TaskId.CREATE_WAR_ROOM:
        return step.model_copy(update={"state": StepState.DONE, "duration_ms": took_ms})
    if before is not None and before.step == TaskId.CREATE_WAR_ROOM and step.state is StepState.TO_COME:
        return step.model_copy(update={"state": StepState.RUNNING})
    return step


def step_progress(reports: Iterable[StepReport]) -> tuple[StepProgress, ...]:
    """Return the same as the brief shows it."""
    return tuple(
        StepProgress(
            step=report.task_id,
            state=_STEP_STATES.get(report.state, StepState.TO_COME),
            duration_ms=report.timing.duration_ms if report.timing else None,
        )
        for report in reports
    )


def _state(step: str, states: Mapping[str, str | None]) -> str | None:
    """Return a step's state, "none" if it has not begun."""
    found = [str(state).lower() for name, state in states.items() if name == step or is_part(name, step)]
    return next((state for state in _WORST_FIRST if state in found), "none") if found else None


def is_part(name: str, step: str) -> bool:
    """Return whether this is an instance of a mapped step: Airflow names it ``<task id>_<index>``."""
    return name.startswith(f"{step}_") and name[len(step) + 1 :].isdigit()


def _report(ti: Any, step: str, state: str) -> StepReport:
    left = next(iter(ti.xcom_pull(task_ids=[step], key=XComKey.PROBLEM) or ()), None) if state == "failed" else None
    if left is not None:
        return StepReport(task_id=step, state=state, timing=left["timing"], problem=left["problem"])
    values = [value for value in _values(ti, step, state) if isinstance(value, dict)]
    timings = [Timing.model_validate(value["timing"]) for value in values if value.get("timing")]
    problem = Problem(step=step, what=_WORDS[state]) if state in _WORDS else None
    return StepReport(task_id=step, state=state, timing=_span(timings), problem=problem)


def _values(ti: Any, step: str, state: str) -> Sequence[Any]:
    """Return what a step has returned, once for each of its instances."""
    if state in _RETURNED_NOTHING:
        return ()
    if step == TaskId.INVESTIGATE:
        return ti.xcom_pull(task_ids=[step]) or ()
    return () if state == "running" else (returned(ti, step),)


_RETURNED_NOTHING = frozenset({"none", "skipped", "upstream_failed"})

_WORDS = {
    "failed": "failed; Airflow's log of the task has the reason",
    "upstream_failed": "not begun, because a step before it failed",
}


def _span(timings: Sequence[Timing]) -> Timing | None:
    """Return the time from the first beginning to the last end."""
    if not timings:
        return None
    started = min(timing.started_at for timing in timings)
    ended = max(timing.finished_at for timing in timings)
    return Timing(started_at=started, duration_ms=max(0, round((ended - started).total_seconds() * 1000)))
