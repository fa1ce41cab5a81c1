"""The directory of Slack members, fetched before anybody waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, settings
from airflow_incident_provider.models import XComValue
from airflow_incident_provider.operators.base import IncidentStep
from airflow_incident_provider.slack.access import connection_is_configured, live_slack_client

if TYPE_CHECKING:
    from airflow.sdk import Context


class RefreshedDirectory(XComValue):
    """What was fetched: how many, and of whom not a name."""

    team: str | None
    team_id: str
    members: int


class RefreshSlackDirectoryOperator(IncidentStep):
    """Fetch all members of a workspace into the cache that steps look names up in.

    People who are named by e-mail address or id need no directory; those who are named by name do, and beyond
    3,000 members no incident waits for it. Calls keep to Slack's rate limit, so a large workspace takes minutes.
    The cache is a file in ``[incident] directory_folder``: where workers share no disk, each needs its own.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: a :class:`RefreshedDirectory`, pushed to XCom. The task is skipped where there is no connection.
    :raises AirflowFailException: when the app may not list members: the message names the scope.
    :raises SlackUnavailableError: when Slack does not answer: the task is retried, and the older file stays.

    .. code-block:: python

        RefreshSlackDirectoryOperator(task_id="refresh", slack_conn_id="slack_payments")
    """

    template_fields: Sequence[str] = ("slack_conn_id",)
    ui_color = "#eee8f5"

    def __init__(self, *, slack_conn_id: str = DEFAULT_SLACK_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slack_conn_id = slack_conn_id

    def run_step(self, context: Context) -> RefreshedDirectory:  # noqa: ARG002 - all that it needs is in Slack
        """Fetch them."""
        from airflow_incident_provider.slack.directory_cache import (
            LARGEST_PAGE_SIZE,
            DirectoryCache,
            RateLimitedMemberPages,
            refresh,
        )

        if not connection_is_configured(self.slack_conn_id):
            raise AirflowSkipException(
                f"There is no Airflow connection {self.slack_conn_id!r}: nobody is looked up."
            )
        slack = live_slack_client(self.slack_conn_id)
        team_id = slack.workspace.team_id or ""
        cache = DirectoryCache(settings().directory_folder)
        refreshed = refresh(cache, team_id, RateLimitedMemberPages(slack.hook), limit=LARGEST_PAGE_SIZE)
        members = len(refreshed.directory)
        self.log.info("%d members of %s are at hand", members, slack.workspace.team)
        return RefreshedDirectory(team=slack.workspace.team, team_id=team_id, members=members)
