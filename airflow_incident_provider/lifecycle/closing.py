"""
When an incident is resolved, its room warned and archived, and its record put away.

A task that waits for one of these times asks again when it has come: the record may have changed since.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import ValidationError

from airflow_incident_provider.config import ConfKey
from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.policies import Lifecycle
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status, Visibility
from airflow_incident_provider.models import Model

LONGEST_WARNING = timedelta(hours=1)
"""How long before archiving the room is warned; half of the delay if that is shorter."""

LIVE_AFTER_END = timedelta(days=1)
"""How long an incident that is over still receives alerts, beyond the reopen window: late recoveries, say."""

EXPIRES_AFTER = timedelta(days=30)
"""After this long without any notification an open incident is closed, and its room is informed."""


class Closing(StrEnum):
    """A closing step of an incident."""

    RESOLVE = "resolve"
    WARN = "warn"
    ARCHIVE = "archive"


class CloseRequest(Model):
    """A person's request to resolve an incident or to archive its room, in the conf of ``incident_update``.

    ``by`` is the person, as a Slack user id or a name; otherwise it is the Airflow user who started the run.
    ``dag_id`` and ``run_id`` name the incident's first run, for an incident that the registry does not know.
    """

    closing: Literal[Closing.RESOLVE, Closing.ARCHIVE]
    by: str | None = None
    dag_id: str | None = None
    run_id: str | None = None

    def as_conf(self) -> dict[str, Any]:
        """Return the part of the conf that holds the request."""
        return {ConfKey.CLOSE_REQUEST.value: self.model_dump(mode="json", exclude_none=True)}

    @classmethod
    def of(cls, conf: Any) -> Self | None:
        """Return the request in a run's conf, if there is one.

        :raises InvalidPayloadError: the conf holds a request that cannot be read.
        """
        given = (conf or {}).get(ConfKey.CLOSE_REQUEST)
        if given is None:
            return None
        try:
            return cls.model_validate(given)
        except ValidationError:
            raise InvalidPayloadError(
                f"{ConfKey.CLOSE_REQUEST}: not a request of airflow incident resolve or archive.",
                fix="Use these commands.",
            ) from None


def resolve_at(record: IncidentRecord, settings: Lifecycle) -> datetime | None:
    """Return when a recovered incident is resolved, unless an alert fires before.

    One whose checks fail after the recovery is not resolved by time, but by a person, or after a check that passes.
    """
    if record.status is not Status.RECOVERED or record.recovered_at is None or is_contradicted(record):
        return None
    return whole_second(record.recovered_at + settings.quiet_period)


def is_contradicted(record: IncidentRecord) -> bool:
    """Return whether the latest check after the recovery found a target failing."""
    at = record.room.contradicted_at
    return at is not None and record.recovered_at is not None and at >= record.recovered_at


def archive_at(record: IncidentRecord, settings: Lifecycle) -> datetime | None:
    """Return when the room of a resolved incident is archived: not while the incident may reopen there."""
    if record.status is not Status.RESOLVED or record.resolved_at is None:
        return None
    return whole_second(record.resolved_at + _stay(settings))


def warn_at(record: IncidentRecord, settings: Lifecycle) -> datetime | None:
    """Return when the room of a resolved incident is warned that it will be archived."""
    archived = archive_at(record, settings)
    return None if archived is None else whole_second(archived - min(LONGEST_WARNING, _stay(settings) / 2))


def due_closing(record: IncidentRecord, settings: Lifecycle, now: datetime) -> Closing | None:
    """Return the step that is due, if there is one."""
    moments = (
        (Closing.RESOLVE, resolve_at(record, settings)),
        (Closing.ARCHIVE, archive_at(record, settings)),
        (Closing.WARN, warn_at(record, settings)),
    )
    return next((step for step, at in moments if at is not None and at <= now), None)


def next_closing_at(record: IncidentRecord, settings: Lifecycle, now: datetime) -> datetime | None:
    """Return when the next step is due, as things are now; a time in the past means that it was not taken yet."""
    if record.status is Status.RECOVERED:
        return resolve_at(record, settings)
    warning = warn_at(record, settings)
    return warning if warning is not None and now < warning else archive_at(record, settings)


def is_expired(record: IncidentRecord, now: datetime) -> bool:
    """Return whether there was no alert and no action for so long that the incident is closed."""
    is_closed = record.status in (Status.RESOLVED, Status.ARCHIVED)
    return not is_closed and now - record.last_signal_at > EXPIRES_AFTER


def settle(record: IncidentRecord, settings: Lifecycle, now: datetime) -> IncidentRecord:
    """Return the record as resolved if its quiet period has passed and no run is going to resolve it.

    An incident that is only recorded has no room, so it has no run that would resolve it.
    """
    at = resolve_at(record, settings)
    if record.visibility is not Visibility.RECORD or at is None or now < at:
        return record
    return record.model_copy(update={"status": Status.RESOLVED, "resolved_at": at})


def is_finished(record: IncidentRecord, settings: Lifecycle, now: datetime) -> bool:
    """Return whether no alert can belong to an incident any more, and no task has anything to do with it."""
    live = settings.reopen_window + LIVE_AFTER_END
    if record.status is Status.ARCHIVED and record.archived_at is not None:
        return now - record.archived_at > live
    if record.status is not Status.RESOLVED or record.resolved_at is None:
        return False
    if record.visibility is Visibility.RECORD:
        return now - record.resolved_at > live
    # The run that archives the room has failed for good.
    return now - record.resolved_at > _stay(settings) + live + LIVE_AFTER_END


def _stay(settings: Lifecycle) -> timedelta:
    return max(settings.archive_delay, settings.reopen_window)


def whole_second(at: datetime) -> datetime:
    """Return the moment, or the next whole second after it: such a moment survives every way of writing it."""
    return at if at.microsecond == 0 else at.replace(microsecond=0) + timedelta(seconds=1)
