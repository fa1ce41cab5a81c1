"""Step 6: post the findings of the probes into the thread of the brief."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.evidence.drawing import draw
from airflow_incident_provider.evidence.model import Evidence, MetricGraph
from airflow_incident_provider.evidence.probe_rules import weigh_probes
from airflow_incident_provider.exceptions import SlackError
from airflow_incident_provider.messages.blocks import Message
from airflow_incident_provider.messages.evidence import evidence_messages
from airflow_incident_provider.messages.findings import count_verdicts, findings_messages
from airflow_incident_provider.messages.updates import note_messages
from airflow_incident_provider.models import Finding, Incident, Problem, SlackWorkspace, ThreadUpdates, WarRoom
from airflow_incident_provider.operators.base import SlackStep, rendered_text
from airflow_incident_provider.room.posting import Ledger, Poster
from airflow_incident_provider.room.xcom import read_value, require_step, step_nearby
from airflow_incident_provider.slack.access import identify_workspace, open_slack_client
from airflow_incident_provider.slack.protocol import SlackClient

UPLOADS = "files:write"
"""The scope for the metric's picture; without it the thread has a line of characters only."""

_GRAPH = "graph"
"""The ledger's key of the metric's picture."""

_ALT_TEXT = 900


class PostThreadUpdateOperator(SlackStep):
    """Post findings, or a text of your own, into the thread of a brief; each once, however often it is tried.

    :param findings: what to post, such as ``task.output`` or ``[one.output, other.output]``; default: what every
        ``investigate`` task pushed. (templated)
    :param text: a text of your own to post instead of findings, complete: a long one becomes several messages.
        (templated)
    :param markup: whether ``text`` is Slack's mrkdwn, with its links, mentions and formatting; by default it is
        plain text and shown as it is written. Do not put the text of an alert into markup.
    :param room: the room; default: what ``create_war_room`` pushed. (templated)
    :param workspace: the workspace; default: what ``setup_slack_integration`` pushed; without one, Slack is asked
        (``auth.test``). (templated)
    :param incident: the incident; default: what ``parse_incident_event`` pushed. Only its key is used. (templated)
    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: :class:`~airflow_incident_provider.models.ThreadUpdates`, pushed to XCom. The task is skipped if there
        is no room to post in, or nothing to post: findings stay in XCom and in the summary.
    :raises AirflowFailException: no room is passed, and the DAG has no task ``create_war_room``.
    :raises SlackUnavailableError: Slack does not answer: the task is retried.

    .. code-block:: python

        PostThreadUpdateOperator(
            task_id="post_progress",
            room=open_room.output,
            text="Backfill {{ run_id }} is complete: the orders table has all rows again.",
        )
    """

    template_fields: Sequence[str] = ("findings", "text", "room", "workspace", "incident", "slack_conn_id")
    ui_color = "#e4eef8"

    def __init__(
        self,
        *,
        findings: Finding | Mapping[str, Any] | Sequence[Finding | Mapping[str, Any]] | None = None,
        text: str | None = None,
        markup: bool = False,
        room: WarRoom | Mapping[str, Any] | None = None,
        workspace: SlackWorkspace | Mapping[str, Any] | None = None,
        incident: Incident | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.findings = findings
        self.text = text
        self.markup = markup
        self.room = room
        self.workspace = workspace
        self.incident = incident
        self._room_is_passed = room is not None
        self._findings_are_passed = findings is not None

    def run_step(self, context: Context) -> ThreadUpdates:
        """Post the findings or the text."""
        # An argument that a skipped task left empty is not replaced: that room is another one.
        create = None if self._room_is_passed else TaskId.CREATE_WAR_ROOM
        room = read_value(WarRoom, self.room, context, create)
        if room is None:
            if create is not None:
                require_step(context, create, fix="Pass room=..., such as open_room.output.")
            raise AirflowSkipException("There is no room to post in; the findings are in XCom and in the summary.")
        findings = self._findings(context)
        evidence = self._evidence(context, findings)
        workspace = read_value(SlackWorkspace, self.workspace, context, TaskId.SETUP_SLACK)
        incident = read_value(Incident, self.incident, context, TaskId.PARSE_INCIDENT)
        has_buttons = workspace is not None and workspace.interactive
        messages = self._messages(findings, evidence, incident.key if incident and has_buttons else None)
        if not messages:
            raise AirflowSkipException("There is nothing to post.")
        workspace = workspace or identify_workspace(self.slack_conn_id)
        slack = open_slack_client(workspace, self.slack_conn_id, channel_name=room.channel_name, log=self.log)
        ledger = Ledger(context)
        poster, key = Poster(slack, room.channel_id or "", ledger), self._key(context, incident)
        graph = evidence.graph if evidence and self._may_post_graph(workspace, ledger) else None
        with ThreadPoolExecutor(1) as thread:
            # The summary waits for this step, so the picture is drawn and uploaded while the messages are posted.
            uploading = thread.submit(_upload, graph, slack)
            posted = poster.post_all(messages, key=key, thread_ts=room.brief_ts)
        problems = self._share_graph(uploading.result(), slack, room, ledger)
        return ThreadUpdates(
            mode=workspace.mode,
            channel_id=room.channel_id,
            thread_ts=room.brief_ts,
            messages=() if workspace.dry_run else posted,
            counts=count_verdicts(findings),
            problems=problems,
            would_post=slack.would_post,
        )

    def _findings(self, context: Context) -> list[Finding]:
        if self.text is not None:
            return []
        if self._findings_are_passed:
            return list(_all_findings(self.findings))
        step = step_nearby(context, TaskId.INVESTIGATE) or TaskId.INVESTIGATE
        return list(_all_findings(context["ti"].xcom_pull(task_ids=[step])))

    def _evidence(self, context: Context, findings: Sequence[Finding]) -> Evidence | None:
        """Return what ``collect_evidence`` pushed, weighed with the findings, unless something else is posted."""
        if self.text is not None or self._findings_are_passed:
            return None
        evidence = read_value(Evidence, None, context, TaskId.COLLECT_EVIDENCE)
        return weigh_probes(evidence, findings) if evidence is not None else None

    @staticmethod
    def _may_post_graph(workspace: SlackWorkspace, ledger: Ledger) -> bool:
        # An attempt that may have shared it is not followed by another: twice is worse than never, and the thread
        # has the metric as a line of characters anyway.
        return workspace.has_scope(UPLOADS) and not ledger.intended_at(_GRAPH) and not ledger.may_have_forgotten

    def _share_graph(
        self, uploaded: str | SlackError | None, slack: SlackClient, room: WarRoom, ledger: Ledger
    ) -> tuple[Problem, ...]:
        """Share the uploaded picture in the thread; return why that is not possible."""
        if uploaded is None:
            return ()
        try:
            if isinstance(uploaded, SlackError):
                raise uploaded
            ledger.intend(_GRAPH)
            slack.share_picture(uploaded, room.channel_id or "", title="Metric", thread_ts=room.brief_ts)
        except SlackError as error:
            self.log.warning("The picture of the metric is not posted: %s", error.message)
            what = "the metric's picture is not posted"
            return (Problem(step=self.task_id, what=what, error=error.message, fix=error.fix),)
        return ()

    def _messages(self, findings: Sequence[Finding], evidence: Evidence | None, key: str | None) -> list[Message]:
        """Return what to post; with the incident's key, its findings have buttons."""
        if self.text is not None:
            return note_messages(rendered_text(self.text) or "", markup=self.markup)
        not_asked = evidence.findings if evidence and not evidence.calls else ()
        shown = [*findings, *not_asked]
        return [
            *(findings_messages(shown, key=key) if shown else []),
            *(evidence_messages(evidence, key=key) if evidence else []),
        ]

    @staticmethod
    def _key(context: Context, incident: Incident | None) -> str:
        """Return what makes these messages unique: the incident if there is one, the run and the task."""
        ti = context["ti"]
        return f"{incident.key if incident else ti.dag_id}/{ti.run_id}/{ti.task_id}"


def _all_findings(given: Any) -> Iterator[Finding]:
    """Yield the findings in a finding, in what a mapped task returned, or in a list of both.

    A task that was skipped returned none.
    """
    if isinstance(given, Finding | Mapping):
        yield given if isinstance(given, Finding) else Finding.model_validate(given)
    elif given is not None:
        for each in given:
            yield from _all_findings(each)


def _upload(graph: MetricGraph | None, slack: SlackClient) -> str | SlackError | None:
    """Draw a metric and upload the picture, which nobody sees yet. Uses nothing of Airflow: it runs in a thread.

    :returns: the id of the file, why it is not uploaded, or ``None`` if there is nothing to draw.
    """
    picture = draw(graph) if graph is not None else None
    if graph is None or picture is None:
        return None
    try:
        return slack.upload_picture("metric.png", picture, alt_text=graph.alt_text[:_ALT_TEXT])
    except SlackError as error:
        return error
