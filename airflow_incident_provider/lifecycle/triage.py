"""Where an incident shows: a room, a thread in the triage channel, or nothing but a record."""

from __future__ import annotations

from airflow_incident_provider.intake.policies import DEFAULT_TRIAGE, Presence, Triage, TriageRule
from airflow_incident_provider.lifecycle.signals import Signal
from airflow_incident_provider.models import Severity

_VISIBILITY = {presence: rank for rank, presence in enumerate(reversed(Presence))}


def triaged(signal: Signal, settings: Triage, *, severity: Severity, notifications: int) -> TriageRule:
    """Return the rule that decides: the first that matches, of the table's own and then of the default ones.

    :param severity: the incident's severity with this signal.
    :param notifications: how often the incident was told of, with this signal.
    """
    incident = signal.incident.model_copy(update={"severity": severity})
    rules = (*settings.rules, *DEFAULT_TRIAGE)
    return next(
        rule
        for rule in rules
        if rule.match.matches(incident)
        and (not rule.transition or signal.kind in rule.transition)
        and rule.notifications <= notifications
        and not (rule.presence is Presence.THREAD and settings.channel is None)
    )


def more_visible(one: Presence, other: Presence) -> Presence:
    """Return the more visible of two."""
    return max(one, other, key=_VISIBILITY.__getitem__)
