"""What ``incident_update`` posts in a room, which is opened or completed first if necessary."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_incident_provider.config import TaskId, XComKey
from airflow_incident_provider.exceptions import IncidentError, SlackConfigurationError, SlackUnavailableError
from airflow_incident_provider.lifecycle.coordination import Role
from airflow_incident_provider.lifecycle.records import IncidentRecord, UpdateKind, Visibility
from airflow_incident_provider.lifecycle.reminders import Reminder, due_reminders
from airflow_incident_provider.messages.coordination import ReminderText, reminder_message
from airflow_incident_provider.messages.findings import checked_at, count_verdicts, findings_messages
from airflow_incident_provider.messages.status_changes import failing_probes, recovery_messages
from airflow_incident_provider.models import (
    Finding,
    PostedMessage,
    Problem,
    ProblemCode,
    ThreadUpdates,
    Verdict,
    WarRoom,
)
from airflow_incident_provider.operators.base import SlackStep, due_at, probe_findings
from airflow_incident_provider.registry.records import UpdateBatch
from airflow_incident_provider.registry.task_client import TaskRegistry
from airflow_incident_provider.room.opener import RoomOpener
from airflow_incident_provider.room.pending import Missing, missing_parts, post_missing, retry_delay
from airflow_incident_provider.room.session import RoomSession
from airflow_incident_provider.room.snapshot import (
    IncidentSnapshot,
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


class PostIncidentUpdateOperator(SlackStep):
    """Post an update: who is invited for it, what happened, and the new state of brief and topic.

    Repetitions go into the brief's thread, as one message with counts. A reopening and a recovery are posted in
    the room itself. An incident that has reopened and whose room is archived gets a new one. The first update of
    an incident that triage keeps out of rooms opens its thread in the triage channel.

    A room that could not be opened is opened now, with everything that has happened since; what an earlier run
    could not post is posted now. If that fails again, the task fails, and ``schedule_next_check`` requests the next
    try.

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
            if missing or isinstance(error, SlackUnavailableError | SlackConfigurationError):
                _store_failure(snapshot, registry, context["ti"].run_id, error, due_at(context))
            if Missing.ROOM in missing:
                # The next check tries again, and so does every further notification.
                raise AirflowFailException(f"No room: {error}") from error
            raise
        for problem in updates.problems:
            self.log.warning("In the room: %s", problem.log_line())
        return updates

    def _post(self, context: Context, snapshot: IncidentSnapshot, missing: Sequence[Missing]) -> ThreadUpdates:
        registry, table, run_id = TaskRegistry.of(context), active_routing_table().table, context["ti"].run_id
        assert snapshot.record is not None
        store_room = partial(_store_room, registry, snapshot.record.key)
        if Missing.ROOM in missing:
            session = self._open_missing_room(context, snapshot, registry)
        else:
            session = self._place(context, snapshot, registry, table.triage.channel)
        posted = list(post_missing(session, missing))
        batch = registry.updates(run_id) or UpdateBatch(incident=snapshot.record.key)
        missed = registry.missed_updates(snapshot.record, but=run_id)
        poster = partial(UpdatePoster, settings=table.lifecycle, store_room=store_room, announce_in=table.announce)
        if Missing.ROOM in missing:
            # In a new room, they are one message.
            batch = _joined((*missed.values(), batch))
        else:
            for other, its_batch in missed.items():
                earlier = poster(session.in_place_of(other), its_batch)
                posted += earlier.post().messages
                session = session.in_room(earlier.room)
        update = poster(session, batch)
        updates = update.post()
        if missing:
            _store_success(snapshot, registry, missing, updates, run_id)
        if update.is_unfinished:
            _store_failure(snapshot, registry, run_id, updates.problems[-1], due_at(context))
        if table.triage.channel is not None and _was_promoted(batch):
            self._announce_room(session, table.triage.channel)
        return updates.model_copy(update={"messages": (*posted, *updates.messages)})

    def _place(
        self, context: Context, snapshot: IncidentSnapshot, registry: TaskRegistry, triage_channel: str | None
    ) -> RoomSession:
        """Return a session in the incident's room, or in its thread, which is opened if there is none.

        :raises AirflowSkipException: the incident is to have neither.
        """
        session = RoomSession.begin(
            context, snapshot, conn_id=self.slack_conn_id, log=self.log, channel_name=triage_channel or ""
        )
        if session.snapshot.room is None and session.is_in_thread and triage_channel is not None:
            session = self._open_thread(context, session, triage_channel, registry)
            _store_room(registry, incident_key(context), session.room)
        if session.snapshot.room is None:
            raise AirflowSkipException("There is no room to post it in; what happened is in the registry.")
        return session

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


def _store_room(registry: TaskRegistry, key: str, room: WarRoom) -> None:
    registry.store_room(key, room_location(room))


def _store_success(
    snapshot: IncidentSnapshot,
    registry: TaskRegistry,
    missing: Sequence[Missing],
    updates: ThreadUpdates,
    run_id: str,
) -> None:
    """Store that the room lacks nothing more, but for people whose lookup failed again."""
    assert snapshot.record is not None
    key = snapshot.record.key
    location = registry.room(key) or snapshot.record.room
    done = {*snapshot.record.room.missed_runs, run_id}
    changes: dict[str, Any] = {"missed_runs": tuple(run for run in location.missed_runs if run not in done)}
    if not any(problem.code is ProblemCode.LOOKUP for problem in updates.problems):
        changes |= {"is_complete": location.is_complete or set(missing) != {Missing.UPDATES}}
        changes |= {"problem": None, "fix": None, "next_try_at": None, "attempts": 0}
    registry.store_room(key, location.model_copy(update=changes))


def _store_failure(
    snapshot: IncidentSnapshot, registry: TaskRegistry, run_id: str, error: IncidentError | Problem, now: datetime
) -> None:
    """Store what the room lacks, why, when it is tried again, and that this run's update is not posted."""
    assert snapshot.record is not None
    key = snapshot.record.key
    before = registry.room(key) or snapshot.record.room
    is_planned = before.next_try_at is not None and before.next_try_at > now
    has_update = before.channel_id is not None or registry.updates(run_id) is not None
    missed = {*before.missed_runs, run_id} if has_update else before.missed_runs
    failed = before.model_copy(
        update={
            "problem": error.message if isinstance(error, IncidentError) else error.error,
            "fix": error.fix,
            "attempts": before.attempts + 1,
            "next_try_at": before.next_try_at if is_planned else now + retry_delay(before.attempts + 1),
            "missed_runs": tuple(sorted(missed)),
        }
    )
    registry.store_room(key, failed)


def _joined(batches: Sequence[UpdateBatch]) -> UpdateBatch:
    """Return several batches as the last one."""
    items = tuple(item for batch in batches for item in batch.items)
    return batches[-1].model_copy(update={"items": items, "dropped": sum(batch.dropped for batch in batches)})


def _was_promoted(batch: UpdateBatch) -> bool:
    """Return whether the incident had only a thread until now."""
    return any(
        (item.kind, item.before, item.after) == (UpdateKind.VISIBILITY, Visibility.THREAD, Visibility.ROOM)
        for item in batch.items
    )


# --- reminders ------------------------------------------------------------------------------------------


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


# --- recoveries: the results of the probes, which ran again --------------------------------------------------


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
        key, findings = recovery_key(session), probe_findings(context)
        snapshot = _with_contradiction(context, snapshot, findings)
        if batch is None or not batch.has(UpdateKind.RECOVERED):
            # A person requested to check again.
            checked = _post_findings(session, findings, "check")
            return session.value(checked, counts=count_verdicts(findings))
        session.ledger.record(_posted_before(context, key))
        recovery = recovery_of(snapshot, active_routing_table().table.lifecycle, batch)
        posted = session.poster.post_all(recovery_messages(recovery, snapshot.findings, findings), key=key)
        if failing_probes(findings):
            posted += _post_findings(session, findings, "evidence")
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


def _posted_before(context: Context, key: str) -> dict[str, Any]:
    """Return the messages of the recovery that another task posted, as ledger entries: they are updated."""
    updates = read_value(ThreadUpdates, None, context, TaskId.POST_UPDATE)
    if updates is None:
        return {}
    ours = (message for message in updates.messages if message.key.startswith(f"{key}/"))
    return {message.key: {"ts": message.ts, "channel": updates.channel_id} for message in ours}


def _post_findings(session: RoomSession, findings: Sequence[Finding], name: str) -> tuple[PostedMessage, ...]:
    """Post findings, with their evidence, into the brief's thread."""
    return session.poster.post_all(
        findings_messages(findings, key=session.buttons_key),
        key=f"{session.run_key}/{name}",
        thread_ts=session.room.brief_ts,
    )
