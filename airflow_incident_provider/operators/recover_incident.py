"""After a recovery: the results of the probes, which ran again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.lifecycle.records import UpdateKind
from airflow_incident_provider.messages.findings import checked_at, count_verdicts, findings_messages
from airflow_incident_provider.messages.status_changes import failing_probes, recovery_messages
from airflow_incident_provider.models import Finding, PostedMessage, ThreadUpdates, Verdict
from airflow_incident_provider.operators.base import SlackStep
from airflow_incident_provider.registry.task_client import TaskRegistry
from airflow_incident_provider.room.session import RoomSession
from airflow_incident_provider.room.snapshot import IncidentSnapshot, snapshot_of_incident
from airflow_incident_provider.room.updates import recovery_key, recovery_of
from airflow_incident_provider.room.xcom import read_value
from airflow_incident_provider.routing_file import active_routing_table


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
        if batch is None or not batch.has(UpdateKind.RECOVERED):
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
