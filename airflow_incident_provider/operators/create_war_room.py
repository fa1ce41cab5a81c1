"""Step 4: open the room: the channel, the brief, the people; then what is convenient."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowRuntimeError, AirflowSkipException
from pydantic import ValidationError

from airflow_incident_provider.config import ConfKey, TaskId, settings
from airflow_incident_provider.exceptions import IncidentError, InvalidPayloadError
from airflow_incident_provider.lifecycle.reminders import next_check_at
from airflow_incident_provider.lifecycle.run_requests import check_run
from airflow_incident_provider.messages.channel import channel_name, numbered_name
from airflow_incident_provider.models import (
    Incident,
    Route,
    Severity,
    SlackWorkspace,
    Source,
    UserResolution,
    WarRoom,
)
from airflow_incident_provider.operators.base import SlackStep, known_severity, rendered_text, request_run
from airflow_incident_provider.operators.links import DashboardLink, MonitorLink, WarRoomLink, keep_links
from airflow_incident_provider.registry.task_client import TaskRegistry
from airflow_incident_provider.room.opener import RoomOpener, RoomRequest
from airflow_incident_provider.room.posting import Ledger
from airflow_incident_provider.room.progress import progress_before_room
from airflow_incident_provider.room.responders import looked_up_later, people_in, resolve_users
from airflow_incident_provider.room.snapshot import IncidentSnapshot, RunRef, room_location
from airflow_incident_provider.room.xcom import read_value, require_step
from airflow_incident_provider.routing_file import active_routing_table
from airflow_incident_provider.slack.access import identify_workspace, open_slack_client

_CHANNEL_NAME = re.compile(r"[a-z0-9_-]{1,80}")


class CreateWarRoomOperator(SlackStep):
    """Open the war room of an incident, or a room of your own, exactly once.

    First the channel, the brief and the invitations; then topic, bookmarks and pin, whose failure never stops the
    room. A retry, a cleared task or a second run of the same incident finds the same room.

    :param incident: the incident; default: what ``parse_incident_event`` pushed. (templated)
    :param workspace: the workspace; default: what ``setup_slack_integration`` pushed; without one, Slack is asked
        (``auth.test``). (templated)
    :param people: the people who were found; default: what ``resolve_slack_users`` pushed. (templated)
    :param name: the name of a room of your own (``a-z 0-9 _ -``, at most 80 characters), instead of an incident, in
        a DAG that has none: the same name is the same room. (templated)
    :param members: the people to invite into a room of your own, in a list or in a text with commas or line breaks.
        (templated)
    :param title: the headline of a room of your own; default: its name. (templated)
    :param text: what a room of your own is about. (templated)
    :param severity: the severity of a room of your own, as in a report: ``high``, ``P2`` or ``SEV-2``.
    :param private: whether a room of your own is private.
    :param slack_conn_id: an Airflow connection of type ``slack``. (templated)
    :returns: a :class:`~airflow_incident_provider.models.WarRoom`, pushed to XCom. The task is skipped if the
        payload was no incident.
    :raises AirflowFailException: the name cannot be that of a channel; or there is neither an incident nor a name.
    :raises SlackUnavailableError: Slack does not answer an essential call: the task is retried.

    .. code-block:: python

        CreateWarRoomOperator(
            task_id="open_room",
            name="orders-late-{{ dag_run.run_after | ts_nodash | lower }}",
            title="The orders table is late",
            members=["dana@acme.example", "@data-oncall"],
        )
    """

    template_fields: Sequence[str] = (
        "incident",
        "workspace",
        "people",
        "name",
        "members",
        "title",
        "text",
        "slack_conn_id",
    )
    operator_extra_links = (WarRoomLink(), MonitorLink(), DashboardLink())
    ui_color = "#e4eef8"

    def __init__(
        self,
        *,
        incident: Incident | Mapping[str, Any] | None = None,
        workspace: SlackWorkspace | Mapping[str, Any] | None = None,
        people: UserResolution | Mapping[str, Any] | None = None,
        name: str | None = None,
        members: str | Sequence[str] = (),
        title: str | None = None,
        text: str | None = None,
        severity: Severity | str = Severity.MEDIUM,
        private: bool = False,
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
        self.severity = known_severity(severity)
        self.private = private
        self._incident_is_passed = incident is not None

    def run_step(self, context: Context) -> WarRoom:
        """Open the room."""
        name = rendered_text(self.name)
        request = self._incident_room(context) if name is None else self._own_room(context, name)
        slack = open_slack_client(request.workspace, self.slack_conn_id, channel_name=request.name(0), log=self.log)
        room = RoomOpener(slack, request, Ledger(context)).open()
        if name is None:
            self._store_room(context, request.incident, room)
            self._request_first_check(context, request.incident)
        for problem in room.problems:
            self.log.warning("In the room: %s", problem.log_line())
        keep_links(self, request.incident, room)
        return room

    def _incident_room(self, context: Context) -> RoomRequest:
        """Return the request for the room of an incident."""
        parse = None if self._incident_is_passed else TaskId.PARSE_INCIDENT
        incident = read_value(Incident, self.incident, context, parse)
        if incident is None:
            if parse is not None:
                require_step(context, parse, fix="Pass incident=..., or a name for a room of your own.")
            raise AirflowSkipException("There is no incident to open a room for.")
        workspace = self._workspace(context)
        people = read_value(UserResolution, self.people, context, TaskId.RESOLVE_USERS)
        people = people or looked_up_later(incident.responders, "Slack could not be asked who this is")
        return RoomRequest(
            snapshot=IncidentSnapshot(run=_run(context), incident=incident, workspace=workspace, people=people),
            name=partial(channel_name, incident),
            steps=progress_before_room(context, self, incident, workspace, people),
            deadline_s=settings().room_deadline_seconds,
        )

    def _own_room(self, context: Context, name: str) -> RoomRequest:
        """Return the request for a room that is not about an incident."""
        members = people_in(self.members)
        if not _CHANNEL_NAME.fullmatch(name):
            raise InvalidPayloadError(
                f"name: {name!r} cannot be the name of a channel.",
                fix="Use a-z, 0-9, hyphens and underscores, at most 80 of them.",
            )
        now = datetime.now(UTC)
        incident = Incident(
            key=f"room.{name}",
            id=name,
            source=Source.MANUAL,
            title=rendered_text(self.title) or name,
            description=rendered_text(self.text),
            severity=self.severity,
            occurred_at=now,
            received_at=now,
            responders=tuple(members),
            route=Route(private=self.private),
        )
        # The registry has no record of such a room, so no action could be applied to it.
        workspace = self._workspace(context).model_copy(update={"interactive": False})
        people = read_value(UserResolution, self.people, context, TaskId.RESOLVE_USERS) if self.people else None
        people = people or resolve_users(
            members,
            workspace,
            self.slack_conn_id,
            private=self.private,
            seconds=settings().lookup_budget_seconds,
        )
        return RoomRequest(
            snapshot=IncidentSnapshot(run=_run(context), incident=incident, workspace=workspace, people=people),
            name=lambda attempt: numbered_name(name, attempt),
            deadline_s=settings().room_deadline_seconds,
        )

    def _workspace(self, context: Context) -> SlackWorkspace:
        workspace = read_value(SlackWorkspace, self.workspace, context, TaskId.SETUP_SLACK)
        return workspace or identify_workspace(self.slack_conn_id)

    def _store_room(self, context: Context, incident: Incident, room: WarRoom) -> None:
        """Store the room in the registry."""
        try:
            TaskRegistry.of(context).store_room(incident.key, room_location(room))
        except (KeyError, AirflowRuntimeError) as error:
            # The room is open; its updates find it in this run's XComs.
            self.log.warning("The room was not stored in the registry: %s", error)

    def _request_first_check(self, context: Context, incident: Incident) -> None:
        """Request the run that posts the first reminder, as the webhook does for the incidents that it reports.

        Here and not in the step that reports the incident, because the room does not wait for it.
        """
        if ConfKey.ASSIGNMENT in (context["dag_run"].conf or {}):
            return
        run = _run(context)
        try:
            record = TaskRegistry.of(context).report_of_run(incident.key, dag_id=run.dag_id, run_id=run.run_id)
            at = next_check_at(record, active_routing_table().table, datetime.now(UTC)) if record else None
            if at is not None:
                check = check_run(incident.key, at)
                request_run(check.dag_id, check.run_id, check.conf, at)
        except (KeyError, ValidationError, AirflowRuntimeError, IncidentError) as error:
            # The room is open even if its record or the routing table cannot be read.
            self.log.warning("There are no reminders: %s", error)


def _run(context: Context) -> RunRef:
    return RunRef(dag_id=context["ti"].dag_id, run_id=context["ti"].run_id)
