"""Step 7: what the first minutes came to; it is made whatever happened before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID
from airflow_incident_provider.exceptions import IncidentError, SlackUnavailableError
from airflow_incident_provider.models import IncidentSummary, Problem, RunOutcome
from airflow_incident_provider.operators.base import IncidentStep, is_last_try
from airflow_incident_provider.slack.access import open_slack_client

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_incident_provider.room.posting import Poster
    from airflow_incident_provider.room.summary import RunRecord
    from airflow_incident_provider.slack.protocol import SlackClient


class FinalSummaryOperator(IncidentStep):
    """Tell the room, the log and XCom what happened, what was found, who came and what failed.

    Give it the trigger rule ``all_done``. It posts the summary, brings the brief up to date, pushes its value,
    and then fails if a step that the room depends on had failed, so that the run's state tells the truth.

    :param fail_run: whether to fail when a step before it had failed.
    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: an :class:`~airflow_incident_provider.models.IncidentSummary`, pushed to XCom before the task
        fails, if it does.
    :raises AirflowFailException: when a step before it had failed; the message names it.

    .. code-block:: python

        FinalSummaryOperator(task_id="final_summary", trigger_rule="all_done")
    """

    template_fields: Sequence[str] = ("slack_conn_id",)
    ui_color = "#fdf1e3"

    def __init__(self, *, fail_run: bool = True, slack_conn_id: str = DEFAULT_SLACK_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fail_run = fail_run
        self.slack_conn_id = slack_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Make and post the summary, then let the run's state tell whether it went well."""
        value = super().execute(context)
        summary = IncidentSummary.model_validate(value)
        if self.fail_run and summary.outcome is RunOutcome.FAILED:
            # A task that fails returns nothing, so what it would return is pushed first.
            context["ti"].xcom_push(key="return_value", value=value)
            failed = ", ".join(step.task_id for step in summary.steps if step.state in _FAILED)
            raise AirflowFailException(f"The summary is made, but not every step succeeded: {failed}.")
        return value

    def run_step(self, context: Context) -> IncidentSummary:
        """Make the summary, show it in the log, and post it where there is a room."""
        from airflow_incident_provider.messages.plain import plain_text
        from airflow_incident_provider.messages.summary import summary_message
        from airflow_incident_provider.room.summary import read_run, summarise

        record = read_run(context)
        slack = self._slack(record)
        if slack is not None:
            record = self._attended(slack, record)
        summary = summarise(record)
        for message in summary_message(summary, record.incident):
            self.log.info("%s", plain_text(message))
        if slack is None:
            return summary
        try:
            return self._post(context, slack, record, summary)
        except IncidentError as error:
            if _will_be_tried_again(error, context):
                raise
            return _with_problem(summary, self.task_id, _unposted(error), error)

    def _slack(self, record: RunRecord) -> SlackClient | None:
        """Return the workspace, where there is a room to post in."""
        if record.room is None or record.workspace is None:
            return None
        return open_slack_client(
            record.workspace, self.slack_conn_id, channel_name=record.room.channel_name, log=self.log
        )

    def _attended(self, slack: SlackClient, record: RunRecord) -> RunRecord:
        """Return the record with who is in the room, if Slack tells."""
        from airflow_incident_provider.operators.resolve_slack_users import resolve_users
        from airflow_incident_provider.room.second_invitation import attend

        if record.room is None or record.room.channel_id is None or record.workspace is None:
            return record
        look_up = partial(
            resolve_users,
            workspace=record.workspace,
            slack_conn_id=self.slack_conn_id,
            private=record.room.private,
            should_wait=lambda _: False,
        )
        try:
            seen = attend(slack, record.room, record.people, look_up)
        except IncidentError as error:
            self.log.warning("Who came could not be counted: %s", error)
            return record
        return replace(record, room=seen.room, invited_later=seen.later, here=seen.here)

    def _post(
        self, context: Context, slack: SlackClient, record: RunRecord, summary: IncidentSummary
    ) -> IncidentSummary:
        """Post the summary and bring the brief up to date; where that fails for good, say so in the room."""
        from airflow_incident_provider.messages.summary import summary_message
        from airflow_incident_provider.room.ledger import Ledger
        from airflow_incident_provider.room.posting import Poster, recorded_ts
        from airflow_incident_provider.room.summary import all_that_would_be_posted, summary_key

        assert record.room is not None
        ledger, channel_id, key = Ledger(context), record.room.channel_id or "", summary_key(record)
        poster = Poster(slack, channel_id, ledger)
        ts = recorded_ts(ledger, f"{key}/0", channel_id)
        try:
            ts = poster.post_all(summary_message(summary, record.incident), key=key)[0].ts
        except IncidentError as error:
            if ts is None or _will_be_tried_again(error, context):
                raise
            summary = _with_problem(summary, self.task_id, "the summary in the room may not be up to date", error)
        try:
            self._finish_brief(slack, record, summary)
        except IncidentError as error:
            if _will_be_tried_again(error, context):
                raise
            summary = _with_problem(summary, self.task_id, "the brief may not be up to date", error)
            self._tell_of_stale_brief(poster, error, key=f"{key}/brief")
        live = record.room.channel_id is not None
        return summary.model_copy(
            update={
                "posted_ts": ts if live else None,
                "would_post": all_that_would_be_posted(record, slack.would_post),
            }
        )

    def _finish_brief(self, slack: SlackClient, record: RunRecord, summary: IncidentSummary) -> None:
        from airflow_incident_provider.room.summary import final_brief

        assert record.room is not None
        if record.incident is not None and record.room.brief_ts is not None:
            key, message = final_brief(record, summary)
            slack.update(record.room.channel_id or "", record.room.brief_ts, message, key=key)

    def _tell_of_stale_brief(self, poster: Poster, error: IncidentError, *, key: str) -> None:
        """Say it in a message of its own: what keeps the brief from being changed may keep the summary as well."""
        from airflow_incident_provider.messages.updates import note_messages

        try:
            poster.post_all(note_messages(f"The brief may not be up to date: {error.message}"), key=key)
        except IncidentError as also:
            self.log.warning("The room could not be told that its brief may not be up to date: %s", also)


def _will_be_tried_again(error: IncidentError, context: Context) -> bool:
    """Return whether this attempt may fail because another follows it."""
    return isinstance(error, SlackUnavailableError) and not is_last_try(context)


def _unposted(error: IncidentError) -> str:
    """Return what is known of a summary that was not posted as far as we were told."""
    if isinstance(error, SlackUnavailableError) and error.effect_possible:
        return "it is not known whether the summary was posted in the room"
    return "the summary could not be posted in the room"


def _with_problem(summary: IncidentSummary, step: str, what: str, error: IncidentError) -> IncidentSummary:
    """Return the summary with what went wrong while it was told."""
    problem = Problem(step=step, what=what, error=error.message, fix=error.fix)
    outcome = RunOutcome.DEGRADED if summary.outcome is RunOutcome.COMPLETE else summary.outcome
    return summary.model_copy(update={"problems": (*summary.problems, problem), "outcome": outcome})


_FAILED = frozenset({"failed", "upstream_failed"})
