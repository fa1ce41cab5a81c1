"""Actions on an incident under Airflow's own permissions: for the incidents page and the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import SQLAlchemyError

from airflow_incident_provider.exceptions import IncidentError, InvalidPayloadError
from airflow_incident_provider.interaction.commands import ParsedCommand, parse_command
from airflow_incident_provider.lifecycle.actions import Outcome
from airflow_incident_provider.lifecycle.coordination import Actor, ActorSource, IncidentAction
from airflow_incident_provider.plugins.api.errors import ErrorResponse, RequestError
from airflow_incident_provider.plugins.incidents_page.permissions import may_trigger, require_page_or_token
from airflow_incident_provider.registry.actions import DatabaseIncidents
from airflow_incident_provider.registry.runs import Runs
from airflow_incident_provider.routing_file import RoutingTableFile
from airflow_incident_provider.text import digest, one_line, shorten

router = APIRouter(prefix="/api", tags=["incidents"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "There is no such command, or its arguments are wrong."},
    401: {"model": ErrorResponse, "description": "No valid session or token."},
    403: {"model": ErrorResponse, "description": "No right to start runs of the incident's DAG."},
    404: {"model": ErrorResponse, "description": "There is no such incident."},
    409: {"model": ErrorResponse, "description": "The incident's state does not allow it."},
    503: {"model": ErrorResponse, "description": "It cannot be done now."},
}


class ActionBody(BaseModel):
    """A command in the grammar of ``/incident``, such as ``severity critical``."""

    model_config = ConfigDict(extra="forbid")

    command: Annotated[str, Field(max_length=4_000)]
    request_id: Annotated[
        str | None, Field(description="Repeating a request with the same id acts once.", max_length=100)
    ] = None


class ActionResult(BaseModel):
    """The result."""

    outcome: Outcome
    reply: str


def _incidents(request: Request) -> DatabaseIncidents:
    incidents = getattr(request.app.state, "incidents", None)
    if incidents is None:
        incidents = request.app.state.incidents = DatabaseIncidents(Runs())
    assert isinstance(incidents, DatabaseIncidents)
    return incidents


@router.post(
    "/incidents/{key}/actions",
    responses=_RESPONSES,
    dependencies=[Depends(require_page_or_token)],
    summary="Act on an incident",
)
def act(
    key: str, body: ActionBody, user: GetUserDep, incidents: Annotated[DatabaseIncidents, Depends(_incidents)]
) -> ActionResult:
    """Apply a command; the person is the Airflow user."""
    parsed = _parse(body.command)
    try:
        record = incidents.find(key=key, channel_id="")
        if record is None:
            raise RequestError(404, f"There is no incident {shorten(one_line(key), 80)}.")
        if not may_trigger(user, record.dag_id):
            raise RequestError(403, f"You may not start runs of the DAG {record.dag_id}.")
        name = shorten(one_line(str(user.get_name())), 80)
        action = IncidentAction(
            id=digest(f"api:{name}:{body.request_id or uuid4()}", 24),
            kind=parsed.kind,
            at=datetime.now(UTC),
            actor=Actor(name=name, source=ActorSource.AIRFLOW),
            **parsed.arguments,
        )
        applied = incidents.apply(key, action, RoutingTableFile().table())
    except IncidentError as error:
        raise RequestError(503, error.message, fix=error.fix) from error
    except SQLAlchemyError as error:
        raise RequestError(503, "Airflow's database cannot be reached, or is too busy.") from error
    if applied.outcome is Outcome.REFUSED:
        raise RequestError(409, applied.reply)
    return ActionResult(outcome=applied.outcome, reply=applied.reply)


def _parse(text: str) -> ParsedCommand:
    try:
        parsed = parse_command(text)
    except InvalidPayloadError as error:
        raise RequestError(400, error.message, fix=error.fix) from None
    if parsed is None:
        raise RequestError(400, "command: a command is required, such as: severity critical")
    return parsed
