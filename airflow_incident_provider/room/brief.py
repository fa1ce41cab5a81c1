"""
The brief: one builder of what it shows, one writer with all fallbacks, and its refresh while a run goes on.

Several tasks refresh the brief, each in its own process, after Airflow knows that the task has ended, so that no
task waits for it. Each writes what it has read, reads again, and writes again if the run has moved on. So the
last writer has read the latest state. The summary writes the final state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, TaskId
from airflow_incident_provider.exceptions import IncidentError, SlackRequestError
from airflow_incident_provider.lifecycle.coordination import Coordination
from airflow_incident_provider.lifecycle.records import Status
from airflow_incident_provider.messages.brief import BriefState, brief
from airflow_incident_provider.messages.progress import StepProgress, StepState
from airflow_incident_provider.models import Incident, Invitation, NotInvited, Timing, UserResolution
from airflow_incident_provider.room.progress import final_steps, steps_so_far, total_time
from airflow_incident_provider.room.responders import invitations, not_invited
from airflow_incident_provider.room.snapshot import IncidentSnapshot, snapshot_of_run
from airflow_incident_provider.slack.errors import EDIT_REFUSED, MESSAGE_NOT_FOUND, UNREACHABLE_IMAGE
from airflow_incident_provider.slack.protocol import SlackClient

if TYPE_CHECKING:
    from airflow.sdk import Context

MAX_WRITES = 6
"""How often one task writes at most while others keep ending; usually it is once or twice."""

REFRESH_SECONDS = 3
"""Seconds for one refresh. It is tried once: Slack allows fifty updates a minute, and the summary needs one."""

SHOWN_PARTS = 4
"""How often the progress of an investigation with many probes is shown, its end included."""

SLOW_PROBE_SECONDS = 5
"""Seconds after which the end of a probe is shown; quicker ones are followed by the findings at once."""

TaskStates = Mapping[str, str | None]
"""The Airflow state of each task of a run; a mapped instance is named ``<task id>_<index>``."""


def brief_key(incident: Incident) -> str:
    """Return the key in the metadata of an incident's brief."""
    return f"{incident.key}/brief"


def brief_state(
    snapshot: IncidentSnapshot,
    *,
    steps: Sequence[StepProgress] = (),
    here_later: Sequence[Invitation] = (),
    missing_later: Sequence[NotInvited] = (),
    looked_up_again: Sequence[str] = (),
) -> BriefState:
    """Return what the brief shows of an incident; the only place that decides it.

    :param snapshot: the incident. Without a room its people are about to be invited.
    :param steps: the progress of the run; default: the steps of its summary, if there is one.
    :param here_later: responders of later notifications who are in the room.
    :param missing_later: responders of later notifications who are not, and why.
    :param looked_up_again: queries of the first run whose new results are in the two lists.
    """
    assert snapshot.incident is not None
    room, summary, record = snapshot.room, snapshot.summary, snapshot.record
    people = snapshot.people or UserResolution()
    pending: tuple[Invitation, ...] = ()
    invited: tuple[Invitation, ...] = ()
    if room is None:
        pending, left_out, problems = invitations(people), not_invited(people), people.problems
    else:
        invited = (*room.invited, *(summary.invited_later if summary else ()), *here_later)
        # A summary that was made before the room existed says nothing about who was invited.
        complete = summary if summary is not None and summary.room_url is not None else None
        left_out = complete.not_invited if complete else room.not_invited
        asked_later = {query.casefold() for query in _queries(here_later, missing_later)}
        came = {one.user.id for one in invited}
        left_out = (
            *(
                one
                for one in left_out
                if one.query not in looked_up_again
                and one.query.casefold() not in asked_later
                and one.user_id not in came
            ),
            *missing_later,
        )
        problems = complete.problems if complete else room.problems
    there = {one.user.id for one in (*invited, *pending)}
    return BriefState(
        incident=snapshot.incident,
        workspace=snapshot.workspace,
        opened_at=room.opened_at if room else None,
        pending=pending,
        invited=invited,
        not_invited=tuple(one for one in left_out if not one.is_made_up_for(there)),
        findings=snapshot.all_findings,
        investigated=summary is not None or snapshot.updates is not None,
        steps=tuple(steps) or (final_steps(summary) if summary else ()),
        problems=problems,
        status=snapshot.status,
        recovered_at=record.recovered_at if record and record.status is Status.RECOVERED else None,
        commander=record.commander if record else None,
        repeats=record.repeats if record else 0,
        run_url=snapshot.run_url,
        with_picture=room.picture if room else True,
        interactive=snapshot.workspace.interactive if snapshot.workspace else False,
        closed=record is not None and record.status in (Status.RESOLVED, Status.ARCHIVED),
        coordination=record.coordination if record else Coordination(),
    )


def _queries(here: Sequence[Invitation], missing: Sequence[NotInvited]) -> tuple[str, ...]:
    return (*(one.query for one in here), *(one.query for one in missing))


class BriefWriter:
    """Posts and updates the brief of one incident in one channel.

    If Slack cannot fetch the image, the brief is written with a link instead. If the brief was deleted, or Slack
    refuses to edit it, the newest brief of the incident is updated, or a new one is posted and pinned.

    :param slack: the workspace, or a dry run of it.
    :param channel_id: the room's channel.
    """

    def __init__(self, slack: SlackClient, channel_id: str) -> None:
        self._slack = slack
        self._channel_id = channel_id

    def post(self, state: BriefState) -> tuple[str, bool]:
        """Post the brief; return its timestamp and whether it shows the image.

        :raises SlackRequestError: Slack refuses the brief also without its image.
        """
        key = brief_key(state.incident)
        return self._without_image_if_unreachable(
            state, lambda shown: self._slack.post(self._channel_id, brief(shown), key=key)
        )

    def update(self, ts: str, state: BriefState) -> bool:
        """Update the brief; return whether it shows the image.

        :raises SlackRequestError: the brief was deleted or cannot be edited.
        """
        _, with_image = self._without_image_if_unreachable(state, lambda shown: self._update(ts, shown))
        return with_image

    def write(self, ts: str, state: BriefState) -> str:
        """Update the brief, or replace it if that is refused; return the timestamp of the one that is current."""
        try:
            self.update(ts, state)
        except SlackRequestError as error:
            if error.code not in EDIT_REFUSED | {MESSAGE_NOT_FOUND}:
                raise
            return self._replace(ts, state)
        return ts

    def _replace(self, ts: str, state: BriefState) -> str:
        newest = self._slack.find_message(self._channel_id, brief_key(state.incident))
        if newest is not None and newest != ts:
            try:
                self.update(newest, state)
            except SlackRequestError as error:
                if error.code not in EDIT_REFUSED | {MESSAGE_NOT_FOUND}:
                    raise
            else:
                return newest
        posted, _ = self.post(state)
        try:
            self._slack.pin(self._channel_id, posted)
        except IncidentError:
            # The brief is there; a pin is only convenient.
            return posted
        return posted

    def _update(self, ts: str, state: BriefState) -> str:
        self._slack.update(self._channel_id, ts, brief(state), key=brief_key(state.incident))
        return ts

    @staticmethod
    def _without_image_if_unreachable(state: BriefState, write: Callable[[BriefState], str]) -> tuple[str, bool]:
        try:
            return write(state), state.with_picture
        except SlackRequestError as error:
            if error.code not in UNREACHABLE_IMAGE or not state.with_picture or not state.incident.snapshot_url:
                raise
        # Slack fetches images itself, also for an update, and refuses the whole message if it cannot.
        return write(state.model_copy(update={"with_picture": False})), False


# --- the refresh while a run goes on ----------------------------------------------------------------


def refresh_brief(context: Context, *, state: str, duration_s: float) -> None:
    """
    Refresh the brief when a task has ended, if that is worth showing and there is a live room.

    :param state: the Airflow state the task ended in.
    :param duration_s: how long it took.
    :raises IncidentError: Slack did not accept it; nothing else depends on it.
    """
    ti = context["ti"]
    if not may_be_shown(ti.task_id, state, duration_s):
        return
    states = _task_states(ti)
    if not is_shown(ti.task_id, states):
        return
    room = snapshot_of_run(context).room
    if room is None or room.channel_id is None or room.brief_ts is None:
        return
    channel_id, ts, slack = room.channel_id, room.brief_ts, _slack(ti.task)

    def write(seen: TaskStates) -> None:
        snapshot = snapshot_of_run(context)
        if snapshot.incident is None:
            return
        steps = () if snapshot.summary is not None else _with_durations(snapshot, steps_so_far(seen))
        BriefWriter(slack.within(REFRESH_SECONDS), channel_id).update(ts, brief_state(snapshot, steps=steps))

    write_until_settled(states, read=lambda: _task_states(ti), write=write)


def write_until_settled(
    seen: TaskStates, *, read: Callable[[], TaskStates], write: Callable[[TaskStates], None]
) -> None:
    """
    Write what was seen, read again, and write again until nothing has changed in between.

    Of several processes that do this at the same time, the last one to write has written the current state.
    """
    for _ in range(MAX_WRITES):
        write(seen)
        now = read()
        if steps_so_far(now) == steps_so_far(seen):
            return
        seen = now


def may_be_shown(task_id: str, state: str, duration_s: float) -> bool:
    """
    Return whether the end of a task may change what the brief shows, by the task alone.

    The steps before the room have no brief yet. Quick probes are followed by the findings, and those by the
    summary, unless they failed.
    """
    if task_id == TaskId.INVESTIGATE:
        return duration_s >= SLOW_PROBE_SECONDS
    return task_id == TaskId.FINAL_SUMMARY or (task_id == TaskId.POST_UPDATES and state == "failed")


def is_shown(task_id: str, states: TaskStates) -> bool:
    """Return whether it does, by the state of the other tasks: of many probes, every quarter but the last."""
    if task_id != TaskId.INVESTIGATE:
        return True
    step = next((step for step in steps_so_far(states) if step.step == task_id), None)
    return step is not None and _is_milestone(step.done, step.total)


def _is_milestone(done: int | None, total: int | None) -> bool:
    """Return whether ``done`` of ``total`` parts, but not all, are a quarter more than one part fewer."""
    if not done or not total or done == total:
        return False
    return done * SHOWN_PARTS // total > (done - 1) * SHOWN_PARTS // total


def _task_states(ti: Any) -> TaskStates:
    found: TaskStates = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    return found


def _slack(task: Any) -> SlackClient:
    """Return a client of the workspace of the task that opened the room, which sends each call once."""
    # These import slack_sdk.
    from airflow_incident_provider.slack.client import LiveSlackClient
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    opener = task.dag.get_task(TaskId.CREATE_WAR_ROOM) if task.dag.has_task(TaskId.CREATE_WAR_ROOM) else None
    conn_id = getattr(opener, "slack_conn_id", DEFAULT_SLACK_CONN_ID)
    return LiveSlackClient(IncidentSlackHook(slack_conn_id=conn_id, attempts=1, timeout=REFRESH_SECONDS))


def _with_durations(snapshot: IncidentSnapshot, steps: Sequence[StepProgress]) -> tuple[StepProgress, ...]:
    timings = {task: value.timing for task, value in _step_values(snapshot).items() if value is not None}
    if any(step.step == TaskId.INVESTIGATE and step.state is StepState.DONE for step in steps):
        timings[TaskId.INVESTIGATE] = total_time([each.timing for each in snapshot.findings if each.timing])
    return tuple(_with_duration(step, timings.get(step.step)) for step in steps)


def _step_values(snapshot: IncidentSnapshot) -> dict[str, Any]:
    return {
        TaskId.PARSE_INCIDENT: snapshot.incident,
        TaskId.SETUP_SLACK: snapshot.workspace,
        TaskId.RESOLVE_USERS: snapshot.people,
        TaskId.CREATE_WAR_ROOM: snapshot.room,
    }


def _with_duration(step: StepProgress, timing: Timing | None) -> StepProgress:
    if timing is None or step.state not in (StepState.DONE, StepState.FAILED):
        return step
    return step.model_copy(update={"duration_ms": timing.duration_ms})
