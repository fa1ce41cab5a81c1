"""Step 4: the channel, the brief, the people; then what makes the room comfortable."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowRuntimeError, AirflowSkipException

from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, ConfKey, TaskId, run_url, settings
from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.models import (
    Incident,
    Route,
    Severity,
    SlackWorkspace,
    Source,
    UserResolution,
    WarRoom,
)
from airflow_incident_provider.operators.base import IncidentStep
from airflow_incident_provider.operators.links import DashboardLink, MonitorLink, WarRoomLink
from airflow_incident_provider.room.xcom import read_value
from airflow_incident_provider.slack.access import identify_workspace, open_slack_client

if TYPE_CHECKING:
    from airflow.sdk import Context

_CHANNEL_NAME = re.compile(r"[a-z0-9_-]{1,80}")


class CreateWarRoomOperator(IncidentStep):
    """Open the war room of an incident, or a room of your own, exactly once.

    First the channel, the brief and the invitations; then topic, bookmarks and pin, a failure in which never
    stops the room. A retry, a cleared task or a second run for the same incident finds the same room again.

    :param incident: the incident; by default what ``parse_incident_event`` pushed.
    :param workspace: the workspace; by default what ``setup_slack_integration`` pushed; without one, Slack is
        asked who it is.
    :param people: who was found; by default what ``resolve_slack_users`` pushed.
    :param name: the name of a room of your own (``a-z 0-9 _ -``, at most 80 characters). Give this instead of
        an incident in a DAG that knows of none: the same name is the same room. (templated)
    :param members: whom to invite into a room of your own. (templated)
    :param title: the headline of a room of your own; by default its name. (templated)
    :param text: what a room of your own is about. (templated)
    :param severity: how bad it is that a room of your own is needed.
    :param private: whether a room of your own is private.
    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: a :class:`~airflow_incident_provider.models.WarRoom`, pushed to XCom. The task is skipped when
        there is no incident, or when Slack was not set up.
    :raises SlackUnavailableError: when Slack does not answer: the task is retried.

    .. code-block:: python

        CreateWarRoomOperator(
            task_id="open_room",
            name="orders-late-{{ run_id | replace(':', '-') | lower }}",
            title="The orders table is late",
            members=["dana@acme.example", "@data-oncall"],
        )
    """

    template_fields: Sequence[str] = ("name", "members", "title", "text", "slack_conn_id")
    operator_extra_links = (WarRoomLink(), MonitorLink(), DashboardLink())
    ui_color = "#e4eef8"

    def __init__(
        self,
        *,
        incident: Incident | Mapping[str, Any] | None = None,
        workspace: SlackWorkspace | Mapping[str, Any] | None = None,
        people: UserResolution | Mapping[str, Any] | None = None,
        name: str | None = None,
        members: Sequence[str] = (),
        title: str | None = None,
        text: str | None = None,
        severity: Severity | str = Severity.MEDIUM,
        private: bool = False,
        slack_conn_id: str = DEFAULT_SLACK_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.incident = incident
        self.workspace = workspace
        self.people = people
        self.name = name
        self.members = members
        self.title = title
        self.text = text
        self.severity = Severity(severity)
        self.private = private
        self.slack_conn_id = slack_conn_id

    def run_step(self, context: Context) -> WarRoom:
        """Open the room."""
        from airflow_incident_provider.room.ledger import Ledger
        from airflow_incident_provider.room.opener import RoomOpening, RoomPlan
        from airflow_incident_provider.room.progress import progress_at_the_room

        incident = self._incident(context)
        workspace = self._workspace(context)
        people = self._people(context, incident, workspace)
        plan = RoomPlan(
            incident=incident,
            workspace=workspace,
            people=people,
            name=self._names(incident),
            run_url=run_url(context["ti"].dag_id, context["ti"].run_id),
            promised_s=settings().room_deadline_seconds,
            steps=progress_at_the_room(context, self, incident, workspace, people) if self.name is None else (),
        )
        slack = open_slack_client(workspace, self.slack_conn_id, channel_name=plan.name(0), log=self.log)
        room = RoomOpening(slack, plan, Ledger(context)).open()
        self._tell_registry(context, incident, room)
        for problem in room.problems:
            self.log.warning("In the room: %s (%s)", problem.what, problem.fix or problem.error)
        WarRoomLink.keep(self, room)
        MonitorLink.keep(self, incident)
        DashboardLink.keep(self, incident)
        return room

    def _tell_registry(self, context: Context, incident: Incident, room: WarRoom) -> None:
        """Tell the registry where the room is, if it knows the incident: the webhook started this run then."""
        from airflow_incident_provider.registry.task_client import TaskRegistry
        from airflow_incident_provider.room.snapshot import where

        if self.name is not None or ConfKey.ASSIGNMENT not in (context["dag_run"].conf or {}):
            return
        try:
            TaskRegistry.of(context).tell_room(incident.key, where(room))
        except (KeyError, AirflowRuntimeError) as error:
            # The room stands; its updates will find it in this run's XComs.
            self.log.warning("The registry does not know of this room: %s", error)

    def _incident(self, context: Context) -> Incident:
        if self.name is not None:
            return self._own_room(self.name)
        incident = read_value(Incident, self.incident, context, TaskId.PARSE_INCIDENT)
        if incident is None:
            raise AirflowSkipException("There is no incident to open a room for.")
        return incident

    def _own_room(self, name: str) -> Incident:
        """Return what a room of one's own is about, in the terms of an incident."""
        if not _CHANNEL_NAME.fullmatch(name):
            raise InvalidPayloadError(
                f"name: {name!r} cannot be a channel's name.",
                fix="Use a-z, 0-9, hyphens and underscores, at most 80 of them.",
            )
        now = datetime.now(UTC)
        return Incident(
            key=f"room.{name}",
            id=name,
            source=Source.MANUAL,
            title=self.title or name,
            description=self.text,
            severity=self.severity,
            occurred_at=now,
            received_at=now,
            responders=tuple(self.members),
            route=Route(private=self.private),
        )

    def _names(self, incident: Incident) -> Callable[[int], str]:
        """Return the channel's name at the nth attempt."""
        from airflow_incident_provider.messages.channel import channel_name, channel_name_taken, numbered_name

        own = self.name
        if own is not None:
            return lambda attempt: numbered_name(own, attempt)
        return lambda attempt: channel_name(incident) if attempt == 0 else channel_name_taken(incident, attempt)

    def _workspace(self, context: Context) -> SlackWorkspace:
        workspace = read_value(SlackWorkspace, self.workspace, context, TaskId.SETUP_SLACK)
        if workspace is not None:
            return workspace
        if self.name is None:
            raise AirflowSkipException("Slack was not set up, so no room can be opened.")
        return identify_workspace(self.slack_conn_id)

    def _people(self, context: Context, incident: Incident, workspace: SlackWorkspace) -> UserResolution:
        """Return who was found; where nobody could look, say of everybody that they were not looked up."""
        from airflow_incident_provider.operators.resolve_slack_users import (
            not_looked_up,
            resolve_users,
            should_wait_for_people,
        )

        if self.name is not None and self.people is None:
            return resolve_users(
                self.members,
                workspace,
                self.slack_conn_id,
                private=self.private,
                should_wait=should_wait_for_people(context),
            )
        found = read_value(UserResolution, self.people, context, TaskId.RESOLVE_USERS)
        return found or not_looked_up(incident.responders, "Slack could not be asked who this is")
