"""Reminders: due times, order and limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.intake.policies import Reminders
from airflow_incident_provider.lifecycle.coordination import Coordination, Person, ReminderKind, Role, StatusUpdate
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status, Visibility
from airflow_incident_provider.lifecycle.reminders import due_reminders, next_reminder_at
from airflow_incident_provider.models import Severity, Source

T0 = datetime(2026, 11, 23, 10, tzinfo=UTC)
DANA = Person(name="dana", slack_id="U0DANAREYES")
SETTINGS = Reminders.model_validate({"critical": {"commander": "5m", "update": "30m", "stalled": "1h"}})


def minute(number: float) -> datetime:
    return T0 + timedelta(minutes=number)


def record(**changes: Any) -> IncidentRecord:
    fields: dict[str, Any] = {
        "key": "k",
        "source": Source.DATADOG_ALERT,
        "opened_by": "a",
        "title": "t",
        "severity": Severity.CRITICAL,
        "opened_at": T0,
        "last_signal_at": T0,
    }
    return IncidentRecord(**fields | changes)


def posted_reminders(stages: list[tuple[float, IncidentRecord]], *, until: float) -> list[tuple[str, float]]:
    """Simulate the update runs: each posts the due reminders and requests a run at the next reminder.

    A stage replaces the record at its minute and causes a run, as an alert or an action does.
    """
    posted: list[tuple[str, float]] = []
    requested = {minute(at) for at, _ in stages}
    finished: set[datetime] = set()
    while (pending := sorted(at for at in requested - finished if at <= minute(until))) != []:
        now = pending[0]
        current = [each for at, each in stages if minute(at) <= now][-1]
        posted += [
            (reminder.kind.value, (reminder.due_at - T0).total_seconds() / 60)
            for reminder in due_reminders(current, SETTINGS, now)
        ]
        finished.add(now)
        next_run = next_reminder_at(current, SETTINGS, now)
        requested |= {next_run} if next_run is not None else set()
    return posted


def test_reminders_of_48_hours() -> None:
    led = Coordination(roles={Role.COMMANDER: DANA})
    reminded = led.model_copy(
        update={"updates": (StatusUpdate(at=minute(40), actor="U", text="x", next_at=minute(55)),)}
    )
    stages = [
        (0, record()),
        (12, record(coordination=led)),
        (40, record(coordination=reminded)),
        (70, record(coordination=reminded, status=Status.RECOVERED, recovered_at=minute(70))),
        (
            200,
            record(coordination=reminded, status=Status.RESOLVED, recovered_at=minute(70), resolved_at=minute(200)),
        ),
    ]
    assert posted_reminders(stages, until=48 * 60) == [
        ("no_commander", 5),
        ("no_commander", 10),
        ("update_due", 30),
        ("update_due", 55),
        ("stalled", 130),
        ("stalled", 190),
    ]


def test_no_reminder_while_snoozed() -> None:
    snoozed = Coordination(snoozed_until=minute(60), roles={Role.COMMANDER: DANA})
    assert posted_reminders([(0, record(coordination=snoozed))], until=95) == [
        ("update_due", 60),
        ("update_due", 90),
    ]


def test_reminders_are_numbered() -> None:
    [reminder] = due_reminders(record(), SETTINGS, minute(15))
    assert (reminder.kind, reminder.number) == (ReminderKind.NO_COMMANDER, 3)


def test_run_between_due_times_posts_nothing() -> None:
    assert due_reminders(record(), SETTINGS, minute(16)) == []


def test_due_times_are_rounded_up_to_seconds() -> None:
    opened = record(opened_at=T0 + timedelta(microseconds=123))
    assert next_reminder_at(opened, SETTINGS, minute(0)) == minute(5) + timedelta(seconds=1)


def test_incident_without_room_has_no_reminders() -> None:
    hidden = record(visibility=Visibility.RECORD)
    assert due_reminders(hidden, SETTINGS, minute(5)) == []
    assert next_reminder_at(hidden, SETTINGS, minute(1)) is None


def test_reminders_are_limited() -> None:
    assert next_reminder_at(record(), SETTINGS, minute(60 * 24 * 365)) is None


def test_reopened_incident_restarts_reminders() -> None:
    again = record(reopened_at=(minute(100),), reopened=1)
    assert next_reminder_at(again, SETTINGS, minute(101)) == minute(105)


@given(st.lists(st.integers(0, 600), max_size=20), st.integers(0, 600))
def test_additional_runs_change_nothing(extra: list[int], ended: int) -> None:
    stages = [(0.0, record()), (float(ended) + 0.5, record(status=Status.RESOLVED, resolved_at=minute(ended)))]
    more = sorted([*stages, *((float(at), stages[at > ended][1]) for at in extra)], key=lambda stage: stage[0])
    assert posted_reminders(more, until=700) == posted_reminders(stages, until=700)
