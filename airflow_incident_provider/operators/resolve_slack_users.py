"""Step 3: resolve people to Slack users; and the directory of members, downloaded before an incident needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_incident_provider.config import TaskId, settings
from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.models import Incident, SlackWorkspace, UserResolution, XComValue
from airflow_incident_provider.operators.base import SlackStep, is_last_try
from airflow_incident_provider.room.responders import lookup_seconds, resolve_users
from airflow_incident_provider.room.xcom import read_value
from airflow_incident_provider.slack.access import connection_is_configured, identify_workspace, live_slack_client
from airflow_incident_provider.slack.directory_cache import (
    MAX_PAGE_SIZE,
    DirectoryCache,
    RateLimitedMemberPages,
    refresh,
)


class ResolveSlackUsersOperator(SlackStep):
    """Resolve people by id, e-mail address, or a unique exact name; nobody is invited on a guess.

    Every query ends in exactly one of resolved, ambiguous, not found, deactivated or not allowed. A name that is
    only close to somebody's is a suggestion in the brief.

    In an incident the room does not wait for lookups: what Slack has not answered within
    ``[incident] lookup_budget_seconds`` of the alert is looked up again once the room is open.

    :param users: e-mail addresses, names, ``@usergroup`` handles or Slack ids, in a list or a text with commas or
        line breaks; default: the incident's responders. (templated)
    :param private: whether they are for a private room, into which only an e-mail address or an id lets
        somebody; default: by the incident's route.
    :param incident: the incident; default: what ``parse_incident_event`` pushed. Not needed with ``users``.
        (templated)
    :param workspace: the workspace; default: what ``setup_slack_integration`` pushed; without one, Slack is asked
        (``auth.test``). (templated)
    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: a :class:`~airflow_incident_provider.models.UserResolution`, pushed to XCom. Its ``unanswered`` are
        the queries that Slack did not answer in time.
    :raises SlackUnavailableError: with ``users``, if Slack answers none of them: the task is retried.

    .. code-block:: python

        ResolveSlackUsersOperator(task_id="who", users=["dana@acme.example", "José García", "@sre-oncall"])
    """

    template_fields: Sequence[str] = ("users", "incident", "workspace", "slack_conn_id")
    ui_color = "#eee8f5"

    def __init__(
        self,
        *,
        users: str | Sequence[str] | None = None,
        private: bool | None = None,
        incident: Incident | Mapping[str, Any] | None = None,
        workspace: SlackWorkspace | Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.users = users
        self.private = private
        self.incident = incident
        self.workspace = workspace
        self._users_are_passed = users is not None
        self._incident_is_passed = incident is not None

    def run_step(self, context: Context) -> UserResolution:
        """Look up everybody."""
        if not self._users_are_passed:
            parse = None if self._incident_is_passed else TaskId.PARSE_INCIDENT
            incident = read_value(Incident, self.incident, context, parse)
            queries: object = incident.responders if incident else ()
            private = bool(incident and incident.route.private) if self.private is None else self.private
            now = datetime.now(UTC)
            seconds = lookup_seconds(incident.received_at if incident else now, now)
        else:
            queries, private, seconds = self.users, bool(self.private), settings().lookup_budget_seconds
        workspace = read_value(SlackWorkspace, self.workspace, context, TaskId.SETUP_SLACK)
        resolution = resolve_users(
            queries,
            workspace or identify_workspace(self.slack_conn_id),
            self.slack_conn_id,
            private=private,
            seconds=seconds,
        )
        for result in resolution.resolutions:
            self.log.info("%r: %s %s", result.query, result.outcome, result.method or result.reason)
        if self._users_are_passed and not is_last_try(context):
            _require_an_answer(resolution)
        return resolution


def _require_an_answer(resolution: UserResolution) -> None:
    """Fail if no query was answered, so that the task is retried.

    :raises SlackUnavailableError: Slack answered none of the queries.
    """
    queries = {each.query for each in resolution.resolutions}
    if queries and len(resolution.unanswered) == len(queries):
        problem = next(iter(resolution.unanswered.values()))
        raise SlackUnavailableError(f"{problem.what}: {problem.error}")


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
