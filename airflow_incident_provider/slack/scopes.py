"""
What the Slack app may do, and what each missing permission costs.

Sources: the scopes on each method's page in Slack's reference. The app manifest that
``airflow incident setup slack`` prints is made from this table, so it asks for exactly what is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from airflow_incident_provider.models import MissingScope

REQUIRED: Mapping[str, str] = {
    "channels:manage": "no room can be created, and nobody can be invited",
    "chat:write": "nothing can be posted: no brief, no findings, no summary",
}
"""Scopes without which there is no room."""

SCOPES: Mapping[str, str] = {
    **REQUIRED,
    "channels:read": "a room that exists already cannot be found again, and who came cannot be counted",
    "channels:history": "a retried step cannot see what it has already posted and may post it twice",
    "channels:join": "a channel that an incident already has cannot be joined",
    "groups:write": "private rooms cannot be created",
    "groups:read": "a private room that exists already cannot be found again",
    "groups:history": "a retried step cannot see what it has already posted in a private room",
    "users:read": "people cannot be found by name",
    "users:read.email": "people cannot be found by e-mail address",
    "usergroups:read": "user groups such as @sre-oncall cannot be resolved",
    "pins:write": "the brief is not pinned",
    "bookmarks:read": "bookmarks may be added twice when a step is retried",
    "bookmarks:write": "the room has no bookmarks to monitor, dashboard and runbook",
}
"""Every scope that the project uses, the most important first, with what its absence costs."""


def missing_scopes(granted: Iterable[str]) -> tuple[MissingScope, ...]:
    """Return the scopes that were not granted, with what each costs, the most important first."""
    have = frozenset(granted)
    return tuple(MissingScope(scope=scope, costs=costs) for scope, costs in SCOPES.items() if scope not in have)
