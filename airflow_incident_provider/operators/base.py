"""What the steps of an incident have in common: where their input comes from, timing, and how they fail."""

from __future__ import annotations

import time
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowFailException

from airflow_incident_provider.config import XComKey
from airflow_incident_provider.exceptions import (
    IncidentError,
    SlackUnavailableError,
)
from airflow_incident_provider.models import Problem, Timing, XComValue
from airflow_incident_provider.slack.errors import effect_may_be_delayed

if TYPE_CHECKING:
    from airflow.sdk import Context

LONGEST_RETRY_DELAY_S = 300.0
"""Seconds that a step waits for Slack at the most: coming back too early is refused once more and harms nobody."""

RETRY_DELAY_AFTER_TIMEOUT_S = 10.0
"""Seconds after a time-out before a step looks whether Slack did it after all: Slack may still have been at it."""


class IncidentStep(BaseOperator):
    """A step that returns a model, says how long it took, and leaves a :class:`Problem` when it fails.

    A subclass does its work in :meth:`run_step`. An error that no retry mends fails the task at once; one that
    a retry may mend is left to the task's ``retries`` and :class:`IncidentRetryPolicy`.
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
            self._leave_problem(context, error, clock)
            if isinstance(error, SlackUnavailableError):
                raise
            raise AirflowFailException(str(error)) from error

    def _leave_problem(self, context: Context, error: IncidentError, clock: Clock) -> None:
        problem = Problem(step=self.task_id, what=error.message, fix=error.fix)
        context["ti"].xcom_push(
            key=XComKey.PROBLEM,
            value={"problem": problem.model_dump(mode="json"), "timing": clock.timing().model_dump(mode="json")},
        )


class Clock:
    """Measures a step: wall-clock start, monotonic duration."""

    def __init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self._start = time.monotonic()

    def timing(self) -> Timing:
        """Return the time since the clock was made."""
        return Timing(started_at=self.started_at, duration_ms=round((time.monotonic() - self._start) * 1000))


class IncidentRetryPolicy(RetryPolicy):
    """Retries what may pass, and nothing else of ours; the worker is free meanwhile.

    After a rate limit it waits for as long as Slack asked, within reason; after a time-out for as long as Slack
    may still be at it; after anything else that may pass for the task's own ``retry_delay``.
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
            return _when_slack_may_be_back(exception)
        if isinstance(exception, IncidentError):
            return RetryDecision.fail(reason="Trying again changes nothing")
        return RetryDecision.default()


def _when_slack_may_be_back(error: SlackUnavailableError) -> RetryDecision:
    if error.retry_after is not None:
        wait_s = min(error.retry_after, LONGEST_RETRY_DELAY_S)
        reason = f"Slack asked to wait {error.retry_after:.0f} s"
    elif effect_may_be_delayed(error):
        wait_s, reason = RETRY_DELAY_AFTER_TIMEOUT_S, "Slack may still be at what it did not answer in time"
    else:
        return RetryDecision.default()
    return RetryDecision.retry(delay=timedelta(seconds=wait_s), reason=reason)


def is_last_try(context: Context) -> bool:
    """Return whether Airflow will not try this task again by itself."""
    ti: Any = context["ti"]
    return bool(ti.try_number > ti.max_tries)
