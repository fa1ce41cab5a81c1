"""
Who could not be invited when the room was opened, because Slack did not answer, is invited once more at the end.

The evidence has not waited for it: the room was there, and the probes ran.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.hooks.war_room_slack import WarRoomSlack
from airflow_incident_provider.models import Invitation, UserResolution, WarRoom
from airflow_incident_provider.operators.room_opening import INVITATIONS_FAILED, to_invite


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


def attend(slack: WarRoomSlack, room: WarRoom, people: UserResolution | None) -> Attendance:
    """Count who is here, and invite who is not because Slack could not be asked at first.

    :raises IncidentError: Slack does not say who is here.
    """
    channel_id = room.channel_id or ""
    members = slack.member_ids(channel_id)
    invited = {invitation.user.id for invitation in room.invited}
    missed = [one for one in to_invite(people) if one.user.id not in invited] if people and _failed(room) else []
    refused = _invite(slack, channel_id, [one.user.id for one in missed if one.user.id not in members])
    later = tuple(one for one in missed if one.user.id not in refused)
    here = members | {one.user.id for one in later}
    return Attendance(
        room=_mended(room, later, whole=len(later) == len(missed)),
        later=later,
        here=sum(one.user.id in here for one in (*room.invited, *later)),
    )


def _failed(room: WarRoom) -> bool:
    return any(problem.what in INVITATIONS_FAILED for problem in room.problems)


def _invite(slack: WarRoomSlack, channel_id: str, ids: list[str]) -> Mapping[str, str]:
    """Invite, and return who could not be."""
    if not ids:
        return {}
    try:
        return slack.invite(channel_id, ids)
    except IncidentError as error:
        return dict.fromkeys(ids, error.message)


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
