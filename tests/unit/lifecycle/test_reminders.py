"""48 hours of reminders in simulated time: exactly the expected ones, in order, none after the end."""

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


def posted(stages: list[tuple[float, IncidentRecord]], *, until: float) -> list[tuple[str, float]]:
    """Run as Airflow does: a run posts the reminders of its due time, and requests one at the next reminder.

    A stage replaces the record at its minute, which causes a run of its own, as an alert or an action does.
    """
    found: list[tuple[str, float]] = []
    requested = {minute(at) for at, _ in stages}
    done: set[datetime] = set()
    while (pending := sorted(at for at in requested - done if at <= minute(until))) != []:
        now = pending[0]
        current = [each for at, each in stages if minute(at) <= now][-1]
        found += [
            (reminder.kind.value, (reminder.due_at - T0).total_seconds() / 60)
            for reminder in due_reminders(current, SETTINGS, now)
        ]
        done.add(now)
        following = next_reminder_at(current, SETTINGS, now)
        requested |= {following} if following is not None else set()
    return found


def test_48_hours() -> None:
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
    [reminder] = due_reminders(record(), SETTINGS, minute(15))
    assert (reminder.kind, reminder.number) == (ReminderKind.NO_COMMANDER, 3)


def test_a_run_at_another_time_posts_nothing() -> None:
    assert due_reminders(record(), SETTINGS, minute(16)) == []


def test_times_are_whole_seconds() -> None:
    opened = record(opened_at=T0 + timedelta(microseconds=123))
    assert next_reminder_at(opened, SETTINGS, minute(0)) == minute(5) + timedelta(seconds=1)


def test_an_incident_without_a_room_has_no_reminders() -> None:
    hidden = record(visibility=Visibility.RECORD)
    assert due_reminders(hidden, SETTINGS, minute(5)) == []
    assert next_reminder_at(hidden, SETTINGS, minute(1)) is None


def test_a_forgotten_incident_is_not_reminded_of_forever() -> None:
    assert next_reminder_at(record(), SETTINGS, minute(60 * 24 * 365)) is None


def test_a_reopened_incident_starts_over() -> None:
    again = record(reopened_at=(minute(100),), reopened=1)
    assert next_reminder_at(again, SETTINGS, minute(101)) == minute(105)


@given(st.lists(st.integers(0, 600), max_size=20), st.integers(0, 600))
def test_further_runs_change_nothing(extra: list[int], ended: int) -> None:
    stages = [(0.0, record()), (float(ended) + 0.5, record(status=Status.RESOLVED, resolved_at=minute(ended)))]
    more = sorted([*stages, *((float(at), stages[at > ended][1]) for at in extra)], key=lambda stage: stage[0])
    assert posted(more, until=700) == posted(stages, until=700)
