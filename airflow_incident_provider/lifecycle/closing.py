"""
When an incident that is over is resolved, and when its room is warned of and archived.

Whoever waits asks again when the time has come: the record then tells whether it still holds.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import ValidationError

from airflow_incident_provider.config import ConfKey
from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.policies import Lifecycle
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.models import Model

LONGEST_WARNING = timedelta(hours=1)
"""How long before the archiving the room is warned; half of the delay where that is shorter."""


class Closing(StrEnum):
    """A step towards the end of an incident's life."""

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
    """Return when a recovered incident is resolved, unless an alert fires before."""
    if record.status is not Status.RECOVERED or record.recovered_at is None:
        return None
    return _whole_second(record.recovered_at + settings.quiet_period)


def archive_at(record: IncidentRecord, settings: Lifecycle) -> datetime | None:
    """Return when the room of a resolved incident is archived: not before it can no longer come back to it."""
    if record.status is not Status.RESOLVED or record.resolved_at is None:
        return None
    return _whole_second(record.resolved_at + _stay(settings))


def warn_at(record: IncidentRecord, settings: Lifecycle) -> datetime | None:
    """Return when the room of a resolved incident is warned that it will be archived."""
    archived = archive_at(record, settings)
    return None if archived is None else _whole_second(archived - min(LONGEST_WARNING, _stay(settings) / 2))


def due_closing(record: IncidentRecord, settings: Lifecycle, now: datetime) -> Closing | None:
    """Return the step that the time has come for, if there is one."""
    moments = (
        (Closing.RESOLVE, resolve_at(record, settings)),
        (Closing.ARCHIVE, archive_at(record, settings)),
        (Closing.WARN, warn_at(record, settings)),
    )
    return next((step for step, at in moments if at is not None and at <= now), None)


def next_closing_at(record: IncidentRecord, settings: Lifecycle, now: datetime) -> datetime | None:
    """Return the moment of the next step, as things are now; one that is past already has not been taken yet."""
    if record.status is Status.RECOVERED:
        return resolve_at(record, settings)
    warning = warn_at(record, settings)
    return warning if warning is not None and now < warning else archive_at(record, settings)


def _stay(settings: Lifecycle) -> timedelta:
    return max(settings.archive_delay, settings.reopen_window)


def _whole_second(at: datetime) -> datetime:
    """Return the moment, or the next whole second after it: such a moment survives every way of writing it."""
    return at if at.microsecond == 0 else at.replace(microsecond=0) + timedelta(seconds=1)
