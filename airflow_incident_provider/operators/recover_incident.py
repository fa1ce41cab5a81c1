"""A recovery, told: both results of each probe side by side, and what is proposed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.models import Finding, ThreadUpdates
from airflow_incident_provider.operators.slack_access import DEFAULT_CONN_ID, open_slack, workspace_behind
from airflow_incident_provider.operators.step import INVESTIGATE, POST_UPDATE, IncidentStep, read_value

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_incident_provider.messages.limits import Message
    from airflow_incident_provider.models import PostedMessage
    from airflow_incident_provider.operators.known_incident import KnownIncident
    from airflow_incident_provider.operators.posting import Poster


class RecoverIncidentOperator(IncidentStep):
    """Put the probes' results, then and now, into the message that told of the recovery, and propose to resolve it.

    Evidence of what still fails goes under the brief. Nothing is resolved here: that comes after a quiet time.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: :class:`~airflow_incident_provider.models.ThreadUpdates` with the counts of the verdicts now, pushed to
        XCom. The task is skipped when there is no room.
    :raises SlackUnavailableError: when Slack does not answer: the task is retried.
    """

    template_fields: Sequence[str] = ("slack_conn_id",)
    ui_color = "#fdf1e3"

    def __init__(self, *, slack_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slack_conn_id = slack_conn_id

    def run_step(self, context: Context) -> ThreadUpdates:
        """Tell the results."""
        from airflow_incident_provider.operators.known_incident import read_known
        from airflow_incident_provider.operators.ledger import Ledger
        from airflow_incident_provider.operators.posting import Poster
        from airflow_incident_provider.operators.update_posting import recovery_key

        known = read_known(context)
        if known is None or known.room is None:
            raise AirflowSkipException("There is no room to tell it in; the findings are in XCom.")
        room, workspace = known.room, known.workspace or workspace_behind(self.slack_conn_id)
        slack = open_slack(workspace, self.slack_conn_id, channel_name=room.channel_name, log=self.log)
        now = _findings(context)
        run_key = f"{known.record.key}/{context['ti'].run_id}"
        ledger = Ledger(context)
        ledger.record(_posted_before(context, recovery_key(run_key)))
        poster = Poster(slack, room.channel_id or "", ledger)
        posted = poster.post_all(self._messages(known, now), key=recovery_key(run_key))
        posted += _post_evidence(poster, now, key=f"{run_key}/evidence", thread_ts=room.brief_ts)
        return ThreadUpdates(
            mode=workspace.mode,
            channel_id=room.channel_id,
            thread_ts=room.brief_ts,
            messages=() if workspace.dry_run else posted,
            counts=dict(Counter(finding.verdict for finding in now)),
            would_post=tuple(getattr(slack, "would_post", ())),
        )

    def _messages(self, known: KnownIncident, now: Sequence[Finding]) -> list[Message]:
        from airflow_incident_provider.messages.recovery import recovery_messages
        from airflow_incident_provider.operators.routing_table import read_routing_table
        from airflow_incident_provider.operators.update_posting import recovery_of

        return recovery_messages(recovery_of(known, read_routing_table().lifecycle), known.findings, now)


def _findings(context: Context) -> list[Finding]:
    values = context["ti"].xcom_pull(task_ids=[INVESTIGATE]) or ()
    return [Finding.model_validate(value) for value in values if isinstance(value, dict)]


def _posted_before(context: Context, key: str) -> dict[str, Any]:
    """Return the messages that told of the recovery, as a ledger keeps them: they are brought up to date."""
    told = read_value(ThreadUpdates, None, context, POST_UPDATE)
    messages: Sequence[PostedMessage] = told.messages if told else ()
    return {message.key: {"ts": message.ts} for message in messages if message.key.startswith(f"{key}/")}


def _post_evidence(
    poster: Poster, findings: Sequence[Finding], *, key: str, thread_ts: str | None
) -> tuple[PostedMessage, ...]:
    """Post what still fails, with the evidence for it, under the brief; nothing if nothing fails."""
    from airflow_incident_provider.messages.recovery import doubts
    from airflow_incident_provider.messages.thread import findings_messages

    if not doubts(findings):
        return ()
    return poster.post_all(findings_messages(findings), key=key, thread_ts=thread_ts)
