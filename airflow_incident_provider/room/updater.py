"""What a room shows of its incident at all times: brief, topic and summary, kept as the record says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from airflow_incident_provider.config import TaskId, run_url
from airflow_incident_provider.exceptions import IncidentError, SlackUnavailableError
from airflow_incident_provider.lifecycle.records import IncidentRecord, Status
from airflow_incident_provider.messages.brief import BriefState, brief
from airflow_incident_provider.messages.channel import is_own_topic, topic
from airflow_incident_provider.messages.status_changes import status_text, triage_message
from airflow_incident_provider.messages.summary import summary_message
from airflow_incident_provider.models import IncidentSummary, Problem, StepReport, TimelineEntry, WarRoom
from airflow_incident_provider.room.later_people import LaterPeople
from airflow_incident_provider.room.opener import brief_key
from airflow_incident_provider.room.progress import step_progress
from airflow_incident_provider.room.session import Visit
from airflow_incident_provider.room.snapshot import KnownIncident
from airflow_incident_provider.slack.protocol import Channel, SlackClient


class RoomKeeper:
    """Brings up to date what one room shows. None of it is worth a failed task: what fails is kept as a problem.

    :param channel: the room's channel as it is now; absent if Slack does not let us look.
    """

    def __init__(self, visit: Visit, channel: Channel | None) -> None:
        self._visit = visit
        self._channel = channel
        self.problems: list[Problem] = []

    def keep(self, people: LaterPeople) -> None:
        """Bring brief and topic up to date.

        :param people: who came later than those whom the first run invited.
        """
        self._try("the brief is not up to date", lambda: self._keep_brief(people))
        if not self._visit.is_in_thread:
            self._try("the topic is not up to date", self._keep_topic)

    def keep_summary(self, people: LaterPeople) -> None:
        """Bring the summary up to date, where it was posted in this room."""
        summary = summary_so_far(self._visit.known, people)
        if summary is not None and summary.room_url == self._visit.room.url and summary.posted_ts is not None:
            self._try("the summary is not up to date", lambda: self._write_summary(summary))

    def _try(self, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except IncidentError as error:
            problem = Problem(step=self._visit.step, what=what, error=error.message, fix=error.fix)
            self.problems.append(problem)

    def _keep_brief(self, people: LaterPeople) -> None:
        known, room = self._visit.known, self._visit.room
        if room.brief_ts is None:
            return
        if self._visit.is_in_thread:
            message = triage_message(known.incident, status_text(known.record))
        else:
            message = brief(_brief_state(known, room, people))
        self._visit.slack.update(room.channel_id or "", room.brief_ts, message, key=brief_key(known.incident))

    def _keep_topic(self) -> None:
        if self._channel is None or not is_own_topic(self._channel.topic):
            return
        known = self._visit.known
        wanted = topic(known.incident, status=status_text(known.record), commander=known.record.commander)
        if self._channel.topic != wanted:
            self._visit.slack.set_topic(self._channel.id, wanted)

    def _write_summary(self, summary: IncidentSummary) -> None:
        known, room = self._visit.known, self._visit.room
        assert summary.posted_ts is not None
        first = summary_message(summary, known.incident)[0]
        key = f"{known.incident.key}/{known.record.run_id}/summary/0"
        self._visit.slack.update(room.channel_id or "", summary.posted_ts, first, key=key)


def _brief_state(known: KnownIncident, room: WarRoom, people: LaterPeople) -> BriefState:
    record, summary = known.record, known.summary
    return BriefState(
        incident=known.incident,
        workspace=known.workspace,
        opened_at=room.opened_at,
        invited=(*room.invited, *(summary.invited_later if summary else ()), *people.here),
        not_invited=(*(summary.not_invited if summary else room.not_invited), *people.missing),
        steps=step_progress(_ended(summary)) if summary else (),
        problems=summary.problems if summary else room.problems,
        status=status_text(record),
        commander=record.commander,
        repeats=record.repeats,
        run_url=run_url(record.dag_id, record.run_id) if record.run_id else None,
        with_picture=room.picture,
    )


def channel_of(slack: SlackClient, room: WarRoom) -> tuple[Channel | None, bool]:
    """Return the room's channel, if we may look at it, and whether it can still be written to.

    :raises SlackUnavailableError: Slack does not answer.
    """
    try:
        channel = slack.channel(room.channel_id or "")
    except SlackUnavailableError:
        raise
    except IncidentError as error:
        return None, getattr(error, "code", None) != "channel_not_found"
    return channel, not channel.archived


def summary_so_far(known: KnownIncident, people: LaterPeople) -> IncidentSummary | None:
    """Return the summary of the first minutes with what became of the incident since."""
    summary, record = known.summary, known.record
    if summary is None:
        return None
    over = None if record.status is Status.OPEN else record.recovered_at
    return summary.model_copy(
        update={
            "severity": record.severity,
            "status": _summary_status(record),
            "steps": _ended(summary),
            "timeline": (*summary.timeline, *_timeline_since(record)),
            "invited": summary.invited + len(people.here),
            # Who was there in the first minutes may have left since.
            "here": None,
            "time_to_recovery_ms": _milliseconds(known.incident.received_at, over) if over else None,
        }
    )


def _ended(summary: IncidentSummary) -> tuple[StepReport, ...]:
    """Return the steps of the first run, the summary among them, which was under way when it told of them."""
    return tuple(
        step.model_copy(update={"state": "success"}) if step.task_id == TaskId.FINAL_SUMMARY else step
        for step in summary.steps
    )


def _summary_status(record: IncidentRecord) -> str | None:
    untouched = record.status is Status.OPEN and not record.reopened
    return None if untouched else status_text(record)


def _timeline_since(record: IncidentRecord) -> tuple[TimelineEntry, ...]:
    moments = [(at, "back") for at in record.reopened_at]
    moments += [(at, "recovered") for at in record.earlier_recoveries]
    if record.status is not Status.OPEN:
        ends = ((record.recovered_at, "recovered"), (record.resolved_at, "resolved"))
        moments += [(at, what) for at, what in ends if at is not None]
    return tuple(TimelineEntry(at=at, what=what) for at, what in moments)


def _milliseconds(begin: datetime, end: datetime) -> int:
    return max(0, round((end - begin).total_seconds() * 1000))
