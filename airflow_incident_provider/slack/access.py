"""How an operator gets at Slack: live by the workspace that was set up, or dry-run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_incident_provider.exceptions import SlackConfigurationError
from airflow_incident_provider.models import Mode, SlackWorkspace

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

    from airflow_incident_provider.slack.client import LiveSlack
    from airflow_incident_provider.slack.protocol import WarRoomSlack


def connection_is_configured(conn_id: str) -> bool:
    """Return whether Airflow knows this connection."""
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return False
    return True


def live_slack(conn_id: str, workspace: SlackWorkspace | None = None) -> LiveSlack:
    """Return the workspace behind a connection.

    :raises SlackConfigurationError: when the connection has no token.
    """
    from airflow.sdk.exceptions import AirflowNotFoundException

    from airflow_incident_provider.slack.client import LiveSlack
    from airflow_incident_provider.slack.hook import IncidentSlackHook

    hook = IncidentSlackHook(slack_conn_id=conn_id)
    try:
        hook.client  # noqa: B018 - reads the connection here, so that a missing token is told apart
    except AirflowNotFoundException:
        raise SlackConfigurationError(
            f"The Airflow connection {conn_id!r} has no Slack token.",
            fix="Put the app's bot token (xoxb-...) into its password field.",
        ) from None
    return LiveSlack(hook, workspace)


def workspace_behind(conn_id: str) -> SlackWorkspace:
    """Return what there is to talk to: the live workspace, or dry-run where no connection is configured."""
    if not connection_is_configured(conn_id):
        return SlackWorkspace(
            mode=Mode.DRY_RUN,
            reason=f"There is no Airflow connection {conn_id!r}, so nothing is posted to Slack.",
        )
    return live_slack(conn_id).workspace.model_copy(update={"conn_id": conn_id})


def open_slack(workspace: SlackWorkspace, conn_id: str, *, channel_name: str, log: Logger) -> WarRoomSlack:
    """Return Slack as the run's mode has it."""
    if workspace.dry_run:
        from airflow_incident_provider.slack.dry_run import DryRunSlack

        return DryRunSlack(channel_name, log)
    return live_slack(conn_id, workspace)
