"""The page, what it is made of, and the JSON that it is drawn from."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from importlib.resources import files
from typing import Annotated, Literal

from airflow.api_fastapi.app import API_ROOT_PATH
from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from airflow_incident_provider.lifecycle.closing import settle
from airflow_incident_provider.lifecycle.records import IncidentRecord
from airflow_incident_provider.models import UtcDatetime
from airflow_incident_provider.plugins.api.errors import ErrorResponse
from airflow_incident_provider.plugins.incidents_page.entries import Incident, incidents
from airflow_incident_provider.plugins.incidents_page.rights import ReadableDagIds
from airflow_incident_provider.plugins.run_history import latest_runs
from airflow_incident_provider.registry.decisions import dismiss
from airflow_incident_provider.registry.records import Rejection
from airflow_incident_provider.registry.store import RegistryUnavailableError, opened
from airflow_incident_provider.routing_file import active_routing_table

LIMIT = 50
MOST = 200

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_STATIC = files("airflow_incident_provider.plugins.incidents_page") / "static"
_MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "html": "text/html"}

Asset = Literal["airflow.js", "incidents.js", "page.js", "incidents.css", "page.css", "icon.svg", "icon-dark.svg"]

log = logging.getLogger(__name__)
router = APIRouter()


class Incidents(BaseModel):
    """The incidents that the asker may see, those that were opened last first."""

    incidents: list[Incident]
    now: Annotated[UtcDatetime, Field(description="The server's clock, to tell ages by.")]
    dag_ids: Annotated[list[str], Field(description="The incident DAGs that the asker may read.")]
    routing_problem: Annotated[
        str | None, Field(description="Since when the routing table is invalid, why, and what is in use instead.")
    ] = None
    unreadable: Annotated[
        list[Rejection], Field(description="Alerts and reports that became no incident, the latest last.")
    ] = []


@router.get(
    "/api/incidents",
    tags=["incidents"],
    summary="List open and recent incidents",
    responses={
        401: {"model": ErrorResponse, "description": "No valid session or token."},
        403: {"model": ErrorResponse, "description": "No right to read the runs of an incident DAG."},
    },
)
def list_incidents(
    dag_ids: ReadableDagIds,
    session: SessionDep,
    response: Response,
    limit: Annotated[
        int, Query(ge=1, le=MOST, description="At most so many runs are read, and so many ended incidents told.")
    ] = LIMIT,
) -> Incidents:
    """List incidents: from the latest runs, and from the records that the webhook keeps."""
    response.headers["Cache-Control"] = "no-store"
    now = datetime.now(UTC)
    runs = latest_runs(session, dag_ids, limit=limit)
    records = _records(session, dag_ids, limit=limit, keys=[run.key for run in runs if run.key])
    found = incidents(runs, records, base_path=API_ROOT_PATH, now=now)
    ended = [incident for incident in found if not incident.is_open][limit:]
    dropped = {id(incident) for incident in ended}
    unreadable = _rejections(session, dag_ids)
    unread_runs = {rejection.run_id for rejection in unreadable}
    shown = [incident for incident in found if id(incident) not in dropped and incident.run_id not in unread_runs]
    problem = active_routing_table().problem
    return Incidents(
        incidents=shown,
        now=now,
        dag_ids=dag_ids,
        routing_problem=None if problem is None else str(problem),
        unreadable=unreadable,
    )


@router.post(
    "/api/rejections/{rejection_id}/dismiss",
    tags=["incidents"],
    summary="Dismiss an alert or report that became no incident",
    status_code=204,
    responses={404: {"model": ErrorResponse, "description": "There is no such alert or report."}},
)
def dismiss_rejection(dag_ids: ReadableDagIds, rejection_id: str, request: Request) -> Response:  # noqa: ARG001
    """Remove it from the list. The header keeps forms of other sites from doing so with a user's cookie."""
    if "x-requested-with" not in request.headers:
        raise HTTPException(400, "The header X-Requested-With is missing")
    if not dismiss(rejection_id):
        raise HTTPException(404, "There is no such alert or report")
    return Response(status_code=204)


@router.get("/", include_in_schema=False)
def page() -> Response:
    """Return the page; it holds no data."""
    return _file("index.html")


@router.get("/static/{name}", include_in_schema=False)
def asset(name: Asset) -> Response:
    """Return a part of the page."""
    return _file(name)


def _records(session: Session, dag_ids: list[str], *, limit: int, keys: list[str]) -> dict[str, IncidentRecord]:
    """Return the records of these DAGs' incidents: current ones, those of ``keys``, and those of the inbox.

    The cost depends on what is shown and not on what is stored.
    """
    try:
        registry = opened(session)
        current = [entry.key for entry in registry.overview(dag_ids, limit)]
        stored = registry.reports() | registry.load([*current, *keys], archived=True)
        settings = active_routing_table().table.lifecycle
    except RegistryUnavailableError as error:
        log.debug("No records of incidents: %s", error)
        return {}
    now = datetime.now(UTC)
    records = {key: settle(found.record, settings, now) for key, found in stored.items()}
    return {key: record for key, record in records.items() if record.dag_id in dag_ids and not record.is_dry_run}


def _rejections(session: Session, dag_ids: list[str]) -> list[Rejection]:
    """Return the alerts and reports that became no incident; those of a run only to who may read its DAG."""
    try:
        items = opened(session).rejections().items
    except RegistryUnavailableError:
        return []
    return [item for item in items if item.dag_id is None or item.dag_id in dag_ids]


def _file(name: str) -> Response:
    content = _STATIC.joinpath(name).read_bytes()
    return Response(
        content,
        media_type=_MEDIA_TYPES[name.rpartition(".")[2]],
        headers={
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Cache-Control": "no-cache",
        },
    )
