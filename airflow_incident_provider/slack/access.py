"""How a task reaches Slack: the Airflow connection, the app's scopes, and live or dry-run client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_incident_provider.exceptions import SlackConfigurationError
from airflow_incident_provider.models import MissingScope, Mode, SlackWorkspace
from airflow_incident_provider.slack.dry_run import DryRunSlackClient

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

    from airflow_incident_provider.slack.client import LiveSlackClient
    from airflow_incident_provider.slack.protocol import SlackClient

REQUIRED: Mapping[str, str] = {
    "channels:manage": "no room can be created, and no one can be invited",
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
"""Every scope that a room uses, the most important first, with what its absence costs.

Source: the scopes on each method's page in Slack's reference. ``airflow incident setup slack`` prints the app
manifest from this table and the next, so the app asks for exactly what is used.
"""

OPTIONAL: Mapping[str, str] = {
    "files:write": "the metric is drawn in characters, not as a picture, and a postmortem's draft is no file",
    "canvases:write": "a postmortem's draft is shared as a file, not as a canvas",
}
"""Scopes without which a room is complete: their absence is reported by ``airflow incident check`` only."""


def missing_scopes(granted: Iterable[str]) -> tuple[MissingScope, ...]:
    """Return the scopes that were not granted, with what each costs, the most important first."""
    have = frozenset(granted)
    return tuple(MissingScope(scope=scope, costs=costs) for scope, costs in SCOPES.items() if scope not in have)


def connection_is_configured(conn_id: str) -> bool:
    """Return whether Airflow has this connection."""
    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return False
    return True


def live_slack_client(conn_id: str, workspace: SlackWorkspace | None = None) -> LiveSlackClient:
    """Return a client of the workspace behind a connection.

    :param conn_id: an Airflow connection of type ``slack``.
    :param workspace: the workspace, if it is known already; otherwise it is asked for when needed.
    :raises SlackConfigurationError: the connection has no token.
    """
    # These import slack_sdk and Airflow's Slack provider.
    from airflow_incident_provider.slack.client import LiveSlackClient
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    hook = IncidentSlackHook(slack_conn_id=conn_id)
    try:
        hook.client  # noqa: B018 - reads the connection here, so that a missing token has an error of its own
    except AirflowNotFoundException:
        raise SlackConfigurationError(
            f"The Airflow connection {conn_id!r} has no Slack token.",
            fix="Put the app's bot token (xoxb-...) into its password field.",
        ) from None
    return LiveSlackClient(hook, workspace)


def identify_workspace(conn_id: str) -> SlackWorkspace:
    """Return the workspace behind a connection, or a dry-run workspace if there is no such connection."""
    if not connection_is_configured(conn_id):
        return SlackWorkspace(
            mode=Mode.DRY_RUN,
            reason=f"There is no Airflow connection {conn_id!r}, so nothing is posted to Slack.",
        )
    return live_slack_client(conn_id).workspace.model_copy(update={"conn_id": conn_id})


def open_slack_client(workspace: SlackWorkspace, conn_id: str, *, channel_name: str, log: Logger) -> SlackClient:
    """Return a client for the run's mode: live or dry-run."""
    if workspace.dry_run:
        return DryRunSlackClient(channel_name, log)
    return live_slack_client(conn_id, workspace)
