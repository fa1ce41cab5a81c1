"""Who was asked into the room, who was not, and why, in a line each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from airflow_incident_provider.messages.escaping import Mrkdwn, inline, mention
from airflow_incident_provider.models import (
    Invitation,
    MatchMethod,
    NotInvited,
    Resolution,
    ResolutionOutcome,
    UserResolution,
)
from airflow_incident_provider.text import one_line

_HOW = {
    MatchMethod.ID: "id",
    MatchMethod.EMAIL: "email",
    MatchMethod.USERGROUP: "user group",
    MatchMethod.DISPLAY_NAME: "display name",
    MatchMethod.USERNAME: "username",
    MatchMethod.FUZZY: "close match",
}
_WHY = {
    ResolutionOutcome.AMBIGUOUS: "more than one person it could be",
    ResolutionOutcome.NOT_FOUND: "no sure match",
    ResolutionOutcome.DEACTIVATED: "deactivated in Slack",
    ResolutionOutcome.NOT_ALLOWED: "not allowed in this room",
}
_WITH_NAMES_BESIDE = frozenset({ResolutionOutcome.AMBIGUOUS, ResolutionOutcome.NOT_FOUND})
_NAMES_SUGGESTED = 3


def not_resolved(resolution: UserResolution) -> tuple[NotInvited, ...]:
    """Return every query that found nobody, as somebody who is not invited, with the likeliest names."""
    return tuple(
        NotInvited(query=r.query, reason=_reason(r), suggestion=_suggestion(r)) for r in resolution.unresolved
    )


def _reason(resolution: Resolution) -> str:
    """Return why nobody is invited; where names are suggested beside it, without naming them twice."""
    if resolution.candidates and resolution.outcome in _WITH_NAMES_BESIDE:
        return _WHY[resolution.outcome]
    return resolution.reason or _WHY[resolution.outcome]


def _suggestion(resolution: Resolution) -> str | None:
    """Return the people that a query might mean, or nothing; those who share a name by their handle as well."""
    people = resolution.candidates[:_NAMES_SUGGESTED]
    labels = [person.label for person in people]
    names = [
        f"{person.label} (@{person.name})" if labels.count(person.label) > 1 else person.label for person in people
    ]
    return " or ".join(names) if names else None


def invited_people(invitations: Sequence[Invitation]) -> list[Mrkdwn]:
    """Return one entry for each person, the surest match first, then one for each user group with its size."""
    order = list(MatchMethod)
    people = [i for i in invitations if i.method is not MatchMethod.USERGROUP]
    people.sort(key=lambda invitation: order.index(invitation.method))
    return [_person(invitation) for invitation in people] + _groups(invitations)


def _person(invitation: Invitation) -> Mrkdwn:
    """Return somebody with how they were found; for a close match also what was looked for."""
    how = _HOW[invitation.method]
    if invitation.method is MatchMethod.FUZZY:
        how = f'{how} for "{inline(invitation.query, 80)}"'
    return Mrkdwn(f"{mention(invitation.user.id, invitation.user.label)} ({how})")


def _groups(invitations: Iterable[Invitation]) -> list[Mrkdwn]:
    """Return the user groups that were asked, with how many of their members."""
    sizes: dict[str, int] = {}
    for invitation in invitations:
        if invitation.method is MatchMethod.USERGROUP:
            sizes[invitation.query] = sizes.get(invitation.query, 0) + 1
    return [Mrkdwn(f"@{inline(group.lstrip('@'), 80)} ({size})") for group, size in sizes.items()]


def not_invited_people(people: Iterable[NotInvited]) -> list[Mrkdwn]:
    """Return one entry for each person who was not asked, with the reason and whom it might mean."""
    return [_left_out(person) for person in people]


def _left_out(person: NotInvited) -> Mrkdwn:
    """Return what was looked for, why nobody was invited for it, and a suggestion to judge."""
    line = f'"{inline(person.query, 100)}": {inline(person.reason, 200)}'
    if person.suggestion is None:
        return Mrkdwn(line)
    return Mrkdwn(f"{line}; might be {inline(person.suggestion, 200)}, invite by hand if so")


def names(invitations: Iterable[Invitation]) -> dict[str, str]:
    """Return who the mentions of these people are, for readers outside Slack."""
    return {invitation.user.id: one_line(invitation.user.label) for invitation in invitations}
