"""Step 6: post the findings of the probes into the thread of the brief."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.messages.blocks import Message
from airflow_incident_provider.messages.findings import findings_messages
from airflow_incident_provider.messages.updates import note_messages
from airflow_incident_provider.models import Finding, Incident, SlackWorkspace, ThreadUpdates, WarRoom
from airflow_incident_provider.operators.base import SlackStep
from airflow_incident_provider.room.posting import Ledger, Poster
from airflow_incident_provider.room.xcom import read_value
from airflow_incident_provider.slack.access import identify_workspace, open_slack_client

if TYPE_CHECKING:
    from airflow.sdk import Context


class PostThreadUpdateOperator(SlackStep):
    """Post findings, or a text of your own, into the thread of a brief; each once, however often it is tried.

    :param findings: what to post, such as ``[task.output]``; default: what every ``investigate`` task pushed.
    :param text: plain text of your own to post instead of findings; it is escaped. (templated)
    :param room: the room; default: what ``create_war_room`` pushed.
    :param workspace: the workspace; default: what ``setup_slack_integration`` pushed; without one, Slack is asked
        (``auth.test``).
    :param incident: the incident; default: what ``parse_incident_event`` pushed. Only its key is used.
    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: :class:`~airflow_incident_provider.models.ThreadUpdates`, pushed to XCom. The task is skipped if there
        is no room to post in, or nothing to post: findings stay in XCom and in the summary.
    :raises SlackUnavailableError: Slack does not answer: the task is retried.

    .. code-block:: python

        PostThreadUpdateOperator(
            task_id="post_progress",
            room=open_room.output,
            text="Backfill {{ run_id }} is complete: the orders table has all rows again.",
        )
    """

    template_fields: Sequence[str] = ("findings", "text", "room", "slack_conn_id")
    ui_color = "#e4eef8"

    def __init__(
        self,
        *,
        findings: Sequence[Finding | Mapping[str, Any]] | None = None,
        text: str | None = None,
        room: WarRoom | Mapping[str, Any] | None = None,
        workspace: SlackWorkspace | Mapping[str, Any] | None = None,
        incident: Incident | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.findings = findings
        self.text = text
        self.room = room
        self.workspace = workspace
        self.incident = incident

    def run_step(self, context: Context) -> ThreadUpdates:
        """Post the findings or the text."""
        room = read_value(WarRoom, self.room, context, TaskId.CREATE_WAR_ROOM)
        if room is None:
            raise AirflowSkipException("There is no room to post in; the findings are in XCom and in the summary.")
        findings = self._findings(context)
        messages = self._messages(findings)
        if not messages:
            raise AirflowSkipException("There is nothing to post.")
        workspace = read_value(SlackWorkspace, self.workspace, context, TaskId.SETUP_SLACK)
        workspace = workspace or identify_workspace(self.slack_conn_id)
        slack = open_slack_client(workspace, self.slack_conn_id, channel_name=room.channel_name, log=self.log)
        posted = Poster(slack, room.channel_id or "", Ledger(context)).post_all(
            messages, key=self._key(context), thread_ts=room.brief_ts
        )
        return ThreadUpdates(
            mode=workspace.mode,
            channel_id=room.channel_id,
            thread_ts=room.brief_ts,
            messages=() if workspace.dry_run else posted,
            counts=dict(Counter(finding.verdict for finding in findings)),
            would_post=slack.would_post,
        )

    def _findings(self, context: Context) -> list[Finding]:
        if self.text is not None:
            return []
        given = self.findings
        if given is None:
            given = context["ti"].xcom_pull(task_ids=[TaskId.INVESTIGATE]) or ()
        return [Finding.model_validate(finding) for finding in given if finding is not None]

    def _messages(self, findings: Sequence[Finding]) -> list[Message]:
        if self.text is not None:
            return note_messages(self.text)
        return findings_messages(findings) if findings else []

    def _key(self, context: Context) -> str:
        """Return what makes these messages unique: the incident if there is one, the run and the task."""
        incident = read_value(Incident, self.incident, context, TaskId.PARSE_INCIDENT)
        ti = context["ti"]
        return f"{incident.key if incident else ti.dag_id}/{ti.run_id}/{ti.task_id}"
