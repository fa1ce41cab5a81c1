"""
Whom Slack did not answer for when the room was opened is looked up, or invited, once more at the end.

The evidence has not waited for it: the room was there, and the probes ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.models import Invitation, NotInvited, UserResolution, WarRoom
from airflow_incident_provider.room.opener import INVITATIONS_FAILED, not_to_invite, to_invite
from airflow_incident_provider.slack.errors import invite_failure_reason
from airflow_incident_provider.slack.protocol import SlackClient

LookUp = Callable[[Iterable[str]], UserResolution]


@dataclass(frozen=True, kw_only=True)
class Attendance:
    """Who is in a room at the end of its first run.

    :param room: the room as it was opened, without what has been mended since.
    :param later: who was invited only now.
    :param here: how many of all those invited are in the room, if that is known.
    """

    room: WarRoom
    later: tuple[Invitation, ...] = ()
    here: int | None = None


def attend(slack: SlackClient, room: WarRoom, people: UserResolution | None, look_up: LookUp) -> Attendance:
    """Count who is here, and look up and invite whom Slack could not be asked about at first.

    :param look_up: asks once more who these are, and does not wait for Slack.
    :raises IncidentError: Slack does not say who is here.
    """
    people = people or UserResolution()
    channel_id = room.channel_id or ""
    members = slack.member_ids(channel_id)
    again = look_up(people.unanswered) if people.unanswered else UserResolution()
    missed = _missed(room, people, again)
    refused = _invite(slack, channel_id, [one.user.id for one in missed if one.user.id not in members])
    later = tuple(one for one in missed if one.user.id not in refused)
    here = members | {one.user.id for one in later}
    room = _with_new_answers(room, people, again)
    return Attendance(
        room=_mended(_with_refusals(room, to_invite(again), refused), later, whole=len(later) == len(missed)),
        later=later,
        here=sum(one.user.id in here for one in (*room.invited, *later)),
    )


def _missed(room: WarRoom, people: UserResolution, again: UserResolution) -> list[Invitation]:
    """Return each whom Slack could not take at first, or did not tell of until now, once."""
    found = (*(to_invite(people) if _failed(room) else ()), *to_invite(again))
    invited = {invitation.user.id for invitation in room.invited}
    return list({one.user.id: one for one in found if one.user.id not in invited}.values())


def _failed(room: WarRoom) -> bool:
    return any(problem.what in INVITATIONS_FAILED for problem in room.problems)


def _invite(slack: SlackClient, channel_id: str, ids: list[str]) -> Mapping[str, str]:
    """Invite, and return in words why each who could not be invited was not."""
    if not ids:
        return {}
    try:
        return {user_id: invite_failure_reason(code) for user_id, code in slack.invite(channel_id, ids).items()}
    except IncidentError as error:
        return dict.fromkeys(ids, error.message)


def _with_new_answers(room: WarRoom, people: UserResolution, again: UserResolution) -> WarRoom:
    """Return the room with what Slack says now of whom it did not answer for, instead of what was said of them."""
    silences = set(people.unanswered.values())
    others = tuple(each for each in room.not_invited if each.query not in people.unanswered)
    problems = (*(each for each in room.problems if each not in silences), *again.problems)
    return room.model_copy(
        update={"not_invited": (*others, *not_to_invite(again)), "problems": tuple(dict.fromkeys(problems))}
    )


def _with_refusals(room: WarRoom, found: Iterable[Invitation], refused: Mapping[str, str]) -> WarRoom:
    """Return the room with those who were found only now, and could not be invited."""
    refusals = tuple(
        NotInvited(query=one.user.label, reason=refused[one.user.id]) for one in found if one.user.id in refused
    )
    return room.model_copy(update={"not_invited": (*room.not_invited, *refusals)}) if refusals else room


def _mended(room: WarRoom, later: tuple[Invitation, ...], *, whole: bool) -> WarRoom:
    """Return the room without what it says of those who came later, and of the failure once it is mended."""
    if not later:
        return room
    came = {invitation.user.label for invitation in later}
    problems = tuple(each for each in room.problems if not (whole and each.what in INVITATIONS_FAILED))
    return room.model_copy(
        update={
            "not_invited": tuple(each for each in room.not_invited if each.query not in came),
            "problems": problems,
        }
    )
