"""Who is brought in after the room was opened: whom a change calls for, and who of them is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from airflow_incident_provider.exceptions import IncidentError, SlackUnavailableError
from airflow_incident_provider.models import Invitation, NotInvited, UserResolution
from airflow_incident_provider.operators.resolve_slack_users import not_looked_up, resolve_users
from airflow_incident_provider.room.opener import not_to_invite, to_invite
from airflow_incident_provider.room.session import Visit
from airflow_incident_provider.slack.errors import invite_failure_reason

_NOT_HERE = "not in this room"


@dataclass(frozen=True)
class LaterPeople:
    """Those whom the incident called for after its room was opened.

    :param invited: who was asked in just now.
    :param not_invited: who should have been asked in just now and was not, and why.
    :param here: all of them who are in the room.
    :param missing: all of them who are not, and why.
    """

    invited: tuple[Invitation, ...] = ()
    not_invited: tuple[NotInvited, ...] = ()
    here: tuple[Invitation, ...] = ()
    missing: tuple[NotInvited, ...] = ()


def bring_in(visit: Visit, names: Iterable[str]) -> LaterPeople:
    """Invite those of ``names`` who are not there yet, and return how all stand whom later alerts called for.

    Who was invited before and has left is not invited again: only a new name is.

    :raises SlackUnavailableError: Slack does not answer.
    """
    asked_before = {name.casefold() for name in visit.known.first_responders}
    later = [name for name in visit.known.record.responders if name.casefold() not in asked_before]
    if not later:
        return LaterPeople()
    room, slack, channel_id = visit.room, visit.slack, visit.room.channel_id or ""
    found = _looked_up(later, visit)
    members = slack.member_ids(channel_id)
    wanted = {name.casefold() for name in names}
    invitations = [one for one in to_invite(found) if one.user.id not in _ids(room.invited)]
    new = [one for one in invitations if one.query.casefold() in wanted and one.user.id not in members]
    failures = slack.invite(channel_id, [one.user.id for one in new]) if new else {}
    invited = tuple(one for one in new if one.user.id not in failures)
    failed = tuple(
        NotInvited(query=one.user.label, reason=invite_failure_reason(failures[one.user.id]))
        for one in new
        if one not in invited
    )
    there = members | _ids(invited)
    unresolved = not_to_invite(found)
    return LaterPeople(
        invited=invited,
        not_invited=(*(one for one in unresolved if one.query.casefold() in wanted), *failed),
        here=tuple(one for one in invitations if one.user.id in there),
        missing=(*unresolved, *failed, *_absent(invitations, there | failures.keys())),
    )


def later_people(visit: Visit) -> LaterPeople:
    """Return how all stand whom later alerts called for, and invite nobody.

    :raises SlackUnavailableError: Slack does not answer.
    """
    return LaterPeople() if visit.is_in_thread else bring_in(visit, ())


def _looked_up(names: list[str], visit: Visit) -> UserResolution:
    try:
        return resolve_users(names, visit.workspace, visit.conn_id, private=visit.room.private)
    except SlackUnavailableError:
        raise
    except IncidentError as error:
        return not_looked_up(names, error.message)


def _absent(invitations: Iterable[Invitation], accounted_for: frozenset[str] | set[str]) -> tuple[NotInvited, ...]:
    return tuple(
        NotInvited(query=one.user.label, reason=_NOT_HERE)
        for one in invitations
        if one.user.id not in accounted_for
    )


def _ids(invitations: Iterable[Invitation]) -> frozenset[str]:
    return frozenset(one.user.id for one in invitations)
