"""Retries and retry delays by error."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction

from airflow_incident_provider.exceptions import (
    IncidentError,
    InvalidPayloadError,
    SlackConfigurationError,
    SlackRequestError,
    SlackUnavailableError,
)
from airflow_incident_provider.operators.base import (
    MAX_RETRY_DELAY_S,
    RETRY_DELAY_AFTER_TIMEOUT_S,
    IncidentRetryPolicy,
)
from airflow_incident_provider.slack.errors import TIMED_OUT, effect_may_be_delayed


def decision(error: BaseException) -> tuple[RetryAction, timedelta | None]:
    decided = IncidentRetryPolicy().evaluate(error, try_number=1, max_tries=3)
    return decided.action, decided.retry_delay


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [
        (0.0, 0.0),
        (0.25, 0.25),
        (30.0, 30.0),
        (300.0, 300.0),
        (3600.0, MAX_RETRY_DELAY_S),
        (float("inf"), MAX_RETRY_DELAY_S),
    ],
)
def test_rate_limit_sets_retry_delay(retry_after: float, expected: float) -> None:
    error = SlackUnavailableError("slow down", code="ratelimited", retry_after=retry_after)
    assert decision(error) == (RetryAction.RETRY, timedelta(seconds=expected))


@pytest.mark.parametrize("code", [TIMED_OUT, "HTTP 504"])
def test_timeout_uses_longer_delay(code: str) -> None:
    error = SlackUnavailableError("no answer", code=code, effect_possible=True)
    assert effect_may_be_delayed(error)
    assert decision(error) == (RetryAction.RETRY, timedelta(seconds=RETRY_DELAY_AFTER_TIMEOUT_S))


@pytest.mark.parametrize("code", ["HTTP 500", "HTTP 502", "RemoteDisconnected", "fatal_error", "internal_error"])
def test_completed_error_uses_default_delay(code: str) -> None:
    error = SlackUnavailableError("server error", code=code, effect_possible=True)
    assert not effect_may_be_delayed(error)
    assert decision(error) == (RetryAction.DEFAULT, None)


@pytest.mark.parametrize(
    "error",
    [
        SlackConfigurationError("invalid_auth", fix="Reinstall the app."),
        SlackRequestError("invalid_name"),
        InvalidPayloadError("no title"),
        IncidentError("any other error"),
    ],
)
def test_permanent_error_is_not_retried(error: IncidentError) -> None:
    assert decision(error)[0] is RetryAction.FAIL


def test_foreign_error_uses_default_policy() -> None:
    assert decision(ValueError("a bug")) == (RetryAction.DEFAULT, None)
