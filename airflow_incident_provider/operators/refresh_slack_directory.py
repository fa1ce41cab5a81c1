"""The directory of Slack members, downloaded before an incident needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.config import settings
from airflow_incident_provider.models import XComValue
from airflow_incident_provider.operators.base import SlackStep
from airflow_incident_provider.slack.access import connection_is_configured, live_slack_client
from airflow_incident_provider.slack.directory_cache import (
    MAX_PAGE_SIZE,
    DirectoryCache,
    RateLimitedMemberPages,
    refresh,
)

if TYPE_CHECKING:
    from airflow.sdk import Context


class RefreshedDirectory(XComValue):
    """What was downloaded: the number of members, and no names."""

    team: str | None
    team_id: str
    members: int


class RefreshSlackDirectoryOperator(SlackStep):
    """Download all members of a workspace into the cache in which steps look names up.

    People who are given by e-mail address or id need no directory. Those who are given by name do, and an incident
    does not download more than 3,000 members. Calls respect Slack's rate limit, so a large workspace takes minutes.
    The cache is a file in ``[incident] directory_folder``: workers that share no disk need one each.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: a :class:`RefreshedDirectory`, pushed to XCom. The task is skipped if there is no connection.
    :raises AirflowFailException: the app may not list members: the message names the scope.
    :raises SlackUnavailableError: Slack does not answer: the task is retried, and the earlier file stays.

    .. code-block:: python

        RefreshSlackDirectoryOperator(task_id="refresh", slack_conn_id="slack_payments")
    """

    ui_color = "#eee8f5"

    def run_step(self, context: Context) -> RefreshedDirectory:  # noqa: ARG002 - all that it needs is in Slack
        """Download the members."""
        if not connection_is_configured(self.slack_conn_id):
            raise AirflowSkipException(
                f"There is no Airflow connection {self.slack_conn_id!r}: nobody is looked up."
            )
        slack = live_slack_client(self.slack_conn_id)
        team_id = slack.workspace.team_id or ""
        cache = DirectoryCache(settings().directory_folder)
        pages = RateLimitedMemberPages(slack.hook, **slack.team_argument)
        members = len(refresh(cache, team_id, pages, limit=MAX_PAGE_SIZE))
        self.log.info("%d members of %s are cached", members, slack.workspace.team)
        return RefreshedDirectory(team=slack.workspace.team, team_id=team_id, members=members)
