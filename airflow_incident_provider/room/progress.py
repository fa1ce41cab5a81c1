"""How far a run has come, for the brief and the summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.config import STEPS, TaskId, XComKey
from airflow_incident_provider.messages.progress import StepProgress, StepState
from airflow_incident_provider.models import IncidentSummary, Problem, StepReport, Timing, XComValue
from airflow_incident_provider.room.xcom import returned

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

FAILED_STATES = frozenset({"failed", "upstream_failed"})
"""The Airflow states of a step that did not do its work."""

# The worst first: a mapped step is in the state of its worst instance.
_WORST_FIRST = ("failed", "upstream_failed", "running", "success", "skipped")
_STEP_STATES = {
    "success": StepState.DONE,
    "failed": StepState.FAILED,
    "upstream_failed": StepState.FAILED,
    "skipped": StepState.SKIPPED,
    "removed": StepState.SKIPPED,
    "running": StepState.RUNNING,
}
_ENDED = frozenset(_STEP_STATES) - {"running"}
_RETURNED_NOTHING = frozenset({"none", "skipped", "upstream_failed"})
_PROBLEMS = {
    "failed": "failed; the reason is in Airflow's log of the task",
    "upstream_failed": "not started, because an earlier step failed",
}


def step_reports(context: Context) -> tuple[StepReport, ...]:
    """Return how each step of this run went so far; a step that the DAG does not have is left out."""
    ti = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    present = {step: state for step in STEPS if (state := _state(step, states)) is not None}
    return tuple(_report(ti, step, state) for step, state in present.items())


def step_progress(reports: Iterable[StepReport]) -> tuple[StepProgress, ...]:
    """Return step reports as the brief shows them."""
    return tuple(
        StepProgress(
            step=report.task_id,
            state=_STEP_STATES.get(report.state, StepState.TO_COME),
            duration_ms=report.timing.duration_ms if report.timing else None,
        )
        for report in reports
    )


def completed(steps: Iterable[StepReport]) -> tuple[StepReport, ...]:
    """Return the steps of a summary with the summary itself done: it was running when it listed them."""
    return tuple(
        step.model_copy(update={"state": "success"}) if step.task_id == TaskId.FINAL_SUMMARY else step
        for step in steps
    )


def final_steps(summary: IncidentSummary) -> tuple[StepProgress, ...]:
    """Return the steps of a run that has ended, by its summary."""
    return step_progress(completed(summary.steps))


def progress_before_room(context: Context, task: BaseOperator, *done: XComValue) -> tuple[StepProgress, ...]:
    """Return the steps as they are when the room is opened.

    The values of the earlier steps hold their durations. Reading the state of all steps from Airflow takes ten
    calls that the room would wait for, so that is done only if a value is not a step's own.

    :param task: the task that opens the room.
    :param done: the values of the first steps, in order.
    """
    timings = {step: value.timing for step, value in zip(STEPS, done, strict=False)}
    if None in timings.values() or not task.has_dag():  # type: ignore[no-untyped-call]
        return step_progress(step_reports(context))
    return tuple(_before_room(step, timings.get(step)) for step in STEPS if task.dag.has_task(step))


def _before_room(step: str, timing: Timing | None) -> StepProgress:
    if timing is not None:
        return StepProgress(step=step, state=StepState.DONE, duration_ms=timing.duration_ms)
    return StepProgress(step=step, state=StepState.RUNNING if step == TaskId.CREATE_WAR_ROOM else StepState.TO_COME)


def progress_with_room(steps: Sequence[StepProgress], duration_ms: int) -> tuple[StepProgress, ...]:
    """Return the steps once the room is open; the next one is running: it starts when this one ends.

    :param steps: the steps when the room was opened.
    :param duration_ms: how long opening it took.
    """
    previous = (None, *steps)
    return tuple(_with_room(step, before, duration_ms) for before, step in zip(previous, steps, strict=False))


def _with_room(step: StepProgress, before: StepProgress | None, duration_ms: int) -> StepProgress:
    if step.step == TaskId.CREATE_WAR_ROOM:
        return step.model_copy(update={"state": StepState.DONE, "duration_ms": duration_ms})
    if before is not None and before.step == TaskId.CREATE_WAR_ROOM and step.state is StepState.TO_COME:
        return step.model_copy(update={"state": StepState.RUNNING})
    return step


def steps_so_far(states: Mapping[str, str | None]) -> tuple[StepProgress, ...]:
    """Return the progress of each step of a DAG, without durations; the first that has not ended is running.

    :param states: the Airflow state of each task; a mapped instance is named ``<task id>_<index>``.
    """
    steps = [step for name in STEPS if (step := _progress(name, states)) is not None]
    current = next((step for step in steps if step.state is StepState.TO_COME), None)
    return tuple(
        step.model_copy(update={"state": StepState.RUNNING}) if step is current else step for step in steps
    )


def _progress(name: str, states: Mapping[str, str | None]) -> StepProgress | None:
    """Return one step, or ``None`` if the DAG does not have it. A mapped step ends with its last instance."""
    parts = [state for task, state in states.items() if _is_instance(task, name)]
    own = [states[name]] if name in states else []
    ends = [_STEP_STATES[word] if (word := str(state).lower()) in _ENDED else None for state in parts or own]
    if not ends:
        return None
    count = {"done": sum(end is not None for end in ends), "total": len(ends)} if parts else {}
    if None in ends:
        return StepProgress(step=name, **count)
    worst = next(state for state in (StepState.FAILED, StepState.DONE, StepState.SKIPPED) if state in ends)
    return StepProgress(step=name, state=worst, **count)


def total_time(timings: Sequence[Timing]) -> Timing | None:
    """Return the time from the first start to the last end."""
    if not timings:
        return None
    started = min(timing.started_at for timing in timings)
    ended = max(timing.finished_at for timing in timings)
    return Timing(started_at=started, duration_ms=max(0, round((ended - started).total_seconds() * 1000)))


def _state(step: str, states: Mapping[str, str | None]) -> str | None:
    """Return a step's state, "none" if it has not started, ``None`` if the DAG does not have it."""
    found = [str(state).lower() for name, state in states.items() if name == step or _is_instance(name, step)]
    return next((state for state in _WORST_FIRST if state in found), "none") if found else None


def _is_instance(name: str, step: str) -> bool:
    """Return whether this is an instance of a mapped step: Airflow names it ``<task id>_<index>``."""
    return name.startswith(f"{step}_") and name[len(step) + 1 :].isdigit()


def _report(ti: Any, step: str, state: str) -> StepReport:
    if state == "failed":
        problem = next(iter(ti.xcom_pull(task_ids=[step], key=XComKey.PROBLEM) or ()), None)
        if problem is not None:
            return StepReport(task_id=step, state=state, timing=problem["timing"], problem=problem["problem"])
    values = [value for value in _values(ti, step, state) if isinstance(value, dict)]
    timings = [Timing.model_validate(value["timing"]) for value in values if value.get("timing")]
    problem = Problem(step=step, what=_PROBLEMS[state]) if state in _PROBLEMS else None
    return StepReport(task_id=step, state=state, timing=total_time(timings), problem=problem)


def _values(ti: Any, step: str, state: str) -> Sequence[Any]:
    """Return the return values of a step, one for each of its instances."""
    if state in _RETURNED_NOTHING:
        return ()
    if step == TaskId.INVESTIGATE:
        return ti.xcom_pull(task_ids=[step]) or ()
    return () if state == "running" else (returned(ti, step),)
