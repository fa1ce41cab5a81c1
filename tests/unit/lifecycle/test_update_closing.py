"""Automatic closing: when an incident is resolved, warned about and archived."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.intake.policies import Lifecycle
from airflow_incident_provider.lifecycle.closing import (
    Closing,
    archive_at,
    due_closing,
    next_closing_at,
    resolve_at,
    warn_at,
)
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.models import Severity, Source

AT = datetime.fromisoformat("2026-11-23T09:58:12.345678+00:00")
SETTINGS = Lifecycle.model_validate({"quiet_period": "10m", "archive_delay": "24h", "reopen_window": "60m"})
spans = st.integers(1, 10**6).map(lambda seconds: timedelta(seconds=seconds))


def record(status: Status) -> IncidentRecord:
    return IncidentRecord(
        key="dd.1",
        source=Source.DATADOG_ALERT,
        opened_by="a",
        title="t",
        severity=Severity.HIGH,
        opened_at=AT,
        last_signal_at=AT,
        status=status,
        recovered_at=AT,
        resolved_at=AT,
    )


def test_incident_resolves_after_quiet_period() -> None:
    assert resolve_at(record(Status.RECOVERED), SETTINGS) == datetime.fromisoformat("2026-11-23T10:08:13+00:00")


def test_room_is_kept_during_reopen_window() -> None:
    short = Lifecycle.model_validate({"archive_delay": "5m", "reopen_window": "60m"})
    at = archive_at(record(Status.RESOLVED), short)
    assert at is not None
    assert at - AT >= timedelta(minutes=60)


def test_warning_is_an_hour_before_archiving() -> None:
    warning, end = (at(record(Status.RESOLVED), SETTINGS) for at in (warn_at, archive_at))
    assert warning is not None
    assert end is not None
    assert end - warning == timedelta(hours=1)


@pytest.mark.parametrize("status", [Status.OPEN, Status.ARCHIVED])
def test_nothing_is_due_for_open_or_archived_incident(status: Status) -> None:
    far = AT + timedelta(days=400)
    assert due_closing(record(status), SETTINGS, far) is None
    assert next_closing_at(record(status), SETTINGS, far) is None


@given(spans, spans, spans)
def test_scheduled_runs_find_due_steps_in_order(quiet: timedelta, delay: timedelta, window: timedelta) -> None:
    settings = Lifecycle.model_construct(quiet_period=quiet, archive_delay=delay, reopen_window=window)
    one = record(Status.RECOVERED)
    at = next_closing_at(one, settings, AT)
    assert at is not None
    assert due_closing(one, settings, at - timedelta(seconds=1)) is None
    assert due_closing(one, settings, at) is Closing.RESOLVE
    one = one.model_copy(update={"status": Status.RESOLVED, "resolved_at": at})
    steps = []
    for _ in range(2):
        at = next_closing_at(one, settings, at)
        assert at is not None
        steps.append(due_closing(one, settings, at))
    assert steps[-1] is Closing.ARCHIVE
    assert steps[0] is Closing.WARN or max(delay, window) <= timedelta(seconds=2)
