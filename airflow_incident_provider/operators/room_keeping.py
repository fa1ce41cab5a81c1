"""What a room shows of its incident at all times: brief, topic and summary, kept as the record says."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_incident_provider.exceptions import IncidentError, SlackUnavailableError
from airflow_incident_provider.hooks.war_room_slack import Channel, WarRoomSlack
from airflow_incident_provider.lifecycle.records import IncidentRecord, Presence, Status
from airflow_incident_provider.messages.brief import BriefState, brief
from airflow_incident_provider.messages.channel import is_own_topic, topic
from airflow_incident_provider.messages.status import status_words
from airflow_incident_provider.messages.summary import summary_message
from airflow_incident_provider.messages.turns import thread_message
from airflow_incident_provider.models import IncidentSummary, Problem, TimelineEntry, WarRoom
from airflow_incident_provider.operators.known_incident import KnownIncident
from airflow_incident_provider.operators.later_people import LaterPeople
from airflow_incident_provider.operators.progress import address_of_run, step_progress
from airflow_incident_provider.operators.room_opening import brief_key
from airflow_incident_provider.operators.step import FINAL_SUMMARY


class RoomKeeper:
    """Brings up to date what one room shows. None of it is worth a failed task: what fails is returned.

    :param channel: the room's channel as it is now; absent if Slack does not let us look.
    :param step: the task that does it, for what is said about failures.
    """

    def __init__(
        self, slack: WarRoomSlack, known: KnownIncident, room: WarRoom, channel: Channel | None, *, step: str
    ) -> None:
        self._slack = slack
        self._known = known
        self._room = room
        self._channel = channel
        self._step = step
        self.problems: list[Problem] = []

    def keep(self, people: LaterPeople | None = None) -> None:
        """Bring brief and topic up to date.

        :param people: who came later; without it the brief keeps to those whom the first run invited.
        """
        self._try("the brief is not up to date", lambda: self._keep_brief(people or LaterPeople()))
        if self._known.record.presence is Presence.ROOM:
            self._try("the topic is not up to date", self._keep_topic)

    def keep_summary(self) -> IncidentSummary | None:
        """Bring the summary up to date, where it was posted in this room, and return it as it is now."""
        summary = summary_so_far(self._known)
        if summary is not None and summary.room_url == self._room.url and summary.posted_ts is not None:
            self._try("the summary is not up to date", lambda: self._write_summary(summary))
        return summary

    def _try(self, what: str, work: Any) -> None:
        try:
            work()
        except IncidentError as error:
            self.problems.append(Problem(step=self._step, what=what, error=error.message, fix=error.fix))

    def _keep_brief(self, people: LaterPeople) -> None:
        ts, incident = self._room.brief_ts, self._known.incident
        if ts is None:
            return
        in_thread = self._known.record.presence is Presence.THREAD
        status = status_words(self._known.record)
        message = thread_message(incident, status) if in_thread else brief(self._brief_state(people, status))
        self._slack.update(self._room.channel_id or "", ts, message, key=brief_key(incident))

    def _brief_state(self, people: LaterPeople, status: str) -> BriefState:
        known, record = self._known, self._known.record
        summary = known.summary
        return BriefState(
            incident=known.incident,
            workspace=known.workspace,
            opened_at=self._room.opened_at,
            invited=(*self._room.invited, *people.here),
            not_invited=(*self._room.not_invited, *people.missing),
            steps=step_progress(summary.steps) if summary else (),
            problems=summary.problems if summary else self._room.problems,
            status=status,
            commander=record.commander,
            repeats=record.repeats,
            run_url=address_of_run(record.dag_id, record.run_id) if record.run_id else None,
            with_picture=self._room.picture,
        )

    def _keep_topic(self) -> None:
        if self._channel is None or not is_own_topic(self._channel.topic):
            return
        record = self._known.record
        wanted = topic(self._known.incident, status=status_words(record), commander=record.commander)
        if self._channel.topic != wanted:
            self._slack.set_topic(self._channel.id, wanted)

    def _write_summary(self, summary: IncidentSummary) -> None:
        first = summary_message(summary, self._known.incident)[0]
        assert summary.posted_ts is not None
        key = f"{self._known.incident.key}/{self._known.record.run_id}/summary/0"
        self._slack.update(self._room.channel_id or "", summary.posted_ts, first, key=key)


def channel_of(slack: WarRoomSlack, room: WarRoom) -> tuple[Channel | None, bool]:
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


def summary_so_far(known: KnownIncident) -> IncidentSummary | None:
    """Return the summary of the first minutes with what became of the incident since."""
    summary, record = known.summary, known.record
    if summary is None:
        return None
    over = None if record.status is Status.OPEN else record.recovered_at
    return summary.model_copy(
        update={
            "severity": record.severity,
            "status": _summary_status(record),
            "steps": tuple(
                step.model_copy(update={"state": "success"}) if step.task_id == FINAL_SUMMARY else step
                for step in summary.steps
            ),
            "timeline": (*summary.timeline, *_timeline_since(record)),
            "time_to_recovery_ms": _milliseconds(known.incident.received_at, over) if over else None,
        }
    )


def _summary_status(record: IncidentRecord) -> str | None:
    untouched = record.status is Status.OPEN and not record.reopened
    return None if untouched else status_words(record)


def _timeline_since(record: IncidentRecord) -> tuple[TimelineEntry, ...]:
    moments = [(at, "back") for at in record.reopened_at]
    if record.status is not Status.OPEN:
        moments += [
            (at, what) for at, what in ((record.recovered_at, "recovered"), (record.resolved_at, "resolved")) if at
        ]
    return tuple(TimelineEntry(at=at, what=what) for at, what in moments)


def _milliseconds(begin: datetime, end: datetime) -> int:
    return max(0, round((end - begin).total_seconds() * 1000))
