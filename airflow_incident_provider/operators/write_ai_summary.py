"""After step 7: a summary that a language model writes from the findings, with every sentence checked."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from contextvars import copy_context
from datetime import timedelta
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException
from pydantic import ValidationError

from airflow_incident_provider.config import DEFAULT_AI_COST_LIMIT
from airflow_incident_provider.evidence.written_summary import (
    INSTRUCTIONS,
    CheckedSummary,
    WrittenSummary,
    check_summary,
    prompt,
    sources,
)
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.messages.evidence import ai_summary_message
from airflow_incident_provider.models import Mode, ThreadUpdates
from airflow_incident_provider.operators.base import SlackStep
from airflow_incident_provider.operators.final_summary import finding_tasks
from airflow_incident_provider.room.posting import Ledger, Poster
from airflow_incident_provider.room.snapshot import IncidentSnapshot, snapshot_of_run
from airflow_incident_provider.slack.access import open_slack_client

REQUESTS = 2
"""The model is asked again once if its output has the wrong form."""

TOKENS = 12_000
"""The tokens of all requests together, in and out."""


class WriteAiSummaryOperator(SlackStep):
    """Have a language model summarize the findings, and post what they support into the brief's thread.

    It runs Airflow's ``LLMOperator`` (``apache-airflow-providers-common-ai``, extra ``ai``) without tools, with
    limits on requests, tokens, cost and time. The model sees findings as templates: words that anybody could
    have put there, as in log messages and titles, are masked. A sentence that does not restate the findings that
    it cites is dropped; if that is half of them or more, nothing is posted. It posts only after the usual summary
    is in the room, and whatever fails only skips the task.

    :param llm_conn_id: an Airflow connection of a type of that package. (templated)
    :param cost_limit: in US dollars; it has an effect where the price of the model is known.
    :param timeout: after this the model is not waited for.
    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: :class:`~airflow_incident_provider.models.ThreadUpdates`, pushed to XCom. The task is skipped if
        there is no summary in a room, or nothing to post.

    .. code-block:: python

        WriteAiSummaryOperator(task_id="write_ai_summary", llm_conn_id="pydanticai_default")
    """

    template_fields: Sequence[str] = ("llm_conn_id", "slack_conn_id")
    ui_color = "#f3f0fa"

    def __init__(
        self,
        *,
        llm_conn_id: str,
        cost_limit: str | float = DEFAULT_AI_COST_LIMIT,
        timeout: timedelta = timedelta(seconds=30),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.llm_conn_id = llm_conn_id
        self.cost_limit = cost_limit
        self.timeout = timeout

    def run_step(self, context: Context) -> ThreadUpdates:
        """Ask the model, check what it wrote, and post what is left."""
        snapshot = snapshot_of_run(context, finding_tasks=finding_tasks(context))
        if snapshot.summary is None or snapshot.summary.posted_ts is None or snapshot.room is None:
            raise AirflowSkipException("There is no summary in a room, so the model is not asked.")
        checked = self._write(context, snapshot)
        messages = ai_summary_message(checked)
        if not messages:
            raise AirflowSkipException(f"Nothing is posted: {checked.dropped} sentences are not what findings say.")
        try:
            return self._post(context, snapshot, messages)
        except IncidentError as error:
            raise AirflowSkipException(f"The model's summary is not posted: {error.message}") from error

    def _write(self, context: Context, snapshot: IncidentSnapshot) -> CheckedSummary:
        """Return the checked sentences of the model.

        :raises AirflowSkipException: there is nothing to summarize, or the model did not answer as it should.
        """
        known = sources(snapshot.evidence, snapshot.findings)
        if not known:
            raise AirflowSkipException("There are no findings to summarize.")
        try:
            answer = self._ask(context, prompt(known))
            return check_summary(WrittenSummary.model_validate(answer), known)
        except ValidationError as error:
            raise AirflowSkipException("The model's answer has another form than it should.") from error

    def _ask(self, context: Context, text: str) -> Any:
        """Run Airflow's operator in a thread of its own, so that no model can hold the task longer than allowed.

        :raises AirflowSkipException: it is not installed, failed, or did not end in time.
        """
        try:
            from airflow.providers.common.ai.operators.llm import LLMOperator
        except ImportError as error:
            raise AirflowSkipException("The extra ai is not installed: airflow-incident-provider[ai].") from error
        answers: list[Any] = []
        failures: list[BaseException] = []
        operator = LLMOperator(
            task_id=self.task_id,
            prompt=text,
            system_prompt=INSTRUCTIONS,
            llm_conn_id=self.llm_conn_id,
            output_type=WrittenSummary,
            serialize_output=True,
            usage_limits={
                "request_limit": REQUESTS,
                "total_tokens_limit": TOKENS,
                "tool_calls_limit": 0,
                "cost_limit": str(self.cost_limit),
            },
            model_settings={"timeout": self.timeout.total_seconds()},
            do_xcom_push=False,
        )

        def run() -> None:
            try:
                answers.append(operator.execute(context))
            except BaseException as error:  # noqa: BLE001 - whatever a model's client raises only skips the task
                failures.append(error)

        thread = threading.Thread(target=copy_context().run, args=(run,), name="ai-summary", daemon=True)
        thread.start()
        thread.join(self.timeout.total_seconds())
        if answers:
            return answers[0]
        if failures:
            # The text of the error may hold parts of the request, and those of the connection.
            raise AirflowSkipException(f"The model gave no summary: {type(failures[0]).__name__}.")
        with suppress(Exception):
            operator.on_kill()
        raise AirflowSkipException(f"The model gave no summary within {self.timeout.total_seconds():g} s.")

    def _post(self, context: Context, snapshot: IncidentSnapshot, messages: Sequence[Any]) -> ThreadUpdates:
        room, workspace, run = snapshot.room, snapshot.workspace, snapshot.run
        if room is None or workspace is None or run is None:
            raise AirflowSkipException("There is no room to post in.")
        slack = open_slack_client(workspace, self.slack_conn_id, channel_name=room.channel_name, log=self.log)
        poster = Poster(slack, room.channel_id or "", Ledger(context))
        key = f"{snapshot.key}/{run.run_id}/{self.task_id}"
        posted = poster.post_all(messages, key=key, thread_ts=room.brief_ts)
        return ThreadUpdates(
            mode=Mode.LIVE, channel_id=room.channel_id, thread_ts=room.brief_ts, messages=tuple(posted)
        )
