"""People and rooms: who is looked up, who is invited when the room opens, who is invited later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from airflow_incident_provider.config import TaskId, settings
from airflow_incident_provider.exceptions import IncidentError, SlackUnavailableError
from airflow_incident_provider.intake.lists import split_people
from airflow_incident_provider.lifecycle.coordination import ActionKind
from airflow_incident_provider.messages.people import unresolved_people
from airflow_incident_provider.models import (
    Invitation,
    NotInvited,
    Problem,
    ProblemCode,
    Resolution,
    ResolutionOutcome,
    SlackWorkspace,
    UserResolution,
    WarRoom,
)
from airflow_incident_provider.room.posting import Ledger
from airflow_incident_provider.room.session import RoomSession
from airflow_incident_provider.slack.access import live_slack_client
from airflow_incident_provider.slack.errors import invite_failure_reason
from airflow_incident_provider.slack.protocol import SlackClient
from airflow_incident_provider.text import distinct

ROOM_SECONDS = 1.0
"""How much of the lookup budget is left for opening the room."""

MIN_LOOKUP_SECONDS = 0.5
"""The time for lookups in a run that started late."""

MAX_LOOKUP_SECONDS = 20.0
"""The time limit for lookups that no task waits for."""

NOT_ADDED = "Slack did not add them to the channel"
"""Why somebody is not in a room although Slack refused nothing: it is silent about some people."""

_NOT_HERE = "not in this room"
_CALLING = frozenset({ActionKind.INVITE, ActionKind.LEAD, ActionKind.ROLE})

LookUp = Callable[[Iterable[str]], UserResolution]


# --- looking people up ------------------------------------------------------------------------------


def people_in(members: object) -> list[str]:
    """Return the queries for people in a list of texts, or in one text, each as people write lists.

    :param members: a template may also render to nothing, to lists within a list, or to other values than text.
    """
    if isinstance(members, str):
        return list(split_people(members)) or [members]
    if isinstance(members, Iterable):
        return [query for each in members for query in people_in(each)]
    return [] if members is None else [str(members)]


def resolve_users(
    queries: object,
    workspace: SlackWorkspace,
    slack_conn_id: str,
    *,
    private: bool,
    seconds: float = MAX_LOOKUP_SECONDS,
) -> UserResolution:
    """Resolve queries in a workspace; in a dry run without a connection, say of each that Slack was not asked.

    :param queries: as for :func:`people_in`.
    :param seconds: the time for all lookups. Queries that Slack has not answered by then are ``unanswered``; the
        others are resolved anyway.
    """
    queries = people_in(queries)
    if workspace.dry_run and workspace.conn_id is None:
        return not_looked_up(queries, "dry-run: Slack was not asked who this is")
    # These import slack_sdk and rapidfuzz.
    from airflow_incident_provider.people.resolver import resolve
    from airflow_incident_provider.slack.directory_cache import DirectoryCache
    from airflow_incident_provider.slack.people import SlackPeople

    cache = DirectoryCache(settings().directory_folder)
    client = live_slack_client(slack_conn_id, workspace)
    with SlackPeople(client, cache, budget_s=seconds) as people:
        people.prefetch(queries)
        return resolve(queries, people, private=private)


def lookup_seconds(received_at: datetime, now: datetime) -> float:
    """Return how long people may be looked up before the room opens: what is left of the budget, but a moment.

    :param received_at: when the alert was received.
    """
    budget = settings().lookup_budget_seconds
    left = budget - ROOM_SECONDS - (now - received_at).total_seconds()
    return min(budget, max(MIN_LOOKUP_SECONDS, left))


def not_looked_up(queries: Iterable[str], reason: str) -> UserResolution:
    """Return queries that could not be looked up, each with the reason."""
    return UserResolution(
        resolutions=tuple(
            Resolution(query=query, outcome=ResolutionOutcome.NOT_FOUND, reason=reason) for query in queries
        )
    )


def looked_up_later(queries: Iterable[str], reason: str) -> UserResolution:
    """Return queries that are looked up once the room is open, because Slack could not be asked."""
    problem = Problem(
        step=TaskId.RESOLVE_USERS, what="people could not be looked up", error=reason, code=ProblemCode.LOOKUP
    )
    queries = tuple(queries)
    return not_looked_up(queries, reason).model_copy(
        update={
            "problems": (problem,) if queries else (),
            "unanswered": dict.fromkeys(queries, problem),
        }
    )


def invitations(people: UserResolution) -> tuple[Invitation, ...]:
    """Return everybody who was found, each once, by the first query that found them."""
    found = (
        Invitation(user=user, query=resolution.query, method=resolution.method, group_id=resolution.group_id)
        for resolution in people.resolved
        for user in resolution.users
        if resolution.method is not None
    )
    return tuple({invitation.user.id: invitation for invitation in reversed(tuple(found))}.values())[::-1]


def not_invited(people: UserResolution) -> tuple[NotInvited, ...]:
    """Return the queries that were not resolved, and the members of a user group who cannot be invited."""
    left_out = (
        NotInvited(query=resolution.query, reason=resolution.reason)
        for resolution in people.resolved
        if resolution.reason
    )
    return (*unresolved_people(people), *left_out)


def not_invited_because(invitation: Invitation, reason: str) -> NotInvited:
    """Return somebody who was found but could not be invited."""
    return NotInvited(query=invitation.user.label, reason=reason, user_id=invitation.user.id)


# --- at the end of the first run --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Attendance:
    """Who is in a room at the end of its first run.

    :param room: the room as it was opened, without the failures that have been made up for since.
    :param later: who was invited only now.
    :param unanswered: the queries that Slack has not answered until now, by a lookup or an invitation.
    :param here: how many of those invited are in the room, if that is known.
    """

    room: WarRoom
    later: tuple[Invitation, ...] = ()
    unanswered: tuple[str, ...] = ()
    here: int | None = None


def complete_invitations(
    slack: SlackClient, room: WarRoom, people: UserResolution | None, look_up: LookUp
) -> Attendance:
    """Retry the lookups and invitations that Slack did not answer when the room was opened; count who is here.

    :param look_up: looks people up without waiting for Slack.
    :raises IncidentError: Slack does not say who is in the room.
    """
    people = people or UserResolution()
    channel_id = room.channel_id or ""
    members = slack.member_ids(channel_id)
    again = look_up(people.unanswered) if people.unanswered else UserResolution()
    missed = _missed(room, people, again)
    answered = True
    try:
        refused = _invite(slack, channel_id, missed, members)
    except IncidentError as error:
        refused = {one.user.id: error.message for one in missed if one.user.id not in members}
        answered = not isinstance(error, SlackUnavailableError)
    later = tuple(one for one in missed if one.user.id not in refused)
    here = members | {one.user.id for one in later}
    room = _with_refusals(_with_new_results(room, people, again), missed, refused)
    return Attendance(
        room=_without_arrivals(room, later, all_came=len(later) == len(missed)),
        later=later,
        unanswered=(*again.unanswered, *(() if answered else (one.query for one in missed if one not in later))),
        here=sum(one.user.id in here for one in (*room.invited, *later)),
    )


def _missed(room: WarRoom, people: UserResolution, again: UserResolution) -> list[Invitation]:
    """Return, without duplicates, everyone whose invitation failed or who was only resolved now."""
    failed = any(problem.code is ProblemCode.INVITATIONS for problem in room.problems)
    found = (*(invitations(people) if failed else ()), *invitations(again))
    invited = {invitation.user.id for invitation in room.invited}
    return list({one.user.id: one for one in found if one.user.id not in invited}.values())


def _invite(
    slack: SlackClient, channel_id: str, wanted: Iterable[Invitation], members: frozenset[str]
) -> dict[str, str]:
    """Invite those who are not in a channel; return why each who is still not there is not.

    :raises IncidentError: Slack takes no invitation.
    """
    absent = [one.user.id for one in wanted if one.user.id not in members]
    if not absent:
        return {}
    failures = slack.invite(channel_id, absent)
    try:
        there = slack.member_ids(channel_id)
    except IncidentError:  # Only Slack's answer to the invitation is known.
        there = frozenset(absent)
    silent = dict.fromkeys((user_id for user_id in absent if there and user_id not in there), NOT_ADDED)
    return silent | {user_id: invite_failure_reason(code) for user_id, code in failures.items()}


def _with_new_results(room: WarRoom, people: UserResolution, again: UserResolution) -> WarRoom:
    """Replace stale lookup failures with the results of the second lookup."""
    stale = set(people.unanswered.values())
    others = tuple(each for each in room.not_invited if each.query not in people.unanswered)
    problems = (*(each for each in room.problems if each not in stale), *again.problems)
    return room.model_copy(
        update={"not_invited": (*others, *not_invited(again)), "problems": tuple(dict.fromkeys(problems))}
    )


def _with_refusals(room: WarRoom, missed: Iterable[Invitation], refused: Mapping[str, str]) -> WarRoom:
    """Return the room with everyone who could not be invited now either, each once."""
    known = {each.user_id for each in room.not_invited}
    refusals = tuple(
        not_invited_because(one, refused[one.user.id])
        for one in missed
        if one.user.id in refused and one.user.id not in known
    )
    return room.model_copy(update={"not_invited": (*room.not_invited, *refusals)}) if refusals else room


def _without_arrivals(room: WarRoom, later: tuple[Invitation, ...], *, all_came: bool) -> WarRoom:
    """Return the room without those who came later, and without the failure if all of them came."""
    if not later:
        return room
    came = {invitation.user.id for invitation in later}
    return room.model_copy(
        update={
            "not_invited": tuple(each for each in room.not_invited if each.user_id not in came),
            "problems": tuple(
                each for each in room.problems if not (all_came and each.code is ProblemCode.INVITATIONS)
            ),
        }
    )


# --- after the first run ----------------------------------------------------------------------------


@dataclass(frozen=True)
class LaterResponders:
    """The responders of notifications that came after the room was opened.

    :param invited: who was invited just now.
    :param not_invited: who should have been invited just now and was not, and why.
    :param here: all of them who are in the room.
    :param missing: all of them who are not, and why.
    :param unanswered: the queries that Slack did not answer: they are tried again with the next update.
    """

    invited: tuple[Invitation, ...] = ()
    not_invited: tuple[NotInvited, ...] = ()
    here: tuple[Invitation, ...] = ()
    missing: tuple[NotInvited, ...] = ()
    unanswered: tuple[str, ...] = ()


def invite_later_responders(
    session: RoomSession, names: Iterable[str], *, called: Iterable[str] = ()
) -> LaterResponders:
    """Invite the missing ``names``; return the status of every responder added after the room opened.

    The queries that Slack did not answer during the first run are among them. Somebody who was invited before and
    has left is not invited again, unless a person invites them.

    :param called: people that a person invites now.
    :raises IncidentError: Slack does not say who is in the room, or takes no invitation.
    """
    snapshot, room = session.snapshot, session.room
    unanswered = snapshot.summary.unanswered if snapshot.summary else ()
    asked_before = {name.casefold() for name in (snapshot.incident.responders if snapshot.incident else ())}
    asked_before -= _perhaps_called(session)
    responders = snapshot.record.responders if snapshot.record else ()
    names, called = tuple(names), people_in(called)
    since = (name for name in responders if name.casefold() not in asked_before)
    # A record that is full does not hold the names of its last update.
    new_names = (name for name in names if name.casefold() not in asked_before)
    later = list(distinct(people_in([*called, *unanswered, *new_names, *since])))
    if not later:
        return LaterResponders()
    slack, channel_id = session.slack, room.channel_id or ""
    found = look_up_for(session, later, private=room.private)
    members = slack.member_ids(channel_id)
    again = {name.casefold() for name in called}
    wanted = {name.casefold() for name in people_in([*names, *unanswered])} | again
    first = _ids(room.invited)
    all_found = [one for one in invitations(found) if one.user.id not in first or one.query.casefold() in again]
    new = [one for one in all_found if one.query.casefold() in wanted and _is_new(one, members, session.ledger)]
    session.ledger.intend(*(_invitation_key(one) for one in new if one.user.id not in members))
    failures = _invite(slack, channel_id, new, members)
    invited = tuple(one for one in new if one.user.id not in failures)
    failed = tuple(not_invited_because(one, failures[one.user.id]) for one in new if one not in invited)
    there = members | _ids(invited)
    absent = (one for one in all_found if one.user.id not in there | failures.keys())
    unresolved = not_invited(found)
    return LaterResponders(
        invited=invited,
        not_invited=(*(one for one in unresolved if one.query.casefold() in wanted), *failed),
        here=tuple(one for one in all_found if one.user.id in there and one.user.id not in first),
        missing=(*unresolved, *failed, *(not_invited_because(one, _NOT_HERE) for one in absent)),
        unanswered=tuple(found.unanswered),
    )


def _perhaps_called(session: RoomSession) -> frozenset[str]:
    """Return the queries without a result in the first run that a person may have repeated since."""
    snapshot, record = session.snapshot, session.snapshot.record
    if record is None or not any(entry.kind in _CALLING for entry in record.coordination.actions):
        return frozenset()
    left_out = (*session.room.not_invited, *(snapshot.summary.not_invited if snapshot.summary else ()))
    return frozenset(one.query.casefold() for one in left_out)


def _is_new(one: Invitation, members: frozenset[str], ledger: Ledger) -> bool:
    """Return whether a person is new: not a member yet, or invited by an attempt that was interrupted."""
    return one.user.id not in members or ledger.intended_at(_invitation_key(one)) is not None


def _invitation_key(invitation: Invitation) -> str:
    return f"invitation/{invitation.user.id}"


def later_responders(session: RoomSession) -> LaterResponders:
    """Return the status of every responder added after the room opened, and invite only those who are missing.

    :raises IncidentError: Slack does not say who is in the room.
    """
    return LaterResponders() if session.is_in_thread else invite_later_responders(session, ())


def look_up_for(session: RoomSession, names: Iterable[str], *, private: bool) -> UserResolution:
    """Look people up for a room that is open: longer than before it was, but nothing waits for all of them."""
    names = list(names)
    try:
        return resolve_users(names, session.workspace, session.conn_id, private=private)
    except IncidentError as error:
        return not_looked_up(names, error.message)


def _ids(found: Iterable[Invitation]) -> frozenset[str]:
    return frozenset(one.user.id for one in found)
