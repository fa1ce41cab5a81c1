"""An event of an incident's run: its fields, its log line, and the error text that it may contain."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from enum import StrEnum

from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.models import Model, RunOutcome, Severity, UtcDatetime

LOGGER = "airflow_incident_provider.events"

ERROR_LIMIT = 500
"""Maximum length of an error text, in characters: an error may quote a field of the payload."""

ENDED_FROM_OUTSIDE = "terminated from outside the task; see Airflow's log for the reason"

_log = logging.getLogger(LOGGER)


class EventKind(StrEnum):
    """What happened."""

    STEP_RUNNING = "step_running"
    STEP_COMPLETE = "step_complete"
    STEP_FAILED = "step_failed"
    WORKFLOW_COMPLETE = "workflow_complete"


class IncidentEvent(Model):
    """
    An event of an incident's run. Durations are in milliseconds.

    :param key: the incident key; absent until the payload has been parsed.
    :param step: the task id; absent for an event of the whole run.
    :param map_index: the index of a mapped task instance.
    :param state: the Airflow state, such as ``success``, ``skipped`` or ``up_for_retry``.
    :param error: see :func:`describe_error`.
    :param outcome: the outcome in the run's summary; absent if there is no summary.
    """

    event: EventKind
    at: UtcDatetime
    key: str | None
    dag_id: str
    run_id: str
    step: str | None = None
    map_index: int | None = None
    try_number: int | None = None
    state: str
    duration_ms: int | None = None
    error: str | None = None
    severity: Severity | None = None
    outcome: RunOutcome | None = None
    time_to_room_ms: int | None = None
    time_to_first_evidence_ms: int | None = None
    time_to_summary_ms: int | None = None

    def log_line(self) -> str:
        """Return the event as one line of ASCII JSON, so that no field can start another log line."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True))


def write_log(event: IncidentEvent) -> None:
    """Write the event to the log as one line of JSON."""
    _log.info("%s", event.log_line())


def describe_error(error: BaseException | str | None) -> str | None:
    """
    Return the class name of an error, with its message only if the error is one of this package.

    A message of another library may contain a token or a password; a message of :class:`.IncidentError` never does.

    :param error: what Airflow passes to a listener; a string if the task was terminated from outside.
    """
    if error is None:
        return None
    if isinstance(error, str):
        return ENDED_FROM_OUTSIDE
    own = next((cause for cause in _causes(error) if isinstance(cause, IncidentError)), None)
    if own is None:
        return type(error).__name__
    return f"{type(own).__name__}: {own.message}"[:ERROR_LIMIT]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, each once."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__
