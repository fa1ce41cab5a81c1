"""Step 7: the summary of the first minutes, made whatever happened before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowRuntimeError

from airflow_incident_provider.config import ConfKey, TaskId
from airflow_incident_provider.exceptions import IncidentError, RunNotRequestedError, SlackUnavailableError
from airflow_incident_provider.lifecycle.records import Room
from airflow_incident_provider.lifecycle.run_requests import check_run
from airflow_incident_provider.messages.blocks import plain_text
from airflow_incident_provider.messages.summary import summary_message
from airflow_incident_provider.messages.updates import note_messages
from airflow_incident_provider.models import IncidentSummary, Problem, ProblemCode, RunOutcome
from airflow_incident_provider.operators.base import SlackStep, is_last_try, request_run
from airflow_incident_provider.registry.task_client import TaskRegistry
from airflow_incident_provider.room.announcement import announce
from airflow_incident_provider.room.brief import BriefWriter, brief_state
from airflow_incident_provider.room.pending import missing_parts, retry_delay
from airflow_incident_provider.room.posting import Ledger, Poster, recorded_ts
from airflow_incident_provider.room.progress import FAILED_STATES, step_reports
from airflow_incident_provider.room.responders import complete_invitations, resolve_users
from airflow_incident_provider.room.snapshot import IncidentSnapshot, room_location, snapshot_of_run
from airflow_incident_provider.room.summary import RunReport, dry_run_texts, room_failure, summarize, summary_key
from airflow_incident_provider.room.xcom import step_nearby
from airflow_incident_provider.routing_file import active_routing_table
from airflow_incident_provider.slack.access import identify_workspace, open_slack_client
from airflow_incident_provider.slack.protocol import SlackClient

ANNOUNCEMENT_SECONDS = 5.0
"""The time for the announcement: nothing depends on it."""


class FinalSummaryOperator(SlackStep):
    """Write to the room, the log and XCom what happened, what was found, who is here and what failed.

    Give it the trigger rule ``all_done``. It posts the summary, writes the final brief, pushes its value, and then
    fails if a required step failed, so that the state of the run is true.

    It reads the steps by their task ids, as ``incident_update`` and the pages do: in a task group these are kept by
    ``TaskGroup(..., prefix_group_id=False)``.

    :param fail_run: whether to fail if an earlier step failed.
    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: an :class:`~airflow_incident_provider.models.IncidentSummary`, pushed to XCom, even on failure.
    :raises AirflowFailException: an earlier step failed; the message names it.

    .. code-block:: python

        FinalSummaryOperator(task_id="final_summary", trigger_rule="all_done")
    """

    ui_color = "#fdf1e3"

    def __init__(self, *, fail_run: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fail_run = fail_run

    def execute(self, context: Context) -> dict[str, Any]:
        """Make and post the summary, then let the run's state show whether it went well."""
        value = super().execute(context)
        summary = IncidentSummary.model_validate(value)
        if self.fail_run and summary.outcome is RunOutcome.FAILED:
            # A task that fails returns nothing, so its value is pushed first.
            context["ti"].xcom_push(key="return_value", value=value)
            failed = ", ".join(step.task_id for step in summary.steps if step.state in FAILED_STATES)
            raise AirflowFailException(f"The summary is complete, but these steps failed: {failed}.")
        return value

    def run_step(self, context: Context) -> IncidentSummary:
        """Make the summary, log it, and post it if there is a room."""
        if "." in (step_nearby(context, TaskId.PARSE_INCIDENT) or ""):
            raise IncidentError(
                "The steps of an incident cannot be summarized under the ids that their task group gives them.",
                fix="Write TaskGroup(..., prefix_group_id=False).",
            )
        snapshot = self._with_workspace(snapshot_of_run(context, finding_tasks=finding_tasks(context)))
        report = RunReport(snapshot=snapshot, steps=step_reports(context), now=datetime.now(UTC))
        slack = self._slack(report)
        if slack is not None:
            report = self._with_attendance(slack, report)
        summary = summarize(report)
        for message in summary_message(summary, snapshot.incident):
            self.log.info("%s", plain_text(message))
        if slack is not None:
            try:
                summary = self._post(context, slack, report, summary)
            except IncidentError as error:
                if _is_retried(error, context):
                    raise
                summary = _with_problem(summary, self.task_id, ProblemCode.SUMMARY, _not_posted(error), error)
        self._schedule_completion(context, report, summary)
        self._announce(context, report)
        return summary

    def _announce(self, context: Context, report: RunReport) -> None:
        """Announce the incident in the announcement channel of the routing table, if there is one."""
        snapshot = report.snapshot
        channel = active_routing_table().table.announce
        if channel is None or snapshot.record is None or snapshot.workspace is None:
            return
        # By now the registry has the reason why there is no room.
        record = snapshot_of_run(context).record or snapshot.record
        try:
            slack = open_slack_client(
                snapshot.workspace, self.slack_conn_id, channel_name=channel.lstrip("#"), log=self.log
            )
            announce(slack.within(ANNOUNCEMENT_SECONDS), snapshot.with_record(room=record.room), channel)
        except IncidentError as error:
            self.log.warning("The incident was not announced in %s: %s", channel, error)

    def _schedule_completion(self, context: Context, report: RunReport, summary: IncidentSummary) -> None:
        """Have the room opened or completed later, if it lacks something, by a run of ``incident_update``."""
        snapshot = replace(report.snapshot, summary=summary)
        missing = missing_parts(snapshot)
        if not missing or snapshot.key is None or snapshot.run is None:
            return
        at = datetime.now(UTC) + retry_delay(1)
        failure = room_failure(report.steps)
        location = room_location(snapshot.room) if snapshot.room is not None else Room()
        pending = location.model_copy(
            update={
                "missed_runs": snapshot.record.room.missed_runs if snapshot.record is not None else (),
                "problem": failure.error if failure else None,
                "fix": failure.fix if failure else None,
                "conn_id": self.slack_conn_id,
                "attempts": 1,
                "next_try_at": at,
            }
        )
        first_run = {"dag_id": snapshot.run.dag_id, "run_id": snapshot.run.run_id}
        run = check_run(snapshot.key, at)
        try:
            TaskRegistry.of(context).store_room(snapshot.key, pending)
        except (KeyError, AirflowRuntimeError) as error:
            self.log.warning("That the room is incomplete was not stored in the registry: %s", error)
        try:
            request_run(run.dag_id, run.run_id, {**run.conf, ConfKey.FIRST_RUN.value: first_run}, at)
        except RunNotRequestedError as error:
            self.log.error("The room will not be completed: %s", error)
        self.log.warning("The room lacks: %s. Next try at %s.", ", ".join(missing), f"{at:%H:%M:%S} UTC")

    def _with_workspace(self, snapshot: IncidentSnapshot) -> IncidentSnapshot:
        """Return the snapshot with the workspace of its room, if the step that identifies it had failed."""
        if snapshot.room is None or snapshot.workspace is not None:
            return snapshot
        try:
            return replace(snapshot, workspace=identify_workspace(self.slack_conn_id))
        except IncidentError as error:
            self.log.warning("The workspace could not be identified: %s", error)
            return snapshot

    def _slack(self, report: RunReport) -> SlackClient | None:
        """Return a client, if there is a room to post in."""
        room, workspace = report.snapshot.room, report.snapshot.workspace
        if room is None or workspace is None:
            return None
        return open_slack_client(workspace, self.slack_conn_id, channel_name=room.channel_name, log=self.log)

    def _with_attendance(self, slack: SlackClient, report: RunReport) -> RunReport:
        """Return the report with who is in the room, if Slack answers."""
        snapshot = report.snapshot
        if snapshot.room is None or snapshot.room.channel_id is None or snapshot.workspace is None:
            return report
        look_up = partial(
            resolve_users,
            workspace=snapshot.workspace,
            slack_conn_id=self.slack_conn_id,
            private=snapshot.room.private,
        )
        try:
            attendance = complete_invitations(slack, snapshot.room, snapshot.people, look_up)
        except IncidentError as error:
            self.log.warning("Who is in the room is not known: %s", error)
            return report
        return replace(
            report,
            snapshot=snapshot.with_room(attendance.room),
            invited_later=attendance.later,
            unanswered=attendance.unanswered,
            here=attendance.here,
        )

    def _post(
        self, context: Context, slack: SlackClient, report: RunReport, summary: IncidentSummary
    ) -> IncidentSummary:
        """Post the summary and write the final brief; if that fails for good, say so in the room."""
        snapshot = report.snapshot
        assert snapshot.room is not None
        ledger, channel_id, key = Ledger(context), snapshot.room.channel_id or "", summary_key(snapshot)
        poster = Poster(slack, channel_id, ledger)
        ts, live = recorded_ts(ledger, f"{key}/0", channel_id), snapshot.room.channel_id is not None
        # The people that the message mentions have joined by now.
        called = (*snapshot.room.invited, *report.invited_later) if live else ()
        try:
            messages = summary_message(summary, snapshot.incident, called=called)
            ts = poster.post_all(messages, key=key)[0].ts
        except IncidentError as error:
            if ts is None or _is_retried(error, context):
                raise
            what = "the summary in the room may not be up to date"
            summary = _with_problem(summary, self.task_id, ProblemCode.SUMMARY, what, error)
        try:
            self._write_final_brief(slack, report, summary)
        except IncidentError as error:
            if _is_retried(error, context):
                raise
            what = "the brief may not be up to date"
            summary = _with_problem(summary, self.task_id, ProblemCode.BRIEF, what, error)
            self._post_stale_brief(poster, error, key=f"{key}/brief")
        return summary.model_copy(
            update={"posted_ts": ts if live else None, "would_post": dry_run_texts(snapshot, slack.would_post)}
        )

    def _write_final_brief(self, slack: SlackClient, report: RunReport, summary: IncidentSummary) -> None:
        snapshot = replace(report.snapshot, summary=summary)
        if snapshot.incident is None or snapshot.room is None or snapshot.room.brief_ts is None:
            return
        writer = BriefWriter(slack, snapshot.room.channel_id or "")
        writer.write(snapshot.room.brief_ts, brief_state(snapshot))

    def _post_stale_brief(self, poster: Poster, error: IncidentError, *, key: str) -> None:
        """Post it in a message of its own: what keeps the brief from being edited may keep the summary as well."""
        try:
            poster.post_all(note_messages(f"The brief may not be up to date: {error.message}"), key=key)
        except IncidentError as also:
            self.log.warning("The room does not show that its brief may not be up to date: %s", also)


def finding_tasks(context: Context) -> Sequence[str]:
    """Return the tasks of this DAG that return findings: the catalogue's probes, and a team's own."""
    return [
        task.task_id
        for task in context["dag"].tasks
        if getattr(getattr(task, "operator_class", type(task)), "returns_findings", False)
    ]


def _is_retried(error: IncidentError, context: Context) -> bool:
    """Return whether this attempt may fail because another one follows."""
    return isinstance(error, SlackUnavailableError) and not is_last_try(context)


def _not_posted(error: IncidentError) -> str:
    """Return what is known about a summary whose posting failed."""
    if isinstance(error, SlackUnavailableError) and error.effect_possible:
        return "it is not known whether the summary was posted in the room"
    return "the summary could not be posted in the room"


def _with_problem(
    summary: IncidentSummary, step: str, code: ProblemCode, what: str, error: IncidentError
) -> IncidentSummary:
    """Return the summary with what went wrong while it was posted."""
    problem = Problem(step=step, what=what, error=error.message, fix=error.fix, code=code)
    outcome = RunOutcome.DEGRADED if summary.outcome is RunOutcome.COMPLETE else summary.outcome
    return summary.model_copy(update={"problems": (*summary.problems, problem), "outcome": outcome})
