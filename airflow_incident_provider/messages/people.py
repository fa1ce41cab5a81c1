"""People in messages: who was invited, who was not and why, and who is suggested."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from airflow_incident_provider.messages.blocks import Block
from airflow_incident_provider.messages.controls import invite_controls
from airflow_incident_provider.messages.mrkdwn import Mrkdwn, group_reference, inline, mention
from airflow_incident_provider.models import (
    Invitation,
    MatchMethod,
    NotInvited,
    Resolution,
    ResolutionOutcome,
    SlackUser,
    UserResolution,
)
from airflow_incident_provider.text import one_line

_REASONS = {
    ResolutionOutcome.AMBIGUOUS: "more than one match",
    ResolutionOutcome.NOT_FOUND: "no exact match",
    ResolutionOutcome.DEACTIVATED: "deactivated in Slack",
    ResolutionOutcome.NOT_ALLOWED: "not allowed in this room",
}
_SUGGESTED_OUTCOMES = frozenset({ResolutionOutcome.AMBIGUOUS, ResolutionOutcome.NOT_FOUND})
_NAMES_SUGGESTED = 3


def unresolved_people(resolution: UserResolution) -> tuple[NotInvited, ...]:
    """Return each unresolved query as not invited, with its reason and the closest matches.

    A query one of whose closest matches is invited anyway, by another query or a user group, is no gap. One that
    means several people, such as the members of a user group, is a gap until all of them are invited.
    """
    invited = {user.id for resolved in resolution.resolved for user in resolved.users}
    people = (_unresolved(result, invited) for result in resolution.unresolved)
    return tuple(one for one in people if not one.is_made_up_for(invited))


def _unresolved(resolution: Resolution, invited: Collection[str]) -> NotInvited:
    if resolution.outcome in _SUGGESTED_OUTCOMES or len(resolution.candidates) <= 1:
        suggested = _names(resolution.candidates[:_NAMES_SUGGESTED])
        suggestion = " or ".join(suggested.values()) or None
        return NotInvited(
            query=resolution.query, reason=_reason(resolution), suggestion=suggestion, suggested=suggested
        )
    missing = [person for person in resolution.candidates if person.id not in invited]
    return NotInvited(
        query=resolution.query,
        reason=_reason(resolution),
        suggested=_names(missing or resolution.candidates),
        all_meant=True,
    )


def _reason(resolution: Resolution) -> str:
    """Return why a query has no result; if it has a suggestion, without naming the suggested people twice."""
    if resolution.candidates and resolution.outcome in _SUGGESTED_OUTCOMES:
        return _REASONS[resolution.outcome]
    return resolution.reason or _REASONS[resolution.outcome]


def _names(people: Sequence[SlackUser]) -> dict[str, str]:
    """Return people's names by id; those with the same name are distinguished by their username."""
    labels = [person.label for person in people]
    return {
        person.id: f"{person.label} (@{person.name})" if labels.count(person.label) > 1 else person.label
        for person in people
    }


def invited_entries(invitations: Sequence[Invitation]) -> list[Mrkdwn]:
    """Return an entry for each person, the surest match first, and then one for each user group."""
    order = list(MatchMethod)
    people = [i for i in invitations if i.method is not MatchMethod.USERGROUP]
    people.sort(key=lambda invitation: order.index(invitation.method))
    groups = dict.fromkeys(i.query for i in invitations if i.method is MatchMethod.USERGROUP)
    return [_person(invitation) for invitation in people] + [
        Mrkdwn(f"@{inline(group.lstrip('@'), 80)}") for group in groups
    ]


def suggestion_controls(key: str, people: Iterable[NotInvited]) -> list[Block]:
    """Return a button for each suggested person, which invites them."""
    return invite_controls(key, {user_id: name for one in people for user_id, name in one.suggested.items()})


def _person(invitation: Invitation) -> Mrkdwn:
    """Return a person; for a close match with the query."""
    person = mention(invitation.user.id, invitation.user.label)
    if invitation.method is MatchMethod.FUZZY:
        return Mrkdwn(f'{person} (closest match for "{inline(invitation.query, 80)}")')
    return person


def not_invited_entries(people: Iterable[NotInvited]) -> list[Mrkdwn]:
    """Return an entry for each person who was not invited: the query, the reason, and a suggestion."""
    return [_not_invited(person) for person in people]


def _not_invited(person: NotInvited) -> Mrkdwn:
    line = f'"{inline(person.query, 100)}": {inline(person.reason, 200)}'
    if person.suggestion is None:
        return Mrkdwn(line)
    return Mrkdwn(f"{line}. Did you mean {inline(person.suggestion, 200)}?")


def mention_names(invitations: Iterable[Invitation]) -> dict[str, str]:
    """Return the names of mentioned people and user groups, for readers outside Slack."""
    names = {}
    for invitation in invitations:
        names[invitation.user.id] = one_line(invitation.user.label)
        if invitation.group_id is not None:
            names[group_reference(invitation.group_id)] = one_line(invitation.query)
    return names
