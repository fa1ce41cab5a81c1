"""How an update is told: who comes, what is said in the room and under the brief, and where the room is by now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_incident_provider.config import run_url
from airflow_incident_provider.exceptions import SlackRequestError
from airflow_incident_provider.intake.policies import Lifecycle
from airflow_incident_provider.lifecycle.closing import resolve_at
from airflow_incident_provider.lifecycle.records import Status, UpdateItem, UpdateKind
from airflow_incident_provider.messages.channel import channel_name, channel_name_taken
from airflow_incident_provider.messages.status_changes import (
    Recovery,
    Reopening,
    closed_message,
    recovery_started_messages,
    reopened_message,
)
from airflow_incident_provider.messages.updates import IncidentUpdate, update_messages
from airflow_incident_provider.models import PostedMessage, ThreadUpdates, UserResolution, WarRoom
from airflow_incident_provider.registry.records import UpdateBatch
from airflow_incident_provider.room.later_people import LaterPeople, bring_in
from airflow_incident_provider.room.opener import RoomOpening, RoomPlan
from airflow_incident_provider.room.session import Visit
from airflow_incident_provider.room.snapshot import KnownIncident
from airflow_incident_provider.room.updater import RoomKeeper, channel_of

_MOVED_FROM = "moved_from"


class UpdatePosting:
    """Tells one update.

    :param batch: what there is to tell.
    :param tell_registry: called with the room when it had to move.
    """

    def __init__(
        self, visit: Visit, batch: UpdateBatch, settings: Lifecycle, *, tell_registry: Callable[[WarRoom], None]
    ) -> None:
        self._visit = visit
        self._batch = batch
        self._settings = settings
        self._tell_registry = tell_registry

    def post(self) -> ThreadUpdates:
        """Tell the update.

        :raises SlackRequestError: the room is archived, and nothing in the update makes a new one necessary.
        """
        channel, writable = channel_of(self._visit.slack, self._visit.room)
        if not writable:
            self._move()
            channel, _ = channel_of(self._visit.slack, self._visit.room)
        people = self._bring_in()
        posted = self._tell(people)
        keeper = RoomKeeper(self._visit, channel)
        keeper.keep(people)
        if self._items(UpdateKind.REOPENED):
            keeper.keep_summary(people)
        return self._visit.value(posted, problems=keeper.problems)

    # --- where --------------------------------------------------------------------------------------

    def _move(self) -> None:
        """Open a new room for an incident that is back and finds its own archived."""
        known, old = self._visit.known, self._visit.room
        if not self._items(UpdateKind.REOPENED):
            raise SlackRequestError(f"The room #{old.channel_name} was archived: nothing can be told there.")
        self._visit.ledger.record({_MOVED_FROM: {"name": old.channel_name, "url": old.url}})
        incident = known.incident.model_copy(update={"slack_channel_id": None})
        plan = RoomPlan(
            incident=incident,
            workspace=self._visit.workspace,
            people=known.people or UserResolution(),
            name=lambda attempt: channel_name_taken(incident, attempt) if attempt else channel_name(incident),
            run_url=run_url(known.record.dag_id, known.record.run_id) if known.record.run_id else None,
        )
        room = RoomOpening(self._visit.slack, plan, self._visit.ledger).open()
        self._tell_registry(room)
        self._visit = self._visit.moved_to(room)

    @property
    def _moved_from(self) -> dict[str, Any]:
        """The room that was left for another, by this attempt or an earlier one."""
        left = self._visit.ledger.result(_MOVED_FROM)
        return left if isinstance(left, dict) else {}

    # --- who ----------------------------------------------------------------------------------------

    def _bring_in(self) -> LaterPeople:
        if self._visit.is_in_thread:
            # The triage channel is not a room: nobody is called into it.
            return LaterPeople()
        names = [name for item in self._items(UpdateKind.RESPONDERS) for name in item.names]
        return bring_in(self._visit, self._visit.known.record.responders if self._moved_from else names)

    # --- what ---------------------------------------------------------------------------------------

    def _tell(self, people: LaterPeople) -> tuple[PostedMessage, ...]:
        """Post what is new: in the room where it changes how the incident stands, else under the brief."""
        poster, key = self._visit.poster, self._visit.run_key
        posted = [
            poster.post(
                reopened_message(self._return(item)), key=f"{key}/back", thread_ts=self._visit.main_thread_ts
            )
            for item in self._items(UpdateKind.REOPENED)
        ]
        news = update_messages(self._news(people))
        posted += poster.post_all(news, key=f"{key}/update", thread_ts=self._visit.room.brief_ts)
        for item in self._items(UpdateKind.RECOVERED):
            posted += self._tell_recovery(item)
        return tuple(posted)

    def _tell_recovery(self, item: UpdateItem) -> tuple[PostedMessage, ...]:
        """Post that it has recovered; in a room, the probes' results go into this message once they are there."""
        visit, thread_ts = self._visit, self._visit.main_thread_ts
        if visit.known.record.status is not Status.RECOVERED:
            return ()
        if visit.is_in_thread:
            over = closed_message(item.at, "recovered")
            return (visit.poster.post(over, key=f"{visit.run_key}/over", thread_ts=thread_ts),)
        begun = recovery_started_messages(recovery_of(visit.known, self._settings, self._batch))
        return visit.poster.post_all(begun, key=recovery_key(visit))

    def _news(self, people: LaterPeople) -> IncidentUpdate:
        record = self._visit.known.record
        news = IncidentUpdate(
            items=self._batch.items,
            dropped=self._batch.dropped,
            since=self._visit.known.incident.occurred_at,
            alerts=record.alert_count,
            firing=record.firing_count,
        )
        if self._moved_from:
            # The brief of the new room has just told who comes.
            return news
        return news.model_copy(update={"invited": people.invited, "not_invited": people.not_invited})

    def _return(self, item: UpdateItem) -> Reopening:
        over = next((told.at for told in self._items(UpdateKind.RECOVERED) if told.at < item.at), None)
        return Reopening(
            times=self._visit.known.times,
            since=self._visit.known.incident.occurred_at,
            at=item.at,
            over_at=over,
            what=item.title,
            brief_url=self._visit.room.brief_url,
            old_room=self._moved_from.get("name"),
            old_room_url=self._moved_from.get("url"),
        )

    def _items(self, kind: UpdateKind) -> tuple[UpdateItem, ...]:
        return tuple(item for item in self._batch.items if item.kind is kind)


def recovery_key(visit: Visit) -> str:
    """Return what the keys of the recovery's messages begin with."""
    return f"{visit.run_key}/recovery"


def recovery_of(known: KnownIncident, settings: Lifecycle, batch: UpdateBatch) -> Recovery:
    """Return the recovery that the update tells of, with what the record says of it by now."""
    record = known.record
    told = (item.at for item in batch.items if item.kind is UpdateKind.RECOVERED)
    return Recovery(
        at=max(told, default=record.recovered_at or record.last_signal_at),
        first_at=known.incident.occurred_at,
        times=known.times,
        resolve_at=resolve_at(record, settings),
        over=record.status is not Status.OPEN,
    )
