"""
Open a war room, exactly once.

First what makes it a room: the channel, the brief, the invitations. Then what is convenient: topic, bookmarks, pin.
Only the calls in :data:`ESSENTIAL_METHODS` can fail the room; whatever happens to the others becomes a problem in
the brief, and none of them delays the room or the steps after it for longer than :data:`CONVENIENCE_SECONDS`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.exceptions import IncidentError, SlackRequestError, SlackUnavailableError
from airflow_incident_provider.messages.brief import BriefState, brief_details
from airflow_incident_provider.messages.channel import bookmarks, is_own_topic, purpose, topic
from airflow_incident_provider.messages.mrkdwn import between, duration
from airflow_incident_provider.messages.progress import StepProgress
from airflow_incident_provider.models import Incident, Problem, ProblemCode, SlackWorkspace, WarRoom
from airflow_incident_provider.room.brief import BriefWriter, brief_key, brief_state
from airflow_incident_provider.room.channel import UNFINISHED_WAIT_S, ChannelOpener, ChannelRequest, OpenedChannel
from airflow_incident_provider.room.posting import Ledger, Poster, find_early_message, is_recent, recorded_ts
from airflow_incident_provider.room.progress import progress_with_room
from airflow_incident_provider.room.responders import NOT_ADDED, invitations, not_invited, not_invited_because
from airflow_incident_provider.room.snapshot import IncidentSnapshot
from airflow_incident_provider.slack.concurrency import run_concurrently
from airflow_incident_provider.slack.errors import MESSAGE_NOT_FOUND, invite_failure_reason
from airflow_incident_provider.slack.protocol import Channel, SlackClient

ESSENTIAL_METHODS = frozenset({"auth.test", "conversations.create", "chat.postMessage"})
"""The Slack calls without which there is no room. Any other call may fail without preventing the room."""

CONVENIENCE_SECONDS = 4.0
"""Seconds for all calls of one phase that are not essential."""

PROBLEMS: Mapping[ProblemCode, tuple[str, str]] = {
    ProblemCode.DESCRIPTION: ("the room's description is not set", "the room's description may not be set"),
    ProblemCode.INVITATIONS: ("nobody could be invited", "some people may not have been invited"),
    ProblemCode.TOPIC: ("the topic is not set", "the topic may not be set"),
    ProblemCode.PIN: ("the brief is not pinned", "the brief may not be pinned"),
    ProblemCode.BOOKMARKS: ("not all bookmarks are there", "some bookmarks may be missing"),
    ProblemCode.MEMBERS: ("who is here could not be checked", "who is here could not be checked"),
    ProblemCode.PERMALINK: ("the brief's address is not known", "the brief's address is not known"),
    ProblemCode.BRIEF: ("the brief is not up to date", "the brief may not be up to date"),
}
"""What the room says of each failure; second, what it says if Slack did not answer and may have done it."""

_BRIEF = "brief"


@dataclass(frozen=True, kw_only=True)
class RoomRequest:
    """Which room to open.

    :param snapshot: the incident, the workspace and the people who were found.
    :param name: the channel's name at the nth attempt, the first being 0.
    :param steps: the progress of the run when the room is opened.
    :param deadline_s: seconds from the alert to the room that are promised, if any.
    :param tried_before: whether another task began to open this room, without success.
    """

    snapshot: IncidentSnapshot
    name: Callable[[int], str]
    steps: tuple[StepProgress, ...] = ()
    deadline_s: int | None = None
    tried_before: bool = False

    @property
    def incident(self) -> Incident:
        """The incident."""
        assert self.snapshot.incident is not None
        return self.snapshot.incident

    @property
    def workspace(self) -> SlackWorkspace:
        """The workspace."""
        assert self.snapshot.workspace is not None
        return self.snapshot.workspace


class RoomOpener:
    """Opens one room, or completes what an earlier attempt has begun.

    :param slack: the workspace, or a dry run of it.
    :param ledger: what earlier attempts of this task did; only used between the phases.
    """

    def __init__(self, slack: SlackClient, request: RoomRequest, ledger: Ledger) -> None:
        self._slack = slack
        self._request = request
        self._ledger = ledger
        self._started = time.monotonic()
        people = request.snapshot.people
        self._invitations = invitations(people) if people else ()
        self._left_out = not_invited(people) if people else ()
        self._problems: list[Problem] = list(people.problems if people else ())
        self._with_image = True
        self._invite_error: IncidentError | None = None

    def open(self) -> WarRoom:
        """Open the room and return it as it was left.

        :raises IncidentError: there is no channel or no brief; what was done until then is in the ledger.
        """
        opened = self._open_channel()
        room = self._post_brief_and_invite(opened)
        room = self._add_conveniences(opened, room)
        self._finish_brief(opened.channel, room)
        return room.model_copy(
            update={
                "problems": tuple(self._problems),
                "picture": self._with_image,
                "would_post": self._slack.would_post,
            }
        )

    # --- the channel --------------------------------------------------------------------------------

    def _open_channel(self) -> OpenedChannel:
        incident = self._request.incident
        request = ChannelRequest(
            key=incident.key,
            name=self._request.name,
            private=incident.route.private,
            existing_id=incident.slack_channel_id,
            tried_before=self._request.tried_before,
        )
        opened = ChannelOpener(self._slack, self._request.workspace.bot_user_id, self._ledger).open(request)
        if opened.note:
            self._problems.append(
                Problem(step=TaskId.CREATE_WAR_ROOM, what=opened.note, code=ProblemCode.OWN_CHANNEL)
            )
        return opened

    # --- what makes it a room -----------------------------------------------------------------------

    def _post_brief_and_invite(self, opened: OpenedChannel) -> WarRoom:
        """Post the brief, invite, and write the key into the channel's purpose."""
        tried_before = self._ledger.intended_at(_BRIEF) is not None
        seen_before = not opened.created or tried_before
        ours = opened.channel.id != self._request.incident.slack_channel_id
        wait = ours and seen_before and not tried_before
        self._ledger.intend(_BRIEF)
        earlier = self._recorded_brief(opened.channel)
        convenient = self._slack.within(CONVENIENCE_SECONDS)
        posted, described, refused = run_concurrently(
            lambda: self._brief_ts(opened.channel, earlier, look=seen_before, wait=wait),
            lambda: self._set_purpose(convenient, opened.channel),
            lambda: self._invite(convenient, opened),
        )
        if isinstance(posted, IncidentError):
            raise posted
        ts, at = posted
        self._ledger.record({_BRIEF: {"ts": ts, "channel": opened.channel.id}})
        self._note_lateness(at)
        self._note(ProblemCode.DESCRIPTION, described)
        return self._with_refusals(self._room(opened, ts, at), refused)

    def _recorded_brief(self, channel: Channel) -> str | None:
        """Return the brief that an earlier attempt recorded, unless somebody deleted it since."""
        recorded = recorded_ts(self._ledger, _BRIEF, channel.id)
        if recorded is None:
            return None
        try:
            self._with_image = self._writer(channel).update(recorded, self._state())
        except SlackUnavailableError:
            return recorded
        except SlackRequestError as error:
            if error.code == MESSAGE_NOT_FOUND:
                self._ledger.record({_BRIEF: None})
                return None
        return recorded

    def _brief_ts(self, channel: Channel, earlier: str | None, *, look: bool, wait: bool) -> tuple[str, datetime]:
        """Return the brief's timestamp and when it was posted: find it if it may be there, else post it.

        :param wait: whether another process may have opened the room a moment ago, and be about to post it.
        """
        if earlier is not None:
            return earlier, _posted_at(earlier)
        key = brief_key(self._request.incident)
        if look and (found := self._find_brief(channel, key, patience_s=UNFINISHED_WAIT_S if wait else 0)):
            return found, _posted_at(found)
        ts, self._with_image = self._writer(channel).post(self._state())
        return ts, datetime.now(UTC)

    def _find_brief(self, channel: Channel, key: str, *, patience_s: float) -> str | None:
        """Return the brief; wait for one that another process may be about to post in a new channel."""
        patiently = Retrying(
            stop=stop_after_delay(patience_s if is_recent(channel.created_at) else 0),
            wait=wait_fixed(UNFINISHED_WAIT_S / 8),
            retry=retry_if_result(lambda found: found is None),
            retry_error_callback=lambda _: None,
        )
        return patiently(find_early_message, self._slack, channel.id, key, posted_after=channel.created_at)

    def _set_purpose(self, slack: SlackClient, channel: Channel) -> None:
        """Write the key into the purpose, unless the channel is another tool's and has one."""
        wanted = purpose(self._request.incident)
        borrowed = channel.id == self._request.incident.slack_channel_id and channel.purpose != ""
        if channel.purpose != wanted and not borrowed:
            slack.set_purpose(channel.id, wanted)

    def _invite(self, slack: SlackClient, opened: OpenedChannel) -> dict[str, str]:
        """Invite everyone who is not in the channel; return the error code of each who could not be invited."""
        ids = [invitation.user.id for invitation in self._invitations]
        here = frozenset() if opened.created or not ids else slack.member_ids(opened.channel.id)
        wanted = [user_id for user_id in ids if user_id not in here]
        return slack.invite(opened.channel.id, wanted) if wanted else {}

    def _with_refusals(self, room: WarRoom, refused: dict[str, str] | IncidentError) -> WarRoom:
        """Return the room with who could not be invited, and why."""
        if isinstance(refused, IncidentError):
            self._invite_error = refused
            return _without(room, {one.user.id: refused.message for one in self._invitations})
        return _without(room, {user_id: invite_failure_reason(code) for user_id, code in refused.items()})

    # --- what is convenient -------------------------------------------------------------------------

    def _add_conveniences(self, opened: OpenedChannel, room: WarRoom) -> WarRoom:
        """Do what the room can be without, all of it, and note what fails."""
        channel, ts = opened.channel, self._brief_of(room)
        slack = self._slack.within(CONVENIENCE_SECONDS)
        titled, pinned, bookmarked, members, url = run_concurrently(
            lambda: self._set_topic(slack, channel),
            lambda: slack.pin(channel.id, ts),
            lambda: self._add_bookmarks(slack, channel, fresh=opened.created),
            lambda: slack.member_ids(channel.id),
            lambda: slack.permalink(channel.id, ts),
        )
        self._note(ProblemCode.TOPIC, titled)
        self._note(ProblemCode.PIN, pinned)
        self._note(ProblemCode.BOOKMARKS, bookmarked)
        self._note(ProblemCode.MEMBERS, members)
        self._note(ProblemCode.PERMALINK, url)
        if not isinstance(members, IncidentError):
            room = self._confirm_invitations(room, members)
        if any(each.user_id for each in room.not_invited):
            self._note(ProblemCode.INVITATIONS, self._invite_error)
        return room.model_copy(update={"brief_url": None if isinstance(url, IncidentError) else url})

    def _confirm_invitations(self, room: WarRoom, members: frozenset[str]) -> WarRoom:
        """Return the room by who is in it, whatever the invitation said."""
        if not members:
            return room
        reasons = {each.user_id: each.reason for each in room.not_invited if each.user_id}
        missing = {
            one.user.id: reasons.get(one.user.id, NOT_ADDED)
            for one in self._invitations
            if one.user.id not in members
        }
        return _without(
            room.model_copy(update={"invited": self._invitations, "not_invited": self._left_out}), missing
        )

    def _set_topic(self, slack: SlackClient, channel: Channel) -> None:
        wanted = topic(self._request.incident)
        # A topic that people, or another tool, wrote stays.
        if channel.topic != wanted and is_own_topic(channel.topic):
            slack.set_topic(channel.id, wanted)

    def _add_bookmarks(self, slack: SlackClient, channel: Channel, *, fresh: bool) -> None:
        """Add the missing bookmarks; one that fails does not stop the others.

        :raises IncidentError: the first error.
        """
        try:
            there = frozenset() if fresh else slack.bookmarks(channel.id)
        except SlackUnavailableError as error:
            # Some may be there: it is only not known which.
            raise SlackUnavailableError(error.message, code=error.code, effect_possible=True) from error
        errors: list[IncidentError] = []
        for bookmark in bookmarks(self._request.incident, self._request.snapshot.run_url):
            if bookmark.url in there:
                continue
            try:
                slack.add_bookmark(channel.id, bookmark.label, bookmark.url)
            except IncidentError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _finish_brief(self, channel: Channel, room: WarRoom) -> None:
        """Update the brief; what it has no space for goes into its thread."""
        ts = self._brief_of(room)
        opening_ms = round((time.monotonic() - self._started) * 1000)
        state = self._state(
            room.model_copy(update={"problems": tuple(self._problems)}),
            progress_with_room(self._request.steps, opening_ms),
        )
        slack = self._slack.within(CONVENIENCE_SECONDS)
        key = brief_key(self._request.incident)
        try:
            self._with_image = BriefWriter(slack, channel.id).update(ts, state)
            Poster(slack, channel.id, self._ledger).post_all(
                brief_details(state), key=f"{key}/details", thread_ts=ts
            )
        except IncidentError as error:
            self._note(ProblemCode.BRIEF, error)

    # --- the result ---------------------------------------------------------------------------------

    def _state(self, room: WarRoom | None = None, steps: tuple[StepProgress, ...] | None = None) -> BriefState:
        """Return what the brief shows now: before the room stands, who is about to be invited."""
        snapshot = self._request.snapshot
        if room is not None:
            snapshot = snapshot.with_room(room)
        state = brief_state(snapshot, steps=self._request.steps if steps is None else steps)
        return state if self._with_image else state.model_copy(update={"with_picture": False})

    def _writer(self, channel: Channel) -> BriefWriter:
        return BriefWriter(self._slack, channel.id)

    def _brief_of(self, room: WarRoom) -> str:
        """Return the brief's timestamp, which a dry run does not keep."""
        return room.brief_ts or ""

    def _note(self, code: ProblemCode, outcome: object) -> None:
        """Keep a failure, if it is one, for the room and the summary."""
        if not isinstance(outcome, IncidentError):
            return
        certain, uncertain = PROBLEMS[code]
        unsure = isinstance(outcome, SlackUnavailableError) and outcome.effect_possible
        self._problems.append(
            Problem(
                step=TaskId.CREATE_WAR_ROOM,
                what=uncertain if unsure else certain,
                error=outcome.message,
                fix=outcome.fix,
                code=code,
            )
        )

    def _note_lateness(self, at: datetime) -> None:
        if self._request.workspace.dry_run:
            return
        deadline_s, late_ms = self._request.deadline_s, between(self._request.incident.received_at, at)
        if deadline_s is not None and late_ms > deadline_s * 1000:
            what = f"the room is late: it opened {duration(late_ms)} after the alert, {deadline_s} s are promised"
            self._problems.append(Problem(step=TaskId.CREATE_WAR_ROOM, what=what, code=ProblemCode.LATE_ROOM))

    def _room(self, opened: OpenedChannel, ts: str, at: datetime) -> WarRoom:
        dry_run = self._request.workspace.dry_run
        return WarRoom(
            mode=self._request.workspace.mode,
            channel_name=opened.channel.name,
            channel_id=None if dry_run else opened.channel.id,
            url=self._slack.channel_url(opened.channel.id),
            private=opened.channel.private,
            created=opened.created and not dry_run,
            opened_at=at,
            brief_ts=None if dry_run else ts,
            picture=self._with_image,
            invited=self._invitations,
            not_invited=self._left_out,
        )


def _without(room: WarRoom, reasons: Mapping[str, str]) -> WarRoom:
    """Return the room with these people among those who were not invited."""
    left_out = tuple(
        not_invited_because(one, reasons[one.user.id]) for one in room.invited if one.user.id in reasons
    )
    return room.model_copy(
        update={
            "invited": tuple(one for one in room.invited if one.user.id not in reasons),
            "not_invited": (*room.not_invited, *left_out),
        }
    )


def _posted_at(ts: str) -> datetime:
    """Return when a message was posted: Slack's timestamp is Unix time in seconds."""
    return datetime.fromtimestamp(float(ts), tz=UTC)
