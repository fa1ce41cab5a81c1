"""Post what happened to an incident since its room was opened, and keep brief, topic and summary up to date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from airflow_incident_provider.exceptions import IncidentError, SlackRequestError, SlackUnavailableError
from airflow_incident_provider.intake.policies import Lifecycle
from airflow_incident_provider.lifecycle.closing import resolve_at
from airflow_incident_provider.lifecycle.records import Status, UpdateItem, UpdateKind
from airflow_incident_provider.lifecycle.transitions import is_worse
from airflow_incident_provider.messages.channel import channel_name, is_own_topic, topic
from airflow_incident_provider.messages.mrkdwn import is_user_id
from airflow_incident_provider.messages.status_changes import (
    Recovery,
    Reopening,
    closed_message,
    recovery_started_messages,
    reopened_message,
    room_opened_message,
    triage_message,
)
from airflow_incident_provider.messages.summary import summary_message
from airflow_incident_provider.messages.updates import IncidentUpdate, LeftRoom, update_messages
from airflow_incident_provider.models import (
    Incident,
    IncidentSummary,
    PostedMessage,
    Problem,
    ProblemCode,
    ThreadUpdates,
    UserResolution,
    WarRoom,
)
from airflow_incident_provider.registry.records import UpdateBatch
from airflow_incident_provider.room.announcement import announce, named_channel
from airflow_incident_provider.room.brief import BriefWriter, brief_key, brief_state
from airflow_incident_provider.room.opener import RoomOpener, RoomRequest
from airflow_incident_provider.room.posting import Poster, find_early_message
from airflow_incident_provider.room.responders import LaterResponders, invite_later_responders, look_up_for
from airflow_incident_provider.room.session import RoomSession
from airflow_incident_provider.room.snapshot import IncidentSnapshot
from airflow_incident_provider.room.summary import summary_key, summary_so_far
from airflow_incident_provider.slack.protocol import Channel

_MOVED_FROM = "moved_from"
_FIRING = frozenset({UpdateKind.REOPENED, UpdateKind.JOINED, UpdateKind.FIRING_AGAIN})
"""Changes by which an incident fires more than before."""


class UpdatePoster:
    """Posts one update.

    :param batch: what there is to post.
    :param store_room: called with the room when the incident has moved to another one.
    :param announce_in: the announcement channel of the routing table, if there is one.
    :ivar is_unfinished: whether brief, topic, announcement or summary are out of date because Slack did not answer.
    """

    def __init__(
        self,
        session: RoomSession,
        batch: UpdateBatch,
        settings: Lifecycle,
        *,
        store_room: Callable[[WarRoom], None],
        announce_in: str | None = None,
    ) -> None:
        self._session = session
        self._announce_in = announce_in
        self._batch = batch
        self._settings = settings
        self._store_room = store_room
        self._problems: list[Problem] = []
        self.is_unfinished = False

    def post(self) -> ThreadUpdates:
        """Post the update.

        :raises SlackRequestError: the room is archived or gone, and nothing that is new needs another one.
        """
        channel, writable = self._session.channel()
        if not writable:
            self._move(is_archived=channel is not None)
            channel, _ = self._session.channel()
        responders = self._invite()
        posted = self._post_news(responders)
        updater = RoomUpdater(self._session, channel, announce_in=self._announce_in)
        updater.update(responders)
        if self._items(UpdateKind.REOPENED):
            updater.update_summary(responders)
        self.is_unfinished = updater.is_unfinished
        return self._session.value(posted, problems=(*self._problems, *updater.problems))

    @property
    def room(self) -> WarRoom:
        """Where it was posted."""
        return self._session.room

    # --- where --------------------------------------------------------------------------------------

    def _move(self, *, is_archived: bool) -> None:
        """Open a new room for an incident that gets worse and whose room is archived or gone."""
        old = self._session.room
        if not any(_needs_room(item) for item in self._batch.items):
            why = "is archived" if is_archived else "was deleted, or the app was removed from it"
            raise SlackRequestError(
                f"The room #{old.channel_name} {why}: nothing can be posted there.",
                fix="Unarchive it, or invite the app. If the incident gets worse or reopens, it gets a new room.",
            )
        left = LeftRoom(name=old.channel_name, url=old.url, is_archived=is_archived)
        self._session.ledger.record({_MOVED_FROM: left.model_dump(mode="json")})
        room = RoomOpener(self._session.slack, successor_request(self._session), self._session.ledger).open()
        self._store_room(room)
        self._session = self._session.in_room(room)

    @property
    def _moved_from(self) -> LeftRoom | None:
        """The room that was left for another one, by this attempt or an earlier one."""
        left = self._session.ledger.result(_MOVED_FROM)
        return LeftRoom.model_validate(left) if isinstance(left, dict) else None

    # --- who ----------------------------------------------------------------------------------------

    def _invite(self) -> LaterResponders:
        record = self._session.snapshot.record
        if self._session.is_in_thread or record is None:
            # The triage channel is not a room: nobody is invited into it.
            return LaterResponders()
        items = self._items(UpdateKind.RESPONDERS)
        names = [name for item in items if not item.calls_people for name in item.names]
        called = [name for item in items if item.calls_people for name in item.names]
        try:
            return invite_later_responders(
                self._session, record.responders if self._moved_from else names, called=called
            )
        except IncidentError as error:
            # The update must not wait for lookups; missing people are invited with the next update.
            self._problems.append(
                Problem(
                    step=self._session.step,
                    what="people were not invited",
                    error=error.message,
                    fix=error.fix,
                    code=ProblemCode.LOOKUP,
                )
            )
            return LaterResponders()

    # --- what ---------------------------------------------------------------------------------------

    def _post_news(self, responders: LaterResponders) -> tuple[PostedMessage, ...]:
        """Post what is new: into the room what changes the incident's status, the rest into the brief's thread."""
        session = self._session
        poster, key = session.poster, session.run_key
        posted = [
            poster.post(
                reopened_message(self._reopening(item)), key=f"{key}/back", thread_ts=session.main_thread_ts
            )
            for item in self._items(UpdateKind.REOPENED)
        ]
        news = update_messages(self._news(responders))
        posted += poster.post_all(news, key=f"{key}/update", thread_ts=session.room.brief_ts)
        for item in self._items(UpdateKind.RECOVERED):
            posted += self._post_recovery(item)
        return tuple(posted)

    def _post_recovery(self, item: UpdateItem) -> tuple[PostedMessage, ...]:
        """Post that the incident has recovered; in a room, the results of the probes are added to this message."""
        session, record = self._session, self._session.snapshot.record
        if record is None or record.status is not Status.RECOVERED:
            return ()
        if session.is_in_thread:
            message = closed_message(item.at, "recovered")
            key = f"{session.run_key}/over"
            return (session.poster.post(message, key=key, thread_ts=session.main_thread_ts),)
        begun = recovery_started_messages(recovery_of(session.snapshot, self._settings, self._batch))
        return session.poster.post_all(begun, key=recovery_key(session))

    def _news(self, responders: LaterResponders) -> IncidentUpdate:
        snapshot = self._session.snapshot
        assert snapshot.record is not None
        assert snapshot.incident is not None
        news = IncidentUpdate(
            items=self._batch.items,
            dropped=self._batch.dropped,
            since=snapshot.incident.occurred_at,
            alerts=snapshot.record.alert_count,
            firing=snapshot.record.firing_count,
        )
        if self._moved_from is not None:
            # The brief of the new room shows who was invited.
            return news if self._items(UpdateKind.REOPENED) else news.model_copy(update={"left": self._moved_from})
        people = {"invited": responders.invited, "not_invited": responders.not_invited}
        return news.model_copy(update={**people, "key": self._session.buttons_key})

    def _reopening(self, item: UpdateItem) -> Reopening:
        snapshot = self._session.snapshot
        assert snapshot.incident is not None
        over = next((other.at for other in self._items(UpdateKind.RECOVERED) if other.at < item.at), None)
        return Reopening(
            by=item.actor,
            firing=snapshot.record.firing_count if snapshot.record is not None else 0,
            times=snapshot.times_fired,
            since=snapshot.incident.occurred_at,
            at=item.at,
            over_at=over,
            what=item.title,
            brief_url=self._session.room.brief_url,
            left=self._moved_from,
        )

    def _items(self, kind: UpdateKind) -> tuple[UpdateItem, ...]:
        return tuple(item for item in self._batch.items if item.kind is kind)


def _needs_room(item: UpdateItem) -> bool:
    """Return whether people must see a change, even if the room of the incident is archived or gone."""
    if item.kind is UpdateKind.SEVERITY:
        return is_worse(item.after, item.before)
    return item.kind in _FIRING


def successor_request(session: RoomSession) -> RoomRequest:
    """Return the request for a new room of the incident, other than the channel that it came with."""
    snapshot = session.snapshot
    assert snapshot.incident is not None
    incident = snapshot.incident.model_copy(update={"slack_channel_id": None})
    return _room_request(session, incident, snapshot.people)


def missing_room_request(session: RoomSession) -> RoomRequest:
    """Return the request for the room of an incident whose first run could not open one.

    Everybody is looked up again, also the responders of later notifications: nobody was invited yet.
    """
    snapshot, record = session.snapshot, session.snapshot.record
    assert snapshot.incident is not None
    incident = snapshot.incident
    names = dict.fromkeys((*incident.responders, *(record.responders if record else ())))
    people = look_up_for(session, names, private=incident.route.private)
    return replace(_room_request(session, incident, people), tried_before=True)


def _room_request(session: RoomSession, incident: Incident, people: UserResolution | None) -> RoomRequest:
    """Return the request for a room without the findings and messages of earlier ones."""
    return RoomRequest(
        snapshot=IncidentSnapshot(
            run=session.snapshot.run,
            stored=session.snapshot.stored,
            incident=incident,
            workspace=session.workspace,
            people=people,
        ),
        name=partial(channel_name, incident),
    )


def recovery_key(session: RoomSession) -> str:
    """Return the prefix of the keys of the recovery's messages."""
    return f"{session.run_key}/recovery"


def recovery_of(snapshot: IncidentSnapshot, settings: Lifecycle, batch: UpdateBatch) -> Recovery:
    """Return the recovery in a batch, with the current state of the record."""
    record = snapshot.record
    assert record is not None
    assert snapshot.incident is not None
    recovered = (item.at for item in batch.items if item.kind is UpdateKind.RECOVERED)
    return Recovery(
        at=max(recovered, default=record.recovered_at or record.last_signal_at),
        first_at=snapshot.incident.occurred_at,
        times=snapshot.times_fired,
        resolve_at=resolve_at(record, settings),
        over=record.status is not Status.OPEN,
    )


class RoomUpdater:
    """Updates what a room shows. None of it is worth a failed task: what fails is kept as a problem.

    :param channel: the room's channel; absent if the app may not look at it.
    :ivar is_unfinished: whether Slack did not answer, so that it may succeed later.
    :param announce_in: the announcement channel of the routing table, if there is one.
    """

    def __init__(self, session: RoomSession, channel: Channel | None, *, announce_in: str | None = None) -> None:
        self._session = session
        self._announce_in = announce_in
        self._channel = channel
        self.problems: list[Problem] = []
        self.is_unfinished = False

    def update(self, responders: LaterResponders) -> None:
        """Update brief and topic.

        :param responders: the responders of later notifications.
        """
        self._try(ProblemCode.BRIEF, "the brief is not up to date", lambda: self._update_brief(responders))
        if (channel := self._announce_in) is not None:
            self._try(
                ProblemCode.ANNOUNCEMENT,
                "the announcement is not up to date",
                lambda: announce(self._session.slack, self._session.snapshot, channel),
            )
        if not self._session.is_in_thread:
            self._try(ProblemCode.TOPIC, "the topic is not up to date", lambda: self._update_topic(responders))

    def update_summary(self, responders: LaterResponders) -> None:
        """Update the summary, if it was posted in this room."""
        summary = summary_so_far(self._session.snapshot, invited_since=len(responders.here))
        if summary is None or summary.room_url != self._session.room.url or summary.posted_ts is None:
            return
        ts = summary.posted_ts
        self._try(ProblemCode.SUMMARY, "the summary is not up to date", lambda: self._write_summary(ts, summary))

    def _try(self, code: ProblemCode, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except IncidentError as error:
            problem = Problem(step=self._session.step, what=what, error=error.message, fix=error.fix, code=code)
            self.problems.append(problem)
            self.is_unfinished |= isinstance(error, SlackUnavailableError)

    def _update_brief(self, responders: LaterResponders) -> None:
        session, snapshot, room = self._session, self._session.snapshot, self._session.room
        if room.brief_ts is None:
            return
        if session.is_in_thread:
            assert snapshot.incident is not None
            message = triage_message(snapshot.incident, snapshot.status)
            session.slack.update(room.channel_id or "", room.brief_ts, message, key=brief_key(snapshot.incident))
            return
        state = brief_state(
            snapshot,
            here_later=responders.here,
            missing_later=responders.missing,
            looked_up_again=snapshot.summary.unanswered if snapshot.summary else (),
        )
        BriefWriter(session.slack, room.channel_id or "").write(room.brief_ts, state)

    def _update_topic(self, responders: LaterResponders) -> None:
        if self._channel is None or not is_own_topic(self._channel.topic):
            return
        snapshot = self._session.snapshot
        assert snapshot.incident is not None
        commander = snapshot.record.commander if snapshot.record else None
        if commander is not None and is_user_id(commander):
            # A topic shows no mention, and a mention in a command brings no name.
            found = (*self._session.room.invited, *responders.here, *responders.invited)
            commander = {one.user.id: one.user.label for one in found}.get(commander, commander)
        wanted = topic(snapshot.incident, status=snapshot.status, commander=commander)
        if self._channel.topic != wanted:
            self._session.slack.set_topic(self._channel.id, wanted)

    def _write_summary(self, ts: str, summary: IncidentSummary) -> None:
        snapshot, room = self._session.snapshot, self._session.room
        first = summary_message(summary, snapshot.incident)[0]
        self._session.slack.update(room.channel_id or "", ts, first, key=f"{summary_key(snapshot)}/0")


# --- the thread of an incident without a room -------------------------------------------------------


def open_thread(session: RoomSession, channel: str) -> WarRoom:
    """Return the thread of the incident in the triage channel, in the place of a room; open it once.

    :param channel: the triage channel of the routing table: its id, or its name with ``#``.
    :raises SlackConfigurationError: the app is not in the channel.
    """
    dry_run, snapshot = session.workspace.dry_run, session.snapshot
    assert snapshot.incident is not None
    there = Channel(id="", name=channel.lstrip("#")) if dry_run else named_channel(session.slack, channel, "triage")
    message = triage_message(snapshot.incident, snapshot.status)
    posted = Poster(session.slack, there.id, session.ledger).post(message, key=brief_key(snapshot.incident))
    return WarRoom(
        mode=session.workspace.mode,
        channel_name=there.name,
        channel_id=None if dry_run else there.id,
        url=session.slack.channel_url(there.id),
        private=there.private,
        opened_at=datetime.now(UTC),
        brief_ts=None if dry_run else posted.ts,
    )


def announce_room_in_thread(session: RoomSession, channel: str) -> None:
    """Post into the thread that the incident has a room now; do nothing if the thread is not found.

    :raises IncidentError: Slack did not accept it; nothing else depends on it.
    """
    there = named_channel(session.slack, channel, "triage")
    incident, record = session.snapshot.incident, session.snapshot.record
    assert incident is not None
    opened_at = record.opened_at if record else incident.received_at
    thread_ts = find_early_message(session.slack, there.id, brief_key(incident), posted_after=opened_at)
    if thread_ts is not None:
        message = room_opened_message(session.room.channel_name, session.room.url)
        poster = Poster(session.slack, there.id, session.ledger)
        poster.post(message, key=f"{session.run_key}/room", thread_ts=thread_ts)
