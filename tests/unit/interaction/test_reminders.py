"""48 hours of reminders in simulated time: exactly the expected ones, in order, none after the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.intake.policies import Reminders
from airflow_incident_provider.interaction.reminders import (
    due_reminders,
    next_reminder_at,
)
from airflow_incident_provider.lifecycle.coordination import Coordination, Person, ReminderKind, Role, StatusUpdate
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status, Visibility
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


def posted(stages: list[tuple[float, IncidentRecord]], *, until: float) -> list[tuple[str, float]]:
    """Run as the scheduled runs do: look, post what is due, ask for a run at the next reminder.

    A stage replaces the record at its minute, and causes a look: an action or an alert starts a run.
    """
    found: list[tuple[str, float]] = []
    looked_at: datetime | None = None
    times = sorted({at for at, _ in stages})
    now = minute(times[0])
    while now <= minute(until):
        current = [each for at, each in stages if minute(at) <= now][-1]
        found += [
            (reminder.kind.value, (reminder.due_at - T0).total_seconds() / 60)
            for reminder in due_reminders(current, SETTINGS, now, posted_until=looked_at)
        ]
        looked_at = now
        upcoming = [minute(at) for at in times if minute(at) > now]
        following = next_reminder_at(current, SETTINGS, now)
        later = [at for at in (*upcoming, following) if at is not None]
        if not later:
            break
        now = min(later)
    return found


def test_48_hours() -> None:
    led = Coordination(roles={Role.COMMANDER: DANA})
    told = led.model_copy(
        update={"updates": (StatusUpdate(at=minute(40), actor="U", text="x", next_at=minute(55)),)}
    )
    stages = [
        (0, record()),
        (12, record(coordination=led)),
        (40, record(coordination=told)),
        (70, record(coordination=told, status=Status.RECOVERED, recovered_at=minute(70))),
        (200, record(coordination=told, status=Status.RESOLVED, recovered_at=minute(70), resolved_at=minute(200))),
    ]
    assert posted(stages, until=48 * 60) == [
        ("no_commander", 5),
        ("no_commander", 10),
        ("update_due", 30),
        ("update_due", 55),
        ("stalled", 130),
        ("stalled", 190),
    ]


def test_no_reminder_while_snoozed() -> None:
    snoozed = Coordination(snoozed_until=minute(60), roles={Role.COMMANDER: DANA})
    assert posted([(0, record(coordination=snoozed))], until=95) == [("update_due", 60), ("update_due", 90)]


def test_wording_can_escalate_with_the_number() -> None:
    reminders = due_reminders(record(), SETTINGS, minute(16), posted_until=None)
    assert [(each.kind, each.number) for each in reminders] == [(ReminderKind.NO_COMMANDER, 3)]


def test_a_late_look_posts_the_latest_of_each_kind_only() -> None:
    reminders = due_reminders(record(), SETTINGS, minute(47), posted_until=minute(3))
    assert [(each.kind, each.due_at) for each in reminders] == [
        (ReminderKind.UPDATE_DUE, minute(30)),
        (ReminderKind.NO_COMMANDER, minute(45)),
    ]


def test_an_incident_without_a_room_has_no_reminders() -> None:
    hidden = record(visibility=Visibility.RECORD)
    assert due_reminders(hidden, SETTINGS, minute(999), posted_until=None) == []
    assert next_reminder_at(hidden, SETTINGS, minute(1)) is None


def test_a_forgotten_incident_is_not_reminded_of_forever() -> None:
    assert next_reminder_at(record(), SETTINGS, minute(60 * 24 * 365)) is None


def test_a_reopened_incident_starts_over() -> None:
    again = record(reopened_at=(minute(100),), reopened=1)
    assert next_reminder_at(again, SETTINGS, minute(101)) == minute(105)


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_looking_twice_posts_nothing_twice(first: int, second: int) -> None:
    earlier, later = sorted((first, second))
    seen = {each.id for each in due_reminders(record(), SETTINGS, minute(earlier), posted_until=None)}
    again = {each.id for each in due_reminders(record(), SETTINGS, minute(later), posted_until=minute(earlier))}
    assert not seen & again
