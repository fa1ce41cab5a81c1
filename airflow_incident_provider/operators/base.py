"""The base classes of the operators: timing, failures, retries, and the Slack connection."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator, Context, RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowFailException, AirflowRuntimeError

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, TaskId, XComKey
from airflow_incident_provider.exceptions import IncidentError, RunNotRequestedError, SlackUnavailableError
from airflow_incident_provider.intake.values import SEVERITY_CHOICES, read_severity
from airflow_incident_provider.lifecycle.closing import CloseRequest
from airflow_incident_provider.models import Finding, Problem, Severity, Timing, XComValue
from airflow_incident_provider.slack.errors import effect_may_be_delayed
from airflow_incident_provider.text import for_error

MAX_RETRY_DELAY_S = 300.0
"""The longest wait for Slack between two attempts; an attempt that comes too early is rejected without harm."""

RETRY_DELAY_AFTER_TIMEOUT_S = 10.0
"""Seconds after a timeout before an attempt looks whether the call took effect: it may still be in progress."""


class IncidentStep(BaseOperator):
    """An operator that returns a model, records how long it took, and leaves a :class:`Problem` when it fails.

    A subclass does its work in :meth:`run_step`. An error that no retry resolves fails the task at once; any other
    is left to the task's ``retries`` and :class:`IncidentRetryPolicy`.
    """

    def __init__(self, *, retry_policy: RetryPolicy | None = None, **kwargs: Any) -> None:
        super().__init__(retry_policy=retry_policy or IncidentRetryPolicy(), **kwargs)

    @abstractmethod
    def run_step(self, context: Context) -> XComValue:
        """Do the work and return its value."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the step and return its value with its timing."""
        clock = Clock()
        try:
            return self.run_step(context).timed(clock.timing()).to_xcom()
        except IncidentError as error:
            self._push_problem(context, error, clock)
            if isinstance(error, SlackUnavailableError):
                raise
            raise AirflowFailException(str(error)) from error

    def _push_problem(self, context: Context, error: IncidentError, clock: Clock) -> None:
        problem = Problem(step=self.task_id, what=error.message, fix=error.fix)
        context["ti"].xcom_push(
            key=XComKey.PROBLEM.value,
            value={"problem": problem.model_dump(mode="json"), "timing": clock.timing().model_dump(mode="json")},
        )


class SlackStep(IncidentStep):
    """A step that uses a Slack workspace.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    """

    template_fields: Sequence[str] = ("slack_conn_id",)

    def __init__(self, *, slack_conn_id: str = DEFAULT_SLACK_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slack_conn_id = slack_conn_id


class Clock:
    """Measures a step: wall-clock start, monotonic duration."""

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self._start = time.monotonic()

    def timing(self) -> Timing:
        """Return the time since the clock was made."""
        return Timing(started_at=self.started_at, duration_ms=round((time.monotonic() - self._start) * 1000))


class IncidentRetryPolicy(RetryPolicy):
    """Retries errors that may pass, and none of this package's others; the worker is free in between.

    After a rate limit it waits as long as Slack asked, up to :data:`MAX_RETRY_DELAY_S`; after a timeout as long as
    the call may still be in progress; after any other error that may pass for the task's own ``retry_delay``.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow's signature
        max_tries: int,  # noqa: ARG002
        context: Context | None = None,  # noqa: ARG002
    ) -> RetryDecision:
        """Decide by the class of the error."""
        if isinstance(exception, SlackUnavailableError):
            return _retry_slack(exception)
        if isinstance(exception, IncidentError):
            return RetryDecision.fail(reason="A retry would fail in the same way")
        return RetryDecision.default()


def _retry_slack(error: SlackUnavailableError) -> RetryDecision:
    if error.retry_after is not None:
        wait_s = min(error.retry_after, MAX_RETRY_DELAY_S)
        reason = f"Slack asked to wait {error.retry_after:.0f} s"
    elif effect_may_be_delayed(error):
        wait_s, reason = RETRY_DELAY_AFTER_TIMEOUT_S, "A call that timed out may still be in progress"
    else:
        return RetryDecision.default()
    return RetryDecision.retry(delay=timedelta(seconds=wait_s), reason=reason)


def is_last_try(context: Context) -> bool:
    """Return whether Airflow will not retry this task by itself."""
    ti: Any = context["ti"]
    return bool(ti.try_number > ti.max_tries)


def known_severity(value: object) -> Severity:
    """Return the severity that a DAG author wrote.

    :raises ValueError: it is none: Airflow shows it as an import error of the DAG.
    """
    severity = read_severity(value)
    if severity is None:
        raise ValueError(f"severity: {for_error(value)} is not a severity; {SEVERITY_CHOICES}.")
    return severity


def rendered_text(value: object) -> str | None:
    """Return a templated text. With ``render_template_as_native_obj`` Airflow renders digits to a number."""
    return value if value is None or isinstance(value, str) else str(value)


def probe_findings(context: Context, **run: str) -> list[Finding]:
    """Return what the probes of this run found, or those of the run with this ``dag_id`` and ``run_id``."""
    ti: Any = context["ti"]
    values = ti.xcom_pull(task_ids=[TaskId.INVESTIGATE], **run) or ()
    return [Finding.model_validate(value) for value in values if isinstance(value, dict)]


def due_at(context: Context) -> datetime:
    """Return now, or the run's due time if the scheduler's clock is ahead of the worker's."""
    now, due = datetime.now(UTC), context["dag_run"].run_after
    return now if due is None else max(now, due)


def request_run(dag_id: str, run_id: str, conf: dict[str, Any], run_after: datetime) -> bool:
    """Request a DAG run from within a task, without ending the task as ``TriggerDagRunOperator`` does.

    :returns: whether Airflow was asked; false in an operator that is run by hand, without a task runner.
    :raises RunNotRequestedError: Airflow refused, such as for a DAG that does not exist.
    """
    # Imports the task runner, which the processes that parse DAGs do not need.
    from airflow.sdk.api.client import ServerResponseError
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import TriggerDagRun

    comms = getattr(task_runner, "SUPERVISOR_COMMS", None)
    if comms is None:
        return False
    request = TriggerDagRun(dag_id=dag_id, run_id=run_id, conf=conf, run_after=run_after, logical_date=None)
    try:
        comms.send(request)
    except (AirflowRuntimeError, ServerResponseError) as error:  # the latter in ``airflow dags test``
        raise RunNotRequestedError(f"No run of {dag_id} could be requested: {error}") from error
    return True


def requested_by(context: Context) -> str | None:
    """Return the person that the close request names, else the Airflow user who started this run."""
    request = CloseRequest.of(context["dag_run"].conf)
    if request is not None and request.by is not None:
        return request.by
    name: str | None = getattr(context["dag_run"], "triggering_user_name", None)
    return name
