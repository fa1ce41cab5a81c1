"""Step 2: find out whether Slack works, with which scopes, or whether this is a dry run."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Context

from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.intake.conf import requests_dry_run
from airflow_incident_provider.models import Mode, SlackWorkspace
from airflow_incident_provider.operators.base import SlackStep
from airflow_incident_provider.slack.access import identify_workspace


class SetupSlackOperator(SlackStep):
    """Identify the workspace and the scopes of the app (``auth.test`` and its scope header).

    Without a connection the run is a dry run: everything that would be posted is logged and kept in the summary. A
    token that Slack rejects fails the task at once. In a dry run that was requested, people are looked up in Slack,
    and nothing is posted.

    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :param dry_run: make this a dry run although there is a connection; the run's conf can do so, too, with
        ``"dry_run": true``.
    :returns: a :class:`~airflow_incident_provider.models.SlackWorkspace`, pushed to XCom; never the token.
    :raises AirflowFailException: Slack rejects the token: the message names the fix.
    :raises SlackUnavailableError: Slack does not answer: the task is retried.

    .. code-block:: python

        SetupSlackOperator(task_id="setup_slack_integration", slack_conn_id="slack_incidents")
    """

    ui_color = "#eee8f5"

    def __init__(self, *, dry_run: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.only_dry_run = dry_run

    def run_step(self, context: Context) -> SlackWorkspace:
        """Identify the workspace, unless this is a dry run."""
        if self.only_dry_run or requests_dry_run(context["dag_run"].conf or {}):
            workspace = self._requested_dry_run()
        else:
            workspace = identify_workspace(self.slack_conn_id)
        if workspace.dry_run:
            self.log.warning("DRY-RUN: %s Everything that would be posted is shown here instead.", workspace.reason)
        for missing in workspace.scopes_missing:
            self.log.warning("The Slack app lacks the scope %s: %s.", missing.scope, missing.costs)
        return workspace

    def _requested_dry_run(self) -> SlackWorkspace:
        """Return the workspace for a dry run: people are looked up in it, and nothing is posted."""
        try:
            workspace = identify_workspace(self.slack_conn_id)
        except IncidentError as error:
            self.log.warning("People are not looked up: %s", error)
            workspace = SlackWorkspace(mode=Mode.DRY_RUN)
        requested = {"mode": Mode.DRY_RUN, "reason": "A dry run was requested.", "dry_run_requested": True}
        return workspace.model_copy(update=requested)
