"""
The pinned brief while the run goes on: brought up to date as steps end.

The step that opens the room writes itself what comes next. Of what follows, only that is told which a person has
time to read: to write the brief is work, and the next step runs meanwhile on the same machine.

Several tasks write it, each in its own process, after Airflow has been told that its step has ended: so no step
waits for it. Each writes what it read just before, then reads again, and writes again if the run has moved on.
Whoever writes last has therefore seen nothing change since, and what it wrote is right; the last to end is the
summary, which writes the brief for good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, STEPS, TaskId, run_url
from airflow_incident_provider.messages.blocks import Message
from airflow_incident_provider.messages.brief import BriefState, StepProgress, StepState, brief
from airflow_incident_provider.models import (
    Finding,
    Incident,
    IncidentSummary,
    SlackWorkspace,
    Timing,
    UserResolution,
    WarRoom,
)
from airflow_incident_provider.room.opener import brief_key
from airflow_incident_provider.room.progress import is_part
from airflow_incident_provider.room.standing import standing
from airflow_incident_provider.room.xcom import read_value
from airflow_incident_provider.slack.protocol import SlackClient

if TYPE_CHECKING:
    from airflow.sdk import Context

WRITES = 6
"""How often one task writes at the most, if others keep ending beside it; mostly it is once or twice."""

SLACK_SECONDS = 3
"""How long one call may take. It is sent once: Slack takes fifty updates a minute, and the summary needs one."""

PARTS_TOLD = 4
"""How often an investigation of many probes is told of while it goes on, its end among them."""

SLOW_PROBE_SECONDS = 5
"""How long a probe takes at least whose end is told: the findings follow quicker ones before anybody looks."""

States = Mapping[str, str | None]
"""Airflow's word for each task of a run; a mapped instance is named ``<task id>_<index>``."""

_ENDS = {
    "success": StepState.DONE,
    "failed": StepState.FAILED,
    "upstream_failed": StepState.FAILED,
    "skipped": StepState.SKIPPED,
    "removed": StepState.SKIPPED,
}


def refresh_brief(context: Context, *, state: str, took_s: float) -> None:
    """
    Bring the brief up to date, if this task's end is worth telling and there is a live room.

    :param state: how the task ended, in Airflow's word.
    :param took_s: how long it took.
    :raises IncidentError: Slack did not take it; nothing else depends on that.
    """
    ti = context["ti"]
    if not may_be_worth_telling(ti.task_id, state, took_s):
        return
    states = _states(ti)
    if not is_worth_telling(ti.task_id, states):
        return
    room = read_value(WarRoom, None, context, TaskId.CREATE_WAR_ROOM)
    incident = read_value(Incident, None, context, TaskId.PARSE_INCIDENT)
    if incident is None or room is None or room.channel_id is None or room.brief_ts is None:
        return
    slack, channel_id, ts = _slack(ti.task), room.channel_id, room.brief_ts

    def write(seen: States) -> None:
        message = _final(context, seen) or _under_way(context, incident, room, steps_so_far(seen))
        slack.update(channel_id, ts, message, key=brief_key(incident))

    settle(states, read=lambda: _states(ti), write=write)


def settle(seen: States, *, read: Callable[[], States], write: Callable[[States], None]) -> None:
    """
    Write what was seen, look again, and write again until nothing has changed meanwhile.

    Of several that do this side by side, the last to write has therefore written what is so.
    """
    for _ in range(WRITES):
        write(seen)
        now = read()
        if steps_so_far(now) == steps_so_far(seen):
            return
        seen = now


def may_be_worth_telling(task_id: str, state: str, took_s: float) -> bool:
    """
    Return whether the end of this task may change what a person wants to see, as far as the task alone shows.

    The steps before the room have no brief yet. Quick probes are followed by the findings, and those by the
    summary at once, unless they failed.
    """
    if task_id == TaskId.INVESTIGATE:
        return took_s >= SLOW_PROBE_SECONDS
    return task_id == TaskId.FINAL_SUMMARY or (task_id == TaskId.POST_UPDATES and state == "failed")


def is_worth_telling(task_id: str, states: States) -> bool:
    """Return whether it does, as the others are now: of many probes, every quarter but the last is told."""
    if task_id != TaskId.INVESTIGATE:
        return True
    step = next((step for step in steps_so_far(states) if step.step == task_id), None)
    return step is not None and _is_mark(step.done, step.total)


def steps_so_far(states: States) -> tuple[StepProgress, ...]:
    """Return each step of this DAG as it is, without durations: the first that has not ended is under way."""
    steps = [step for name in STEPS if (step := _step(name, states)) is not None]
    current = next((step for step in steps if step.state is StepState.TO_COME), None)
    return tuple(
        step.model_copy(update={"state": StepState.RUNNING}) if step is current else step for step in steps
    )


def _step(name: str, states: States) -> StepProgress | None:
    """Return one step; ``None`` if this DAG has not got it. A step of many parts ends when all of them have."""
    parts = [state for task, state in states.items() if is_part(task, name)]
    own = [states[name]] if name in states else []
    ends = [_ENDS.get(str(state).lower()) for state in parts or own]
    if not ends:
        return None
    told = {"done": sum(end is not None for end in ends), "total": len(ends)} if parts else {}
    if None in ends:
        return StepProgress(step=name, **told)
    worst = next(state for state in (StepState.FAILED, StepState.DONE, StepState.SKIPPED) if state in ends)
    return StepProgress(step=name, state=worst, **told)


def _is_mark(done: int | None, total: int | None) -> bool:
    """Return whether so many of so many parts, but not all, are a quarter more than one part fewer."""
    if not done or not total or done == total:
        return False
    return done * PARTS_TOLD // total > (done - 1) * PARTS_TOLD // total


def _states(ti: Any) -> States:
    found: States = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    return found


def _slack(task: Any) -> SlackClient:
    """Return the workspace of the task that opened the room, with little patience."""
    from airflow_incident_provider.slack.client import LiveSlackClient
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    opener = task.dag.get_task(TaskId.CREATE_WAR_ROOM) if task.dag.has_task(TaskId.CREATE_WAR_ROOM) else None
    conn_id = getattr(opener, "slack_conn_id", DEFAULT_SLACK_CONN_ID)
    return LiveSlackClient(IncidentSlackHook(slack_conn_id=conn_id, attempts=1, timeout=SLACK_SECONDS))


def _final(context: Context, states: States) -> Message | None:
    """Return the brief as the summary left it, once there is one."""
    if _ENDS.get(str(states.get(TaskId.FINAL_SUMMARY)).lower()) is None:
        return None
    from airflow_incident_provider.room.summary import final_brief, read_run

    summary = read_value(IncidentSummary, None, context, TaskId.FINAL_SUMMARY)
    return final_brief(read_run(context), summary)[1] if summary is not None else None


def _under_way(context: Context, incident: Incident, room: WarRoom, steps: tuple[StepProgress, ...]) -> Message:
    workspace = read_value(SlackWorkspace, None, context, TaskId.SETUP_SLACK)
    people = read_value(UserResolution, None, context, TaskId.RESOLVE_USERS)
    timings: dict[str, Timing | None] = {
        TaskId.PARSE_INCIDENT: incident.timing,
        TaskId.SETUP_SLACK: workspace.timing if workspace else None,
        TaskId.RESOLVE_USERS: people.timing if people else None,
        TaskId.CREATE_WAR_ROOM: room.timing,
        TaskId.INVESTIGATE: _investigation(context, steps),
    }
    stands = standing(context, incident)
    return brief(
        BriefState(
            incident=stands.incident,
            status=stands.status,
            commander=stands.commander,
            repeats=stands.repeats,
            workspace=workspace,
            opened_at=room.opened_at,
            invited=room.invited,
            not_invited=room.not_invited,
            steps=tuple(_with_duration(step, timings.get(step.step)) for step in steps),
            problems=room.problems,
            run_url=run_url(context["ti"].dag_id, context["ti"].run_id),
            with_picture=room.picture,
        )
    )


def _investigation(context: Context, steps: tuple[StepProgress, ...]) -> Timing | None:
    """Return how long the investigation took, once all of it has ended."""
    if not any(step.step == TaskId.INVESTIGATE and step.state is StepState.DONE for step in steps):
        return None
    values = context["ti"].xcom_pull(task_ids=[TaskId.INVESTIGATE]) or ()
    timings = [found.timing for value in values if value and (found := Finding.model_validate(value)).timing]
    if not timings:
        return None
    began, ended = min(t.started_at for t in timings), max(t.finished_at for t in timings)
    return Timing(started_at=began, duration_ms=max(0, round((ended - began).total_seconds() * 1000)))


def _with_duration(step: StepProgress, timing: Timing | None) -> StepProgress:
    if timing is None or step.state not in (StepState.DONE, StepState.FAILED):
        return step
    return step.model_copy(update={"duration_ms": timing.duration_ms})
