"""Step 3: people become Slack users."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, TaskId, settings
from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.models import (
    Incident,
    Resolution,
    ResolutionOutcome,
    SlackWorkspace,
    UserResolution,
)
from airflow_incident_provider.operators.base import IncidentStep, is_last_try
from airflow_incident_provider.room.xcom import read_value
from airflow_incident_provider.slack.access import identify_workspace, live_slack_client

if TYPE_CHECKING:
    from airflow.sdk import Context

LONGEST_WAIT_FOR_SOMEBODY_S = 30.0
"""Seconds that a room waits where Slack asks to wait before it says who somebody is; else it comes without them."""


class ResolveSlackUsersOperator(IncidentStep):
    """Find out who is meant: by e-mail, then display name, then username, then a close match that is sure.

    Every query ends in exactly one of resolved, ambiguous, not found, deactivated or not allowed. Nobody is
    invited on a guess: a name that is only close is a suggestion in the brief.

    :param users: e-mail addresses, names, ``@usergroup`` handles or Slack ids; by default the incident's
        responders. (templated)
    :param private: whether they are for a private room, into which only an e-mail address or an id lets
        somebody; by default what the incident's route says.
    :param incident: the incident; by default what ``parse_incident_event`` pushed. Not needed with ``users``.
    :param workspace: the workspace; by default what ``setup_slack_integration`` pushed; without one, Slack is
        asked who it is.
    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: a :class:`~airflow_incident_provider.models.UserResolution`, pushed to XCom.
    :raises SlackUnavailableError: when Slack does not answer: the task is retried. On its last try, and when Slack
        asks to wait longer than a room should, whom Slack does not answer for is not found, for that reason; the
        last step asks for them once more.

    .. code-block:: python

        ResolveSlackUsersOperator(task_id="who", users=["dana@acme.example", "José García", "@sre-oncall"])
    """

    template_fields: Sequence[str] = ("users", "slack_conn_id")
    ui_color = "#eee8f5"

    def __init__(
        self,
        *,
        users: Sequence[str] | None = None,
        private: bool | None = None,
        incident: Incident | Mapping[str, Any] | None = None,
        workspace: SlackWorkspace | Mapping[str, Any] | None = None,
        slack_conn_id: str = DEFAULT_SLACK_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.users = users
        self.private = private
        self.incident = incident
        self.workspace = workspace
        self.slack_conn_id = slack_conn_id

    def run_step(self, context: Context) -> UserResolution:
        """Ask Slack for everybody."""
        incident = None
        if self.users is None:
            incident = read_value(Incident, self.incident, context, TaskId.PARSE_INCIDENT)
        queries = self.users if self.users is not None else (incident.responders if incident else ())
        private = self.private if self.private is not None else bool(incident and incident.route.private)
        workspace = read_value(SlackWorkspace, self.workspace, context, TaskId.SETUP_SLACK)
        resolution = resolve_users(
            queries,
            workspace or identify_workspace(self.slack_conn_id),
            self.slack_conn_id,
            private=private,
            should_wait=should_wait_for_people(context),
        )
        for result in resolution.resolutions:
            self.log.info("%r: %s %s", result.query, result.outcome, result.method or result.reason)
        return resolution


def should_wait_for_people(context: Context) -> Callable[[SlackUnavailableError], bool]:
    """Return for which silence of Slack's a room should wait: see :data:`LONGEST_WAIT_FOR_SOMEBODY_S`."""

    def is_worth_it(error: SlackUnavailableError) -> bool:
        return not is_last_try(context) and (error.retry_after or 0) <= LONGEST_WAIT_FOR_SOMEBODY_S

    return is_worth_it


def resolve_users(
    queries: Iterable[str],
    workspace: SlackWorkspace,
    slack_conn_id: str,
    *,
    private: bool,
    should_wait: Callable[[SlackUnavailableError], bool] = lambda _: True,
) -> UserResolution:
    """Resolve queries in a workspace; in dry-run say of each that Slack was not asked.

    :param should_wait: see :func:`~airflow_incident_provider.people.resolver.resolve`.
    """
    queries = list(queries)
    if workspace.dry_run:
        return not_looked_up(queries, "dry-run: Slack was not asked who this is")
    from airflow_incident_provider.people.resolver import resolve
    from airflow_incident_provider.slack.directory_cache import DirectoryCache
    from airflow_incident_provider.slack.people import SlackPeople

    cache = DirectoryCache(settings().directory_folder)
    with SlackPeople(live_slack_client(slack_conn_id, workspace), cache) as people:
        people.prefetch(queries)
        return resolve(queries, people, private=private, should_wait=should_wait)


def not_looked_up(queries: Iterable[str], reason: str) -> UserResolution:
    """Return what is known of people whom nobody could look up: that, and why."""
    return UserResolution(
        resolutions=tuple(
            Resolution(query=query, outcome=ResolutionOutcome.NOT_FOUND, reason=reason) for query in queries
        )
    )
