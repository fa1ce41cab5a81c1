"""How a room is opened: in which order, what side by side, and what is done about each thing that fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from airflow_incident_provider.config import TaskId
from airflow_incident_provider.exceptions import IncidentError, SlackRequestError, SlackUnavailableError
from airflow_incident_provider.messages.brief import (
    BriefState,
    StepProgress,
    brief,
    brief_details,
    unresolved_people,
)
from airflow_incident_provider.messages.channel import bookmarks, is_own_topic, purpose, topic
from airflow_incident_provider.messages.mrkdwn import between, duration
from airflow_incident_provider.models import (
    Incident,
    Invitation,
    NotInvited,
    Problem,
    SlackWorkspace,
    UserResolution,
    WarRoom,
)
from airflow_incident_provider.room.channel import (
    UNFINISHED_WAIT_S,
    ChannelOpener,
    ChannelRequest,
    OpenedChannel,
)
from airflow_incident_provider.room.ledger import Ledger
from airflow_incident_provider.room.posting import Poster, recorded_ts
from airflow_incident_provider.room.progress import progress_with_the_room
from airflow_incident_provider.slack.concurrency import run_concurrently
from airflow_incident_provider.slack.errors import MESSAGE_NOT_FOUND, invite_failure_reason
from airflow_incident_provider.slack.protocol import Channel, SlackClient

_BRIEF = "brief"
_UNSURE = {
    "the room's description is not set": "the room's description may not be set",
    "nobody could be invited": "some people may not have been invited",
    "the topic is not set": "the topic may not be set",
    "the brief is not pinned": "the brief may not be pinned",
    "not all bookmarks are there": "some bookmarks may be missing",
    "the brief is not up to date": "the brief may not be up to date",
}
"""What is said instead where Slack did not answer, and may have done it."""

INVITATIONS_FAILED = frozenset({"nobody could be invited", _UNSURE["nobody could be invited"]})
"""What is said where Slack did not answer an invitation: it is sent once more at the end of the run."""

_FIRST_MINUTES = timedelta(minutes=5)
"""How long after its creation a room has its brief at the latest."""

_UNREACHABLE_PICTURE = frozenset({"invalid_blocks", "invalid_blocks_format"})


@dataclass(frozen=True, kw_only=True)
class RoomPlan:
    """What the room is opened with.

    :param name: the channel's name at the nth attempt, the first being 0.
    :param steps: how the steps before this one went.
    :param promised_s: seconds from the alert to the room that were promised, if any.
    """

    incident: Incident
    workspace: SlackWorkspace
    people: UserResolution
    name: Callable[[int], str]
    run_url: str | None = None
    steps: tuple[StepProgress, ...] = ()
    promised_s: int | None = None

    @property
    def invitations(self) -> tuple[Invitation, ...]:
        """Everybody who was found, each once, by the first query that found them."""
        return to_invite(self.people)

    @property
    def not_found(self) -> tuple[NotInvited, ...]:
        """Everybody who will not be invited, and whom of a group that was found."""
        return not_to_invite(self.people)


def to_invite(people: UserResolution) -> tuple[Invitation, ...]:
    """Return everybody who was found, each once, by the first query that found them."""
    found = (
        Invitation(user=user, query=resolution.query, method=resolution.method)
        for resolution in people.resolved
        for user in resolution.users
        if resolution.method is not None
    )
    return tuple({invitation.user.id: invitation for invitation in reversed(tuple(found))}.values())[::-1]


def not_to_invite(people: UserResolution) -> tuple[NotInvited, ...]:
    """Return everybody who was not found, and whom of a group that was found."""
    left_out = (
        NotInvited(query=resolution.query, reason=resolution.reason)
        for resolution in people.resolved
        if resolution.reason
    )
    return (*unresolved_people(people), *left_out)


class RoomOpening:
    """Opens one room: channel, brief and invitations first, comfort after.

    :param slack: the workspace, or a dry-run of it.
    :param ledger: what earlier attempts of this task did; only used between the waves of calls.
    """

    def __init__(self, slack: SlackClient, plan: RoomPlan, ledger: Ledger) -> None:
        self._slack = slack
        self._plan = plan
        self._ledger = ledger
        self._clock = time.monotonic()
        self._problems: list[Problem] = list(plan.people.problems)
        self._invitation_outcome: dict[str, str] | IncidentError = {}
        self._state = BriefState(
            incident=plan.incident,
            workspace=plan.workspace,
            pending=plan.invitations,
            not_invited=plan.not_found,
            steps=plan.steps,
            run_url=plan.run_url,
            problems=tuple(self._problems),
        )

    def open(self) -> WarRoom:
        """Open the room, or find it open, and return it as it was left.

        :raises IncidentError: when there is no channel or no brief; what was done until then is in the ledger.
        """
        opened = self._open_channel()
        ts = self._essentials(opened)
        url = self._comforts(opened.channel, ts, fresh=opened.created)
        self._finish_brief(opened.channel, ts)
        return self._room(opened, ts, url)

    # --- the channel --------------------------------------------------------------------------------

    def _open_channel(self) -> OpenedChannel:
        incident = self._plan.incident
        request = ChannelRequest(
            key=incident.key,
            name=self._plan.name,
            private=incident.route.private,
            existing_id=incident.slack_channel_id,
        )
        opened = ChannelOpener(self._slack, self._plan.workspace.bot_user_id, self._ledger).open(request)
        if opened.note:
            self._problems.append(Problem(step=TaskId.CREATE_WAR_ROOM, what=opened.note))
        return opened

    # --- what makes it a room -----------------------------------------------------------------------

    def _essentials(self, opened: OpenedChannel) -> str:
        """Post the brief, invite, and write the key into the channel's purpose; return the brief's timestamp."""
        tried_before = self._ledger.intended_at(_BRIEF) is not None
        seen_before = not opened.created or tried_before
        ours = opened.channel.id != self._plan.incident.slack_channel_id
        self._ledger.intend(_BRIEF)
        earlier = self._earlier_brief(opened.channel)
        posted, purpose_set, invitations = run_concurrently(
            lambda: self._brief_ts(
                opened.channel, earlier, look=seen_before, wait=ours and seen_before and not tried_before
            ),
            lambda: self._set_purpose(opened.channel),
            lambda: self._invite(opened),
        )
        if isinstance(posted, IncidentError):
            raise posted
        ts, at = posted
        self._ledger.record({_BRIEF: {"ts": ts, "channel": opened.channel.id}})
        self._state = self._state.model_copy(update={"opened_at": at})
        self._note_lateness(at)
        self._note("the room's description is not set", purpose_set)
        self._invitation_outcome = invitations
        return ts

    def _earlier_brief(self, channel: Channel) -> str | None:
        """Return the brief that an earlier attempt recorded, unless somebody deleted it since."""
        recorded = recorded_ts(self._ledger, _BRIEF, channel.id)
        if recorded is None:
            return None
        try:
            self._slack.update(channel.id, recorded, brief(self._state), key=brief_key(self._plan.incident))
        except SlackUnavailableError:
            return recorded
        except SlackRequestError as error:
            if error.code == MESSAGE_NOT_FOUND:
                self._ledger.record({_BRIEF: None})
                return None
        return recorded

    def _brief_ts(self, channel: Channel, earlier: str | None, *, look: bool, wait: bool) -> tuple[str, datetime]:
        """Return the brief's timestamp and when it was there: found if it may have been posted, else posted.

        :param wait: whether another process may have opened the room a moment ago, and be about to post it.
        """
        if earlier is not None:
            return earlier, _moment(earlier)
        key = brief_key(self._plan.incident)
        if look and (found := self._find_brief(channel, key, patience_s=UNFINISHED_WAIT_S if wait else 0)):
            return found, _moment(found)
        try:
            ts = self._slack.post(channel.id, brief(self._state), key=key)
        except SlackRequestError as error:
            if error.code not in _UNREACHABLE_PICTURE or not self._plan.incident.snapshot_url:
                raise
            # Slack fetches pictures itself and refuses the whole message if it cannot: the link does instead.
            self._state = self._state.model_copy(update={"with_picture": False})
            ts = self._slack.post(channel.id, brief(self._state), key=key)
        return ts, datetime.now(UTC)

    def _find_brief(self, channel: Channel, key: str, *, patience_s: float) -> str | None:
        patiently = Retrying(
            stop=stop_after_delay(patience_s),
            wait=wait_fixed(UNFINISHED_WAIT_S / 8),
            retry=retry_if_result(lambda found: found is None),
            retry_error_callback=lambda _: None,
        )
        return patiently(self._slack.find_message, channel.id, key) or self._first_brief(channel, key)

    def _first_brief(self, channel: Channel, key: str) -> str | None:
        """Return the brief of a room with so much talk since that it is not among the newest messages."""
        if channel.created_at is None or datetime.now(UTC) - channel.created_at < _FIRST_MINUTES:
            return None
        until = channel.created_at + _FIRST_MINUTES
        return self._slack.find_message(channel.id, key, since=channel.created_at, until=until)

    def _set_purpose(self, channel: Channel) -> None:
        """Write the key into the purpose, unless the channel is another tool's: then its words stay."""
        wanted = purpose(self._plan.incident)
        borrowed = channel.id == self._plan.incident.slack_channel_id and channel.purpose != ""
        if channel.purpose != wanted and not borrowed:
            self._slack.set_purpose(channel.id, wanted)

    def _invite(self, opened: OpenedChannel) -> dict[str, str]:
        """Invite who is not there yet; return the error code of each who could not be invited."""
        ids = [invitation.user.id for invitation in self._plan.invitations]
        here = frozenset() if opened.created or not ids else self._slack.member_ids(opened.channel.id)
        wanted = [user_id for user_id in ids if user_id not in here]
        return self._slack.invite(opened.channel.id, wanted) if wanted else {}

    def _read_invitations(self, members: frozenset[str] | IncidentError) -> None:
        """Sort who was invited from who was not, and why: by who is there, else by what the invitation came to."""
        outcome, ids = self._invitation_outcome, [invitation.user.id for invitation in self._plan.invitations]
        if isinstance(outcome, IncidentError):
            reasons: Mapping[str, str] = dict.fromkeys(ids, outcome.message)
        else:
            reasons = {user: invite_failure_reason(code) for user, code in outcome.items()}
        if isinstance(members, frozenset) and members:
            unsaid = "Slack did not add them to the channel"
            reasons = {user_id: reasons.get(user_id, unsaid) for user_id in ids if user_id not in members}
        if reasons:
            self._note("nobody could be invited", outcome)
        self._leave_out(reasons)

    def _leave_out(self, reasons: Mapping[str, str]) -> None:
        """Move these people from the invited to those who were not."""
        candidates = self._state.pending or self._state.invited
        left_out = tuple(
            NotInvited(query=invitation.user.label, reason=reasons[invitation.user.id])
            for invitation in candidates
            if invitation.user.id in reasons
        )
        self._state = self._state.model_copy(
            update={
                "pending": (),
                "invited": tuple(i for i in candidates if i.user.id not in reasons),
                "not_invited": (*self._state.not_invited, *left_out),
            }
        )

    # --- what makes it comfortable ------------------------------------------------------------------

    def _comforts(self, channel: Channel, ts: str, *, fresh: bool) -> str | None:
        """Do what the room can be without, all of it, and note what fails; return the brief's address."""
        topic_set, pinned, bookmarked, members, url = run_concurrently(
            lambda: self._set_topic(channel),
            lambda: self._slack.pin(channel.id, ts),
            lambda: self._add_bookmarks(channel, fresh=fresh),
            lambda: self._slack.member_ids(channel.id),
            lambda: self._slack.permalink(channel.id, ts),
        )
        self._read_invitations(members)
        self._note("the topic is not set", topic_set)
        self._note("the brief is not pinned", pinned)
        self._note("not all bookmarks are there", bookmarked)
        self._note("who came could not be checked", members)
        self._note("the brief's address is not known", url)
        return None if isinstance(url, IncidentError) else url

    def _set_topic(self, channel: Channel) -> None:
        wanted = topic(self._plan.incident)
        # What people, or another tool, wrote there stays.
        if channel.topic != wanted and is_own_topic(channel.topic):
            self._slack.set_topic(channel.id, wanted)

    def _add_bookmarks(self, channel: Channel, *, fresh: bool) -> None:
        """Add those that are not there, each whatever became of the others.

        :raises IncidentError: the first that was raised.
        """
        try:
            there = frozenset() if fresh else self._slack.bookmarks(channel.id)
        except SlackUnavailableError as error:
            # Some may be there: it is only not known which.
            raise SlackUnavailableError(error.message, code=error.code, effect_possible=True) from error
        errors: list[IncidentError] = []
        for bookmark in bookmarks(self._plan.incident, self._plan.run_url):
            if bookmark.url in there:
                continue
            try:
                self._slack.add_bookmark(channel.id, bookmark.label, bookmark.url)
            except IncidentError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _finish_brief(self, channel: Channel, ts: str) -> None:
        """Bring the brief up to date; what it has no room for goes under it."""
        took = round((time.monotonic() - self._clock) * 1000)
        self._state = self._state.model_copy(
            update={"problems": tuple(self._problems), "steps": progress_with_the_room(self._plan.steps, took)}
        )
        key = brief_key(self._plan.incident)
        try:
            self._slack.update(channel.id, ts, brief(self._state), key=key)
            details = brief_details(self._state)
            Poster(self._slack, channel.id, self._ledger).post_all(details, key=f"{key}/details", thread_ts=ts)
        except IncidentError as error:
            self._note("the brief is not up to date", error)

    # --- what came of it ----------------------------------------------------------------------------

    def _note(self, what: str, outcome: object) -> None:
        """Keep a failure, if it is one, to be told in the room and in the summary."""
        if not isinstance(outcome, IncidentError):
            return
        if isinstance(outcome, SlackUnavailableError) and outcome.effect_possible:
            what = _UNSURE.get(what, what)
        self._problems.append(
            Problem(step=TaskId.CREATE_WAR_ROOM, what=what, error=outcome.message, fix=outcome.fix)
        )

    def _note_lateness(self, at: datetime) -> None:
        promised, took = self._plan.promised_s, between(self._plan.incident.received_at, at)
        if promised is not None and took > promised * 1000:
            late = f"the room is late: it came {duration(took)} after the alert, {promised} s are promised"
            self._problems.append(Problem(step=TaskId.CREATE_WAR_ROOM, what=late))

    def _room(self, opened: OpenedChannel, ts: str, url: str | None) -> WarRoom:
        dry_run = self._plan.workspace.dry_run
        return WarRoom(
            mode=self._plan.workspace.mode,
            channel_name=opened.channel.name,
            channel_id=None if dry_run else opened.channel.id,
            url=self._slack.channel_url(opened.channel.id),
            private=opened.channel.private,
            created=opened.created and not dry_run,
            opened_at=self._state.opened_at or datetime.now(UTC),
            brief_ts=None if dry_run else ts,
            brief_url=url,
            picture=self._state.with_picture,
            invited=self._state.invited,
            not_invited=self._state.not_invited,
            problems=tuple(self._problems),
            would_post=self._slack.would_post,
        )


def brief_key(incident: Incident) -> str:
    """Return the key that the brief of an incident carries in its metadata."""
    return f"{incident.key}/brief"


def _moment(ts: str) -> datetime:
    """Return when a message was posted: Slack's timestamp is Unix time in seconds."""
    return datetime.fromtimestamp(float(ts), tz=UTC)
