"""An incident that stayed quiet is resolved, and everything that shows it says so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, ConfKey, TaskId
from airflow_incident_provider.lifecycle.closing import Closing, archive_at, due_closing
from airflow_incident_provider.lifecycle.records import Status
from airflow_incident_provider.models import Finding, ThreadUpdates
from airflow_incident_provider.operators.base import IncidentStep
from airflow_incident_provider.room.close_request import asked_closing, who_asked

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_incident_provider.intake.policies import Lifecycle
    from airflow_incident_provider.messages.blocks import Message
    from airflow_incident_provider.room.ledger import Ledger
    from airflow_incident_provider.room.session import Visit
    from airflow_incident_provider.room.snapshot import KnownIncident
    from airflow_incident_provider.slack.protocol import Channel

"""What a run's conf calls the run that ran the probes again after the recovery."""

_ATTEMPTS = 3
"""How often the record is read again because an alert changed it meanwhile."""

_RESOLVE = "resolve"


class ResolveIncidentOperator(IncidentStep):
    """Resolve an incident whose quiet time is over, if no alert has fired since: the record is the truth.

    One that a person says is over is resolved at once, whatever its alerts say; what fires again reopens it.

    First the record is resolved, then the room is told: the summary with the time to the recovery, brief and topic,
    and a message that says what becomes of the room.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: :class:`~airflow_incident_provider.models.ThreadUpdates`, pushed to XCom. The task is skipped when the
        incident fires again, or its quiet time has begun anew.
    :raises SlackUnavailableError: when Slack does not answer: the task is retried, and goes on where it was.
    """

    template_fields: Sequence[str] = ("slack_conn_id",)
    ui_color = "#fdf1e3"

    def __init__(self, *, slack_conn_id: str = DEFAULT_SLACK_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slack_conn_id = slack_conn_id

    def run_step(self, context: Context) -> ThreadUpdates:
        """Resolve it, and tell."""
        from airflow_incident_provider.room.ledger import Ledger
        from airflow_incident_provider.room.session import Visit
        from airflow_incident_provider.room.updater import channel_of
        from airflow_incident_provider.routing_file import read_routing_table

        settings = read_routing_table().lifecycle
        known = _resolved(context, Ledger(context), settings)
        if known.room is None:
            raise AirflowSkipException("It is resolved; there is no room to tell it in.")
        visit = Visit.begin(context, known, conn_id=self.slack_conn_id, log=self.log)
        channel, writable = channel_of(visit.slack, visit.room)
        if not writable:
            raise AirflowSkipException("It is resolved; its room was archived before, and cannot be told.")
        return _tell(visit, channel, _message(context, visit, channel, settings))


def _resolved(context: Context, ledger: Ledger, settings: Lifecycle) -> KnownIncident:
    """Return the incident once it is resolved, by this attempt or an earlier one of this task."""
    from airflow_incident_provider.operators.what_is_due import this_moment
    from airflow_incident_provider.registry.task_client import TaskRegistry
    from airflow_incident_provider.room.snapshot import read_known

    registry = TaskRegistry.of(context)
    for _ in range(_ATTEMPTS):
        known, now = read_known(context), this_moment(context)
        if known is None:
            break
        if known.record.status is Status.RESOLVED and ledger.intended_at(_RESOLVE) is not None:
            return known
        if not _is_due(context, known, settings, now):
            break
        ledger.intend(_RESOLVE)
        if not known.is_registered:
            return known.resolved(now)
        registry.resolve(known.stored, now)
    raise AirflowSkipException("It is not to be resolved now: an alert came meanwhile, or it is resolved already.")


def _is_due(context: Context, known: KnownIncident, settings: Lifecycle, now: datetime) -> bool:
    """Return whether its time has come, or a person says so."""
    if asked_closing(context) is not None:
        return known.record.status in (Status.OPEN, Status.RECOVERED)
    return due_closing(known.record, settings, now) is Closing.RESOLVE


def _tell(visit: Visit, channel: Channel | None, message: Message) -> ThreadUpdates:
    from airflow_incident_provider.room.later_people import later_people
    from airflow_incident_provider.room.updater import RoomKeeper

    keeper, people = RoomKeeper(visit, channel), later_people(visit)
    keeper.keep_summary(people)
    posted = visit.poster.post(message, key=f"{visit.run_key}/resolved", thread_ts=visit.main_thread_ts)
    keeper.keep(people)
    return visit.value([posted], problems=keeper.problems)


def _message(context: Context, visit: Visit, channel: Channel | None, settings: Lifecycle) -> Message:
    from airflow_incident_provider.messages.status_changes import (
        ResolvedIncident,
        closed_message,
        failing_probes,
        resolved_message,
    )

    known, record = visit.known, visit.known.record
    at = record.resolved_at or record.last_signal_at
    by = who_asked(context) if asked_closing(context) is not None else None
    if visit.is_in_thread:
        return closed_message(at, "resolved", by=by)
    end = ResolvedIncident(
        at=at,
        by=by,
        first_at=known.incident.occurred_at,
        recovered_at=record.recovered_at,
        firing=record.firing_count,
        times=known.times,
        back_until=at + settings.reopen_window if known.is_registered else None,
        archive_at=archive_at(record, settings) if _will_be_archived(visit, channel) else None,
        summary_url=_summary_url(visit),
        doubts=failing_probes(_last_findings(context)),
    )
    return resolved_message(end)


def _will_be_archived(visit: Visit, channel: Channel | None) -> bool:
    """Return whether the room is archived by itself later: only the registry knows when."""
    from airflow_incident_provider.operators.archive_war_room import may_be_archived

    return visit.known.is_registered and may_be_archived(visit, channel)


def _summary_url(visit: Visit) -> str | None:
    """Return the address of the summary, if it is in this room and Slack tells."""
    from airflow_incident_provider.exceptions import IncidentError

    summary = visit.known.summary
    if summary is None or summary.posted_ts is None or summary.room_url != visit.room.url:
        return None
    try:
        return visit.slack.permalink(visit.room.channel_id or "", summary.posted_ts)
    except IncidentError:
        return None


def _last_findings(context: Context) -> list[Finding]:
    """Return what the probes found after the recovery, if the conf says which run ran them."""
    ti, run_id = context["ti"], (context["dag_run"].conf or {}).get(ConfKey.CHECKED_BY)
    if not isinstance(run_id, str):
        return []
    values = ti.xcom_pull(dag_id=ti.dag_id, run_id=run_id, task_ids=[TaskId.INVESTIGATE]) or ()
    return [Finding.model_validate(value) for value in values if isinstance(value, dict)]
