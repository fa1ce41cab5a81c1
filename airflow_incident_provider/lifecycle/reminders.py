"""
Reminders: which are due, and when the next one can be.

Nothing waits: a run reads the record, posts what is due, and requests a run at the time of the next reminder. Each
reminder has an id, made of its kind and its due time, so a repeated run posts nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from airflow_incident_provider.intake.policies import Reminders
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.lifecycle.closing import next_closing_at, whole_second
from airflow_incident_provider.lifecycle.coordination import ReminderKind, Role
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status, Visibility

MAX_REPEATS = 96
"""Reminders of one kind; a forgotten incident must not be reminded of forever."""


@dataclass(frozen=True)
class Reminder:
    """One reminder.

    :param number: how often this reason has been reminded of, including this time; wording escalates with it.
    :param since: since when there is a reason.
    """

    kind: ReminderKind
    due_at: datetime
    number: int
    since: datetime

    @property
    def id(self) -> str:
        """Identifies the reminder."""
        return f"{self.kind}.{self.due_at:%Y%m%dT%H%M%S}"


def due_reminders(record: IncidentRecord, settings: Reminders, at: datetime) -> list[Reminder]:
    """Return the reminders of exactly this time, as the record is now.

    A run posts those of its own due time and no others: so each is posted by one run, however many runs there are,
    and one whose reason is gone is not posted.
    """
    return [reminder for reminder in _all(record, settings, at) if reminder.due_at == at]


def next_reminder_at(record: IncidentRecord, settings: Reminders, now: datetime) -> datetime | None:
    """Return when the next reminder is due as things are now; ``None`` if there is no reason for one."""
    upcoming = (reminder.due_at for reminder in _all(record, settings, now) if reminder.due_at > now)
    return min(upcoming, default=None)


def next_check_at(record: IncidentRecord, table: RoutingTable, now: datetime) -> datetime | None:
    """Return when anything may be due for the incident: a closing step, or a reminder."""
    times = (next_closing_at(record, table.lifecycle, now), next_reminder_at(record, table.reminders, now))
    return min((at for at in times if at is not None), default=None)


def check_run_id(key: str, at: datetime) -> str:
    """Return the id of the run that checks an incident at a moment."""
    return f"look.{key}.{at:%Y%m%dT%H%M%S}"


def _all(record: IncidentRecord, settings: Reminders, now: datetime) -> Iterator[Reminder]:
    """Yield every reminder of the present state until ``now``, and the first one after it."""
    if record.visibility is not Visibility.ROOM or record.status in (Status.RESOLVED, Status.ARCHIVED):
        return
    times = settings.of(record.severity)
    start = _started_at(record)
    coordination = record.coordination
    if record.status is Status.OPEN:
        if Role.COMMANDER not in coordination.roles and record.commander is None:
            yield from _series(ReminderKind.NO_COMMANDER, start, times.commander, record, now)
        yield from _update_series(record, start, times.update, now)
    elif record.recovered_at is not None:
        yield from _series(ReminderKind.STALLED, record.recovered_at, times.stalled, record, now)


def _update_series(
    record: IncidentRecord, start: datetime, every: timedelta | None, now: datetime
) -> Iterator[Reminder]:
    """Yield the reminders to post an update: at the promised time, else after the interval since the last one."""
    updates = record.coordination.updates
    promised = updates[-1].next_at if updates else None
    if promised is not None:
        if every is None:
            yield from _single(ReminderKind.UPDATE_DUE, promised, record, since=updates[-1].at)
            return
        start = promised - every
    elif updates:
        start = updates[-1].at
    yield from _series(ReminderKind.UPDATE_DUE, start, every, record, now)


def _single(kind: ReminderKind, at: datetime, record: IncidentRecord, *, since: datetime) -> Iterator[Reminder]:
    if not _is_snoozed(record, at):
        yield Reminder(kind, whole_second(at), 1, since)


def _series(
    kind: ReminderKind, start: datetime, every: timedelta | None, record: IncidentRecord, now: datetime
) -> Iterator[Reminder]:
    if every is None:
        return
    for number in range(1, MAX_REPEATS + 1):
        due_at = whole_second(start + every * number)
        if not _is_snoozed(record, due_at):
            yield Reminder(kind, due_at, number, start)
            if due_at > now:
                return


def _is_snoozed(record: IncidentRecord, at: datetime) -> bool:
    until = record.coordination.snoozed_until
    return until is not None and at < until


def _started_at(record: IncidentRecord) -> datetime:
    """Return when the present firing began: reminders start over when an incident is reopened."""
    return max((record.opened_at, *record.reopened_at))
