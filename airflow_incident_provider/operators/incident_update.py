"""The operators of ``incident_update`` while an incident goes on: what is due, updates, recovery."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.providers.standard.utils.skipmixin import SkipMixin
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, DagRunTriggerException

from airflow_incident_provider.config import ConfKey, TaskId, XComKey
from airflow_incident_provider.exceptions import IncidentError, SlackConfigurationError
from airflow_incident_provider.intake.policies import Reminders
from airflow_incident_provider.lifecycle.closing import (
    CloseRequest,
    Closing,
    due_closing,
)
from airflow_incident_provider.lifecycle.coordination import Role
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status, UpdateKind, Visibility
from airflow_incident_provider.lifecycle.reminders import (
    Reminder,
    check_run_id,
    due_reminders,
    next_check_at,
    next_reminder_at,
)
from airflow_incident_provider.messages.coordination import ReminderText, reminder_message
from airflow_incident_provider.messages.findings import checked_at, count_verdicts, findings_messages
from airflow_incident_provider.messages.status_changes import (
    failing_probes,
    recovery_messages,
)
from airflow_incident_provider.models import (
    Finding,
    PostedMessage,
    ProblemCode,
    ThreadUpdates,
    Verdict,
    WarRoom,
)
from airflow_incident_provider.operators.base import SlackStep, due_at
from airflow_incident_provider.registry.records import UpdateBatch
from airflow_incident_provider.registry.task_client import TaskRegistry
from airflow_incident_provider.room.opener import RoomOpener
from airflow_incident_provider.room.pending import Missing, missing_parts, post_missing, retry_delay
from airflow_incident_provider.room.session import RoomSession
from airflow_incident_provider.room.snapshot import (
    IncidentSnapshot,
    first_run_is_under_way,
    incident_key,
    room_location,
    snapshot_of_incident,
)
from airflow_incident_provider.room.updates import (
    UpdatePoster,
    announce_room_in_thread,
    missing_room_request,
    open_thread,
    recovery_key,
    recovery_of,
)
from airflow_incident_provider.room.xcom import read_value
from airflow_incident_provider.routing_file import active_routing_table

if TYPE_CHECKING:
    from airflow.sdk import Context

ROOM_POLL = timedelta(seconds=5)
"""How long an update waits, deferred, before it looks again whether the room is open."""

_CLOSING_TASKS = {
    Closing.RESOLVE: TaskId.RESOLVE_INCIDENT,
    Closing.WARN: TaskId.ARCHIVE_WAR_ROOM,
    Closing.ARCHIVE: TaskId.ARCHIVE_WAR_ROOM,
}


# --- what is due ------------------------------------------------------------------------------------


class SelectDueTasksOperator(BaseOperator, SkipMixin):
    """Select the tasks that the incident needs now, by its record, and skip the other direct downstream tasks.

    This is not a branch operator: that would not skip a task which also follows a selected one.

    An update that is older than its room waits for it, deferred. The run's conf names the incident
    (``incident_key``) and may hold a close request; what to post is stored in the registry under the run's id, so
    that a retry finds the same.

    .. code-block:: python

        SelectDueTasksOperator(task_id="select_due_tasks", inlets=[REGISTRY])
    """

    inherits_from_skipmixin = True
    ui_color = "#fdf1e3"

    def execute(self, context: Context) -> None:
        """Select, or wait for the room."""
        selected = self._selected(context)
        self.log.info("Due now: %s", ", ".join(selected) or "nothing")
        others = [task for task in self.get_direct_relatives() if task.node_id not in selected]
        if TaskId.SCHEDULE_NEXT_CHECK in selected:
            # A copy of the DAG from version 0.1.0 calls this task look_again.
            others = [task for task in others if not isinstance(task, ScheduleNextCheckOperator)]
        self.skip(context["ti"], others)

    def resume(self, context: Context, event: Any = None) -> None:  # noqa: ARG002 - Airflow passes it
        """Continue after the wait."""
        self.execute(context)

    def _selected(self, context: Context) -> list[str]:
        snapshot = snapshot_of_incident(context)
        if snapshot is None or snapshot.record is None:
            self.log.warning("The registry has no incident %r.", incident_key(context))
            return []
        batch = TaskRegistry.of(context).updates(context["ti"].run_id)
        missing = missing_parts(snapshot)
        if missing and first_run_is_under_way(context, snapshot):
            if Missing.ROOM in missing:
                self.defer(trigger=DateTimeTrigger(datetime.now(UTC) + ROOM_POLL), method_name="resume")
            missing = ()
        request = CloseRequest.of(context["dag_run"].conf)
        if request is not None:
            return [_CLOSING_TASKS[request.closing], TaskId.SCHEDULE_NEXT_CHECK]
        if (context["dag_run"].conf or {}).get(ConfKey.CHECK_REQUEST):
            return [TaskId.PLAN_RECHECK]
        if missing:
            self.log.warning("The room still lacks: %s.", ", ".join(missing))
        table = active_routing_table().table
        closing = due_closing(snapshot.record, table.lifecycle, due_at(context))
        tasks = tasks_for(snapshot.record, batch, closing, is_incomplete=bool(missing))
        return [*tasks, *_reminder_tasks(context, snapshot, table.reminders, tasks)]


def tasks_for(
    record: IncidentRecord, batch: UpdateBatch | None, closing: Closing | None, *, is_incomplete: bool = False
) -> list[str]:
    """Return the tasks to run.

    :param batch: what this run has to post, if anything.
    :param closing: the step towards the end that is due, if any.
    :param is_incomplete: whether there is no room, or the first run left something out of it.
    """
    tasks: list[str] = []
    has_news = batch is not None and bool(batch.items or batch.dropped)
    if has_news or is_incomplete:
        tasks.append(TaskId.POST_UPDATE)
    if batch is not None and record.status is Status.RECOVERED and _has(batch, UpdateKind.RECOVERED):
        tasks.append(TaskId.PLAN_RECHECK)
    if closing is not None:
        tasks.append(_CLOSING_TASKS[closing])
    if is_incomplete or record.status in (Status.RECOVERED, Status.RESOLVED):
        tasks.append(TaskId.SCHEDULE_NEXT_CHECK)
    return tasks


def _reminder_tasks(
    context: Context, snapshot: IncidentSnapshot, settings: Reminders, selected: Sequence[str]
) -> list[str]:
    """Return the tasks for reminders: to post those of this run's time, and to request the next run."""
    record = snapshot.record
    if record is None or snapshot.room is None:
        return []
    at = context["dag_run"].run_after
    tasks: list[str] = [TaskId.POST_REMINDERS] if at and due_reminders(record, settings, at) else []
    next_check = next_reminder_at(record, settings, due_at(context))
    if next_check is not None and TaskId.SCHEDULE_NEXT_CHECK not in selected:
        tasks.append(TaskId.SCHEDULE_NEXT_CHECK)
    return tasks


def _has(batch: UpdateBatch, kind: UpdateKind) -> bool:
    return any(item.kind is kind for item in batch.items)


class ScheduleNextCheckOperator(BaseOperator):
    """Request a run of this DAG at the next moment at which something may be due for the incident.

    A run that is due later costs nothing until then: no worker, no trigger, and none of the DAG's active runs. It
    selects by itself what is due. Its run id derives from the incident and the moment, so requesting it twice makes
    one run. The task is skipped if there is nothing to wait for.

    .. code-block:: python

        ScheduleNextCheckOperator(task_id="schedule_next_check", trigger_rule="all_done", inlets=[REGISTRY])
    """

    ui_color = "#fdf1e3"

    def execute(self, context: Context) -> NoReturn:
        """Request the run, as Airflow's own ``TriggerDagRunOperator`` does."""
        key, now = incident_key(context), due_at(context)
        snapshot = snapshot_of_incident(context)
        moments = _next_moments(snapshot, now) if snapshot is not None and snapshot.record is not None else []
        if not moments:
            raise AirflowSkipException("There is nothing to wait for.")
        at = min(moments)
        raise DagRunTriggerException(
            trigger_dag_id=context["ti"].dag_id,
            dag_run_id=check_run_id(key, at),
            conf={ConfKey.INCIDENT_KEY.value: key, **_first_run(context), **_checked_by(context)},
            logical_date=None,
            reset_dag_run=False,
            skip_when_already_exists=True,
            wait_for_completion=False,
            allowed_states=[],
            failed_states=[],
            poke_interval=0,
            deferrable=False,
            run_after=at,
        )


def _next_moments(snapshot: IncidentSnapshot, now: datetime) -> list[datetime]:
    """Return when something may be due: a reminder, a step towards the end, an attempt to complete the room."""
    assert snapshot.record is not None
    room = snapshot.record.room
    moments = [next_check_at(snapshot.record, active_routing_table().table, now)] if snapshot.is_registered else []
    if missing_parts(snapshot):
        is_planned = room.next_try_at is not None and room.next_try_at > now
        moments.append(room.next_try_at if is_planned else now + retry_delay(room.attempts + 1))
    return [moment for moment in moments if moment is not None]


def _first_run(context: Context) -> dict[str, Any]:
    """Return the part of the conf that names the first run of an incident that the registry may not have."""
    conf = context["dag_run"].conf or {}
    return {key: value for key, value in conf.items() if key == ConfKey.FIRST_RUN}


def _checked_by(context: Context) -> dict[str, Any]:
    """Return this run's id if it ran the probes again: the message of the resolution shows their results."""
    ti = context["ti"]
    return {ConfKey.CHECKED_BY.value: ti.run_id} if ti.xcom_pull(task_ids=TaskId.RECOVER_INCIDENT) else {}


# --- reminders --------------------------------------------------------------------------------------


class PostRemindersOperator(SlackStep):
    """Post the reminders of this run's due time into the room: take command, post an update, or resolve.

    Each reminder belongs to one due time and so to one run. The task is skipped if its reason is gone by now.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: :class:`~airflow_incident_provider.models.ThreadUpdates`, pushed to XCom.
    :raises SlackUnavailableError: Slack does not answer: the task is retried, and repeats nothing.

    .. code-block:: python

        PostRemindersOperator(task_id="post_reminders", inlets=[REGISTRY])
    """

    ui_color = "#e4eef8"

    def run_step(self, context: Context) -> ThreadUpdates:
        """Post the reminders."""
        snapshot, at = snapshot_of_incident(context), context["dag_run"].run_after
        if snapshot is None or snapshot.record is None or snapshot.room is None or at is None:
            raise AirflowSkipException("There is no room to post in.")
        reminders = due_reminders(snapshot.record, active_routing_table().table.reminders, at)
        if not reminders:
            raise AirflowSkipException("No reminder is due any more.")
        session = RoomSession.begin(context, snapshot, conn_id=self.slack_conn_id, log=self.log)
        return session.value(
            session.poster.post(
                reminder_message(_reminder_text(snapshot.record, reminder)),
                key=f"{session.run_key}/{reminder.kind}",
            )
            for reminder in reminders
        )


def _reminder_text(record: IncidentRecord, reminder: Reminder) -> ReminderText:
    commander = record.coordination.roles.get(Role.COMMANDER)
    return ReminderText(
        kind=reminder.kind,
        number=reminder.number,
        since=reminder.since,
        now=reminder.due_at,
        commander=(commander.slack_id or commander.name) if commander else record.commander,
        severity=record.severity,
    )


# --- updates and recovery ---------------------------------------------------------------------------


class PostIncidentUpdateOperator(SlackStep):
    """Post an update: who is invited for it, what happened, and the new state of brief and topic.

    Repetitions go into the brief's thread, as one message with counts. A reopening and a recovery are posted in
    the room itself. An incident that has reopened and whose room is archived gets a new one. The first update of
    an incident that triage keeps out of rooms opens its thread in the triage channel.

    A room that could not be opened is opened now, with everything that has happened since; what the first run could
    not post is posted now. If that fails again, the task fails, and ``schedule_next_check`` requests the next try.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: :class:`~airflow_incident_provider.models.ThreadUpdates`, pushed to XCom. The task is skipped if there
        is nothing to post, or no place to post it.
    :raises SlackUnavailableError: Slack does not answer: the task is retried, and repeats nothing.

    .. code-block:: python

        PostIncidentUpdateOperator(task_id="post_incident_update", inlets=[REGISTRY])
    """

    ui_color = "#e4eef8"

    def run_step(self, context: Context) -> ThreadUpdates:
        """Post the update."""
        registry, snapshot = TaskRegistry.of(context), snapshot_of_incident(context)
        if snapshot is None or snapshot.record is None:
            raise AirflowSkipException("There is nothing to post.")
        missing = missing_parts(snapshot)
        try:
            updates = self._post(context, snapshot, missing)
        except IncidentError as error:
            if missing:
                _store_failure(snapshot, registry, context["ti"].run_id, error, due_at(context))
            if Missing.ROOM in missing:
                # The next check tries again, and so does every further notification.
                raise AirflowFailException(f"No room: {error}") from error
            raise
        for problem in updates.problems:
            self.log.warning("In the room: %s", problem.log_line())
        return updates

    def _post(self, context: Context, snapshot: IncidentSnapshot, missing: Sequence[Missing]) -> ThreadUpdates:
        registry, table, key = TaskRegistry.of(context), active_routing_table().table, incident_key(context)
        assert snapshot.record is not None

        def store_room(room: WarRoom) -> None:
            registry.store_room(key, room_location(room))

        triage = table.triage.channel
        if Missing.ROOM in missing:
            session = self._open_missing_room(context, snapshot, registry)
        else:
            session = RoomSession.begin(
                context, snapshot, conn_id=self.slack_conn_id, log=self.log, channel_name=triage or ""
            )
        if session.snapshot.room is None and session.is_in_thread and triage is not None:
            session = self._open_thread(context, session, triage, registry)
            store_room(session.room)
        if session.snapshot.room is None:
            raise AirflowSkipException("There is no room to post it in; what happened is in the registry.")
        posted = post_missing(session, missing)
        batch = registry.updates(context["ti"].run_id) or UpdateBatch(incident=key)
        batch = _with_missed_updates(batch, snapshot.record, registry)
        updates = UpdatePoster(
            session, batch, table.lifecycle, store_room=store_room, announce_in=table.announce
        ).post()
        if missing and not any(problem.code is ProblemCode.LOOKUP for problem in updates.problems):
            location = registry.room(key) or room_location(session.room)
            registry.store_room(key, location.model_copy(update={"is_complete": True, "missed_runs": ()}))
        if triage is not None and _was_promoted(batch):
            self._announce_room(session, triage)
        return updates.model_copy(update={"messages": (*posted, *updates.messages)})

    def _open_thread(
        self, context: Context, session: RoomSession, channel: str, registry: TaskRegistry
    ) -> RoomSession:
        """Open the incident's thread; a room, if the triage channel does not exist: no alert is lost.

        :raises IncidentError: Slack opens neither.
        """
        try:
            return session.in_room(open_thread(session, channel))
        except SlackConfigurationError as error:
            self.log.warning("A room is opened instead of a thread in %s: %s", channel, error)
            return self._open_missing_room(context, session.snapshot, registry)

    def _open_missing_room(
        self, context: Context, snapshot: IncidentSnapshot, registry: TaskRegistry
    ) -> RoomSession:
        """Open the room that the first run could not open.

        :raises IncidentError: Slack does not open one now either.
        """
        assert snapshot.record is not None
        location, run_id = snapshot.record.room, context["ti"].run_id
        session = RoomSession.begin(context, snapshot, conn_id=location.conn_id or self.slack_conn_id, log=self.log)
        if session.workspace.dry_run:
            raise SlackConfigurationError(session.workspace.reason or "There is no Slack connection.")
        room = RoomOpener(session.slack, missing_room_request(session), session.ledger).open()
        context["ti"].xcom_push(key=XComKey.ROOM.value, value=room.to_xcom())
        opened = room_location(room).model_copy(
            update={"opened_in": run_id, "conn_id": location.conn_id, "missed_runs": location.missed_runs}
        )
        registry.store_room(incident_key(context), opened)
        return session.in_room(room)

    def _announce_room(self, session: RoomSession, triage_channel: str) -> None:
        try:
            announce_room_in_thread(session, triage_channel)
        except IncidentError as error:
            self.log.warning("The room was not announced in the triage channel: %s", error)


def _store_failure(
    snapshot: IncidentSnapshot, registry: TaskRegistry, run_id: str, error: IncidentError, now: datetime
) -> None:
    """Store what the room lacks, why, when it is tried again, and that this run's update is not posted."""
    assert snapshot.record is not None
    key = snapshot.record.key
    before = registry.room(key) or snapshot.record.room
    is_planned = before.next_try_at is not None and before.next_try_at > now
    has_update = before.channel_id is None and registry.updates(run_id) is not None
    missed = {*before.missed_runs, run_id} if has_update else before.missed_runs
    failed = before.model_copy(
        update={
            "problem": error.message,
            "fix": error.fix,
            "attempts": before.attempts + 1,
            "next_try_at": before.next_try_at if is_planned else now + retry_delay(before.attempts + 1),
            "missed_runs": tuple(sorted(missed)),
        }
    )
    registry.store_room(key, failed)


def _with_missed_updates(batch: UpdateBatch, record: IncidentRecord, registry: TaskRegistry) -> UpdateBatch:
    """Return the batch with the updates of the runs that found no room to post them in."""
    missed = [found for run in record.room.missed_runs if (found := registry.updates(run)) is not None]
    if not missed:
        return batch
    batches = (*missed, batch)
    return batch.model_copy(
        update={
            "items": tuple(item for one in batches for item in one.items),
            "dropped": sum(one.dropped for one in batches),
        }
    )


def _was_promoted(batch: UpdateBatch) -> bool:
    """Return whether the incident had only a thread until now."""
    return any(
        (item.kind, item.before, item.after) == (UpdateKind.VISIBILITY, Visibility.THREAD, Visibility.ROOM)
        for item in batch.items
    )


class RecoverIncidentOperator(SlackStep):
    """Add the probes' results to the message of the recovery, and propose to resolve the incident.

    In a run that a person requested to check again, the results are posted into the brief's thread.

    Evidence of what still fails goes into the brief's thread. Nothing is resolved here: that comes after a quiet
    period.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: :class:`~airflow_incident_provider.models.ThreadUpdates` with the count of each verdict, pushed to
        XCom. The task is skipped if there is no room.
    :raises SlackUnavailableError: Slack does not answer: the task is retried.

    .. code-block:: python

        RecoverIncidentOperator(task_id="recover_incident", trigger_rule="none_skipped", inlets=[REGISTRY])
    """

    ui_color = "#fdf1e3"

    def run_step(self, context: Context) -> ThreadUpdates:
        """Post the results."""
        snapshot, batch = snapshot_of_incident(context), TaskRegistry.of(context).updates(context["ti"].run_id)
        if snapshot is None or snapshot.room is None:
            raise AirflowSkipException("There is no room to post in; the findings are in XCom.")
        session = RoomSession.begin(context, snapshot, conn_id=self.slack_conn_id, log=self.log)
        key, findings = recovery_key(session), _findings(context)
        snapshot = _with_contradiction(context, snapshot, findings)
        if batch is None or not _has(batch, UpdateKind.RECOVERED):
            return self._post_check(session, findings)
        session.ledger.record(_posted_before(context, key))
        recovery = recovery_of(snapshot, active_routing_table().table.lifecycle, batch)
        posted = session.poster.post_all(recovery_messages(recovery, snapshot.findings, findings), key=key)
        posted += _post_evidence(session, findings)
        return session.value(posted, counts=count_verdicts(findings))

    def _post_check(self, session: RoomSession, findings: Sequence[Finding]) -> ThreadUpdates:
        """Post what the probes found at a person's request into the brief's thread."""
        posted = session.poster.post_all(
            findings_messages(findings, key=session.buttons_key),
            key=f"{session.run_key}/check",
            thread_ts=session.room.brief_ts,
        )
        return session.value(posted, counts=count_verdicts(findings))


def _with_contradiction(
    context: Context, snapshot: IncidentSnapshot, findings: Sequence[Finding]
) -> IncidentSnapshot:
    """Store whether the checks contradict the recovery, which then is not resolved by time; return it with that."""
    record = snapshot.record
    if record is None or snapshot.stored is None:
        return snapshot
    checked = checked_at(findings)
    if failing_probes(findings) and checked is not None:
        at = max(checked, record.recovered_at or checked)
    elif any(f.verdict in {Verdict.OK, Verdict.WARN} and not f.is_control for f in findings):
        at = None
    else:
        return snapshot
    if at == record.room.contradicted_at:
        return snapshot
    registry = TaskRegistry.of(context)
    room = (registry.room(record.key) or record.room).model_copy(update={"contradicted_at": at})
    registry.store_room(record.key, room)
    return snapshot.with_record(room=record.room.model_copy(update={"contradicted_at": at}))


def _findings(context: Context) -> list[Finding]:
    values = context["ti"].xcom_pull(task_ids=[TaskId.INVESTIGATE]) or ()
    return [Finding.model_validate(value) for value in values if isinstance(value, dict)]


def _posted_before(context: Context, key: str) -> dict[str, Any]:
    """Return the messages of the recovery that another task posted, as ledger entries: they are updated."""
    updates = read_value(ThreadUpdates, None, context, TaskId.POST_UPDATE)
    if updates is None:
        return {}
    ours = (message for message in updates.messages if message.key.startswith(f"{key}/"))
    return {message.key: {"ts": message.ts, "channel": updates.channel_id} for message in ours}


def _post_evidence(session: RoomSession, findings: Sequence[Finding]) -> tuple[PostedMessage, ...]:
    """Post what fails now, with its evidence, into the brief's thread; nothing if nothing fails."""
    if not failing_probes(findings):
        return ()
    return session.poster.post_all(
        findings_messages(findings, key=session.buttons_key),
        key=f"{session.run_key}/evidence",
        thread_ts=session.room.brief_ts,
    )
