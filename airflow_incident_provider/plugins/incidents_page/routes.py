"""The routes of the incidents page: its files, and the JSON that it renders."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.resources import files
from typing import Annotated, Any, Literal

from airflow.api_fastapi.app import API_ROOT_PATH
from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import APIRouter, Depends, HTTPException, Query, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from airflow_incident_provider.config import DagId
from airflow_incident_provider.exceptions import RegistryUnavailableError
from airflow_incident_provider.lifecycle.closing import settle
from airflow_incident_provider.lifecycle.records import IncidentRecord
from airflow_incident_provider.models import IncidentKey, UtcDatetime
from airflow_incident_provider.plugins.api.errors import ErrorResponse, RequestError
from airflow_incident_provider.plugins.incidents_page.detail import IncidentDetail, incident_detail
from airflow_incident_provider.plugins.incidents_page.entries import (
    Incident,
    ResponseTime,
    UnreadableReport,
    entry,
    incidents,
    response_times,
)
from airflow_incident_provider.plugins.incidents_page.permissions import ReadableDagIds, require_trigger
from airflow_incident_provider.plugins.run_history import RecordedRun, latest_runs, one_run, runs_with_ids
from airflow_incident_provider.registry.decisions import dismiss
from airflow_incident_provider.registry.runs import dag_problem
from airflow_incident_provider.registry.store import Registry
from airflow_incident_provider.registry.transaction import opened
from airflow_incident_provider.room.snapshot import IncidentSnapshot
from airflow_incident_provider.routing_file import active_routing_table

LIMIT = 50
MAX_LIMIT = 200

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_STATIC = files("airflow_incident_provider.plugins.incidents_page") / "static"
_MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "html": "text/html"}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorResponse, "description": "No valid session or token."},
    403: {"model": ErrorResponse, "description": "No permission."},
}

Asset = Literal[
    "actions.js",
    "airflow.js",
    "chart.js",
    "dom.js",
    "incident.js",
    "incidents.js",
    "list.js",
    "page.js",
    "incidents.css",
    "page.css",
    "icon.svg",
    "icon-dark.svg",
]

log = logging.getLogger(__name__)
router = APIRouter()


class Incidents(BaseModel):
    """The incidents that the user may see: what needs attention first, then the worst, then the latest."""

    incidents: list[Incident]
    reports: Annotated[list[UnreadableReport], Field(description="What could not become an incident.")] = []
    routing_problem: Annotated[
        str | None, Field(description="Since when the routing table is invalid, why, and what is in use instead.")
    ] = None
    update_problem: Annotated[
        str | None, Field(description="Why updates, recoveries and resolutions wait: their DAG is paused, say.")
    ] = None
    response_times: list[ResponseTime] = []
    now: Annotated[UtcDatetime, Field(description="The server's clock, to compute ages.")]
    dag_ids: Annotated[list[str], Field(description="The incident DAGs that the user may read.")]


@router.get("/api/incidents", tags=["incidents"], summary="List open and recent incidents", responses=_RESPONSES)
def list_incidents(
    dag_ids: ReadableDagIds,
    session: SessionDep,
    response: Response,
    limit: Annotated[
        int, Query(ge=1, le=MAX_LIMIT, description="The maximum number of runs, and of ended incidents.")
    ] = LIMIT,
) -> Incidents:
    """List incidents from their records and the latest runs.

    The cost depends on what is shown, not on what is stored.
    """
    response.headers["Cache-Control"] = "no-store"
    now = datetime.now(UTC)
    runs = latest_runs(session, dag_ids, limit=limit)
    registry = _registry(session)
    records: dict[str, IncidentRecord] = {}
    rejections: list[UnreadableReport] = []
    if registry is not None:
        records = _records(registry, dag_ids, limit=limit, keys=[run.key for run in runs if run.key], now=now)
        rejections = [
            UnreadableReport.of(item, API_ROOT_PATH)
            for item in registry.rejections().items
            if item.dag_id is None or item.dag_id in dag_ids
        ]
    runs += _runs_of(session, records.values(), known=runs)
    found = incidents(runs, records, base_path=API_ROOT_PATH, now=now)
    problem = active_routing_table().problem
    waits = dag_problem(session, DagId.INCIDENT_UPDATE) if registry is not None else None
    listed = _limited(found, limit)
    return Incidents(
        incidents=listed,
        response_times=response_times(listed, runs, records),
        reports=sorted(rejections, key=lambda report: report.at, reverse=True),
        routing_problem=None if problem is None else str(problem),
        update_problem=None if waits is None else str(waits),
        now=now,
        dag_ids=dag_ids,
    )


@router.get(
    "/api/incidents/{key}",
    tags=["incidents"],
    summary="Get an incident",
    responses={**_RESPONSES, 404: {"model": ErrorResponse, "description": "No such incident."}},
)
def get_incident(
    key: IncidentKey, dag_ids: ReadableDagIds, session: SessionDep, response: Response
) -> IncidentDetail:
    """Return an incident with its timeline, people, and findings with their evidence."""
    response.headers["Cache-Control"] = "no-store"
    now = datetime.now(UTC)
    registry = _registry(session)
    record = _settled(registry, [key], now).get(key) if registry is not None else None
    if record is not None and record.dag_id not in dag_ids:
        record = None
    run = _run_of(session, key, record, dag_ids)
    if record is None and run is None:
        raise HTTPException(404, "There is no such incident")
    row = entry([run] if run else [], record, base_path=API_ROOT_PATH, now=now)
    return incident_detail(row, run.snapshot if run else IncidentSnapshot(), record, now)


@router.post(
    "/api/rejections/{rejection_id}/dismiss",
    tags=["incidents"],
    summary="Dismiss a report that could not become an incident",
    status_code=204,
    responses=_RESPONSES,
    dependencies=[Depends(require_trigger)],
)
def dismiss_rejection(rejection_id: str) -> Response:
    """Remove a report from the list. Dismissing it again does nothing."""
    try:
        dismiss(rejection_id)
    except RegistryUnavailableError as error:
        raise RequestError(503, error.message, fix=error.fix) from error
    return Response(status_code=204)


@router.get("/", include_in_schema=False)
def page() -> Response:
    """Return the page; it contains no data."""
    return _file("index.html")


@router.get("/static/{name}", include_in_schema=False)
def asset(name: Asset) -> Response:
    """Return a file of the page."""
    return _file(name)


def _limited(found: list[Incident], limit: int) -> list[Incident]:
    """Return the open incidents, and the latest of the others."""
    ended = sorted((one for one in found if not one.is_open), key=lambda one: one.opened_at, reverse=True)
    dropped = {id(one) for one in ended[limit:]}
    return [one for one in found if id(one) not in dropped]


def _registry(session: Session) -> Registry | None:
    """Return the registry; ``None`` if no DAG has created it yet."""
    try:
        return opened(session)
    except RegistryUnavailableError as error:
        log.debug("No incident records: %s", error)
        return None


def _records(
    registry: Registry, dag_ids: list[str], *, limit: int, keys: list[str], now: datetime
) -> dict[str, IncidentRecord]:
    """Return the records of these DAGs' current incidents, those of ``keys``, and those of the inbox."""
    current = [listed.key for listed in registry.overview(dag_ids, limit)]
    records = _settled(registry, [*current, *keys], now)
    settings = active_routing_table().table.lifecycle
    reported = {key: settle(found.record, settings, now) for key, found in registry.reports().items()}
    return {key: record for key, record in (reported | records).items() if record.dag_id in dag_ids}


def _settled(registry: Registry, keys: list[str], now: datetime) -> dict[str, IncidentRecord]:
    """Return records with the state that they have by now."""
    settings = active_routing_table().table.lifecycle
    stored = registry.load(keys, archived=True)
    return {key: settle(found.record, settings, now) for key, found in stored.items()}


def _runs_of(session: Session, records: Iterable[IncidentRecord], known: list[RecordedRun]) -> list[RecordedRun]:
    """Return the runs of these records that are not among the known ones."""
    seen = {(run.run.dag_id, run.run.run_id) for run in known}
    wanted = {(record.dag_id, record.run_id) for record in records if record.run_id is not None}
    return runs_with_ids(session, wanted - seen)


def _run_of(session: Session, key: str, record: IncidentRecord | None, dag_ids: list[str]) -> RecordedRun | None:
    """Return the run of an incident with its findings; without a record, the latest run about it."""
    if record is not None and record.run_id is not None:
        return one_run(session, record.dag_id, record.run_id, evidence=True)
    latest = next((run for run in latest_runs(session, dag_ids, limit=MAX_LIMIT) if run.key == key), None)
    return one_run(session, latest.run.dag_id, latest.run.run_id, evidence=True) if latest else None


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
