"""A recovery, told: both results of each probe side by side, and what is proposed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, TaskId
from airflow_incident_provider.models import Finding, ThreadUpdates
from airflow_incident_provider.operators.base import IncidentStep
from airflow_incident_provider.room.xcom import read_value

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_incident_provider.models import PostedMessage
    from airflow_incident_provider.room.session import Visit


class RecoverIncidentOperator(IncidentStep):
    """Put the probes' results, then and now, into the message that told of the recovery, and propose to resolve it.

    Evidence of what still fails goes under the brief. Nothing is resolved here: that comes after a quiet time.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: :class:`~airflow_incident_provider.models.ThreadUpdates` with the counts of the verdicts now, pushed
        to XCom. The task is skipped when there is no room.
    :raises SlackUnavailableError: when Slack does not answer: the task is retried.
    """

    template_fields: Sequence[str] = ("slack_conn_id",)
    ui_color = "#fdf1e3"

    def __init__(self, *, slack_conn_id: str = DEFAULT_SLACK_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slack_conn_id = slack_conn_id

    def run_step(self, context: Context) -> ThreadUpdates:
        """Tell the results."""
        from airflow_incident_provider.messages.status_changes import recovery_messages
        from airflow_incident_provider.registry.task_client import TaskRegistry
        from airflow_incident_provider.room.session import Visit
        from airflow_incident_provider.room.snapshot import read_known
        from airflow_incident_provider.room.updates import recovery_key, recovery_of
        from airflow_incident_provider.routing_file import read_routing_table

        known, batch = read_known(context), TaskRegistry.of(context).updates(context["ti"].run_id)
        if known is None or known.room is None or batch is None:
            raise AirflowSkipException("There is no room to tell it in; the findings are in XCom.")
        visit, now = Visit.begin(context, known, conn_id=self.slack_conn_id, log=self.log), _findings(context)
        key = recovery_key(visit)
        visit.ledger.record(_posted_before(context, key))
        recovery = recovery_of(known, read_routing_table().lifecycle, batch)
        posted = visit.poster.post_all(recovery_messages(recovery, known.findings, now), key=key)
        posted += _post_evidence(visit, now)
        return visit.value(posted, counts=Counter(finding.verdict for finding in now))


def _findings(context: Context) -> list[Finding]:
    values = context["ti"].xcom_pull(task_ids=[TaskId.INVESTIGATE]) or ()
    return [Finding.model_validate(value) for value in values if isinstance(value, dict)]


def _posted_before(context: Context, key: str) -> dict[str, Any]:
    """Return the messages that told of the recovery, as a ledger keeps them: they are brought up to date."""
    told = read_value(ThreadUpdates, None, context, TaskId.POST_UPDATE)
    if told is None:
        return {}
    ours = (message for message in told.messages if message.key.startswith(f"{key}/"))
    return {message.key: {"ts": message.ts, "channel": told.channel_id} for message in ours}


def _post_evidence(visit: Visit, findings: Sequence[Finding]) -> tuple[PostedMessage, ...]:
    """Post what fails now, with the evidence for it, under the brief; nothing if nothing fails."""
    from airflow_incident_provider.messages.findings import findings_messages
    from airflow_incident_provider.messages.status_changes import failing_probes

    if not failing_probes(findings):
        return ()
    return visit.poster.post_all(
        findings_messages(findings), key=f"{visit.run_key}/evidence", thread_ts=visit.room.brief_ts
    )
