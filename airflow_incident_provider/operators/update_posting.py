"""How an update is told: who comes, what is said in the room and under the brief, and where the room is by now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from airflow_incident_provider.exceptions import SlackRequestError
from airflow_incident_provider.hooks.war_room_slack import Channel, WarRoomSlack
from airflow_incident_provider.intake.life import Lifecycle
from airflow_incident_provider.lifecycle.closing import resolve_at
from airflow_incident_provider.lifecycle.records import Presence, Status, UpdateItem, UpdateKind
from airflow_incident_provider.messages.channel import channel_name, channel_name_taken
from airflow_incident_provider.messages.recovery import Recovery, recovery_begun
from airflow_incident_provider.messages.turns import Return, back_message, over_message
from airflow_incident_provider.messages.update import News, update_messages
from airflow_incident_provider.models import (
    PostedMessage,
    Problem,
    SlackWorkspace,
    ThreadUpdates,
    UserResolution,
    WarRoom,
)
from airflow_incident_provider.operators.known_incident import KnownIncident
from airflow_incident_provider.operators.later_people import LaterPeople, bring_in
from airflow_incident_provider.operators.ledger import Ledger
from airflow_incident_provider.operators.posting import Poster
from airflow_incident_provider.operators.progress import address_of_run
from airflow_incident_provider.operators.room_keeping import RoomKeeper, channel_of
from airflow_incident_provider.operators.room_opening import RoomOpening, RoomPlan
from airflow_incident_provider.operators.step import POST_UPDATE
from airflow_incident_provider.registry.entries import UpdateBatch

_MOVED_FROM = "moved_from"


class UpdatePosting:
    """Tells one update.

    :param run_key: what the keys of all messages of this run begin with.
    :param tell_room: called with the room when it had to move.
    """

    def __init__(
        self,
        slack: WarRoomSlack,
        known: KnownIncident,
        batch: UpdateBatch,
        ledger: Ledger,
        *,
        workspace: SlackWorkspace,
        settings: Lifecycle,
        conn_id: str,
        run_key: str,
        tell_room: Callable[[WarRoom], None],
    ) -> None:
        self._slack = slack
        self._known = known
        self._batch = batch
        self._ledger = ledger
        self._workspace = workspace
        self._settings = settings
        self._conn_id = conn_id
        self._run_key = run_key
        self._tell_room = tell_room

    def post(self, room: WarRoom) -> ThreadUpdates:
        """Tell the update in the room.

        :raises SlackRequestError: the room is archived, and nothing in the update makes a new one necessary.
        """
        channel, writable = channel_of(self._slack, room)
        if not writable:
            room = self._moved(room)
            channel, _ = channel_of(self._slack, room)
        known = replace(self._known, room=room)
        people = self._bring_in(known, room)
        posted = self._tell(room, people)
        keeper = RoomKeeper(self._slack, known, room, channel, step=POST_UPDATE)
        keeper.keep(people)
        if self._items(UpdateKind.REOPENED):
            keeper.keep_summary()
        return self._value(room, posted, keeper.problems)

    # --- where --------------------------------------------------------------------------------------

    def _moved(self, old: WarRoom) -> WarRoom:
        """Return a new room for an incident that is back and finds its own archived."""
        if not self._items(UpdateKind.REOPENED):
            raise SlackRequestError(f"The room #{old.channel_name} was archived: nothing can be told there.")
        incident = self._known.incident.model_copy(update={"slack_channel_id": None})
        record = self._known.record
        plan = RoomPlan(
            incident=incident,
            workspace=self._workspace,
            people=self._known.people or UserResolution(),
            name=lambda attempt: channel_name_taken(incident, attempt) if attempt else channel_name(incident),
            run_url=address_of_run(record.dag_id, record.run_id) if record.run_id else None,
        )
        self._ledger.record({_MOVED_FROM: {"name": old.channel_name, "url": old.url}})
        room = RoomOpening(self._slack, plan, self._ledger).open()
        self._tell_room(room)
        return room

    @property
    def _moved_from(self) -> dict[str, Any]:
        """The room that was left for another, by this attempt or an earlier one."""
        left = self._ledger.result(_MOVED_FROM)
        return left if isinstance(left, dict) else {}

    # --- who ----------------------------------------------------------------------------------------

    def _bring_in(self, known: KnownIncident, room: WarRoom) -> LaterPeople:
        if known.record.presence is Presence.THREAD:
            # The triage channel is not a room: nobody is called into it.
            return LaterPeople()
        names = [name for item in self._items(UpdateKind.RESPONDERS) for name in item.names]
        if self._moved_from:
            names = list(known.record.responders)
        return bring_in(self._slack, known, room, self._workspace, names=names, conn_id=self._conn_id)

    # --- what ---------------------------------------------------------------------------------------

    def _tell(self, room: WarRoom, people: LaterPeople) -> tuple[PostedMessage, ...]:
        """Post what is new: in the room where it changes how the incident stands, else under the brief."""
        poster = Poster(self._slack, room.channel_id or "", self._ledger)
        in_room = None if self._known.record.presence is Presence.ROOM else room.brief_ts
        posted: list[PostedMessage] = []
        for item in self._items(UpdateKind.REOPENED):
            message = back_message(self._return(item, room))
            posted.append(poster.post(message, key=f"{self._run_key}/back", thread_ts=in_room))
        posted += poster.post_all(
            update_messages(self._news(people)), key=f"{self._run_key}/update", thread_ts=room.brief_ts
        )
        for item in self._items(UpdateKind.RECOVERED):
            posted += self._tell_recovery(poster, item, in_room)
        return tuple(posted)

    def _tell_recovery(self, poster: Poster, item: UpdateItem, thread_ts: str | None) -> tuple[PostedMessage, ...]:
        """Post that it has recovered; in a room, the probes' results go into this message once they are there."""
        if self._known.record.status is not Status.RECOVERED:
            return ()
        if self._known.record.presence is Presence.THREAD:
            return (
                poster.post(over_message(item.at, "recovered"), key=f"{self._run_key}/over", thread_ts=thread_ts),
            )
        return poster.post_all(
            recovery_begun(recovery_of(self._known, self._settings)), key=recovery_key(self._run_key)
        )

    def _news(self, people: LaterPeople) -> News:
        record = self._known.record
        return News(
            items=self._batch.items,
            dropped=self._batch.dropped,
            since=self._known.incident.occurred_at,
            alerts=record.alert_count,
            firing=record.firing_count,
            invited=people.invited,
            not_invited=people.not_invited,
        )

    def _return(self, item: UpdateItem, room: WarRoom) -> Return:
        over = next((told.at for told in self._items(UpdateKind.RECOVERED) if told.at < item.at), None)
        return Return(
            times=self._known.times,
            since=self._known.incident.occurred_at,
            at=item.at,
            over_at=over,
            what=item.title,
            brief_url=room.brief_url,
            old_room=self._moved_from.get("name"),
            old_room_url=self._moved_from.get("url"),
        )

    def _items(self, kind: UpdateKind) -> tuple[UpdateItem, ...]:
        return tuple(item for item in self._batch.items if item.kind is kind)

    def _value(self, room: WarRoom, posted: tuple[PostedMessage, ...], problems: list[Problem]) -> ThreadUpdates:
        dry_run = self._workspace.dry_run
        return ThreadUpdates(
            mode=self._workspace.mode,
            channel_id=room.channel_id,
            thread_ts=room.brief_ts,
            messages=() if dry_run else posted,
            problems=tuple(problems),
            would_post=tuple(getattr(self._slack, "would_post", ())),
        )


def recovery_key(run_key: str) -> str:
    """Return what the keys of the recovery's messages begin with."""
    return f"{run_key}/recovery"


def recovery_of(known: KnownIncident, settings: Lifecycle) -> Recovery:
    """Return the recovery that the record tells of."""
    record = known.record
    return Recovery(
        at=record.recovered_at or record.last_signal_at,
        first_at=known.incident.occurred_at,
        times=known.times,
        resolve_at=resolve_at(record, settings),
    )
