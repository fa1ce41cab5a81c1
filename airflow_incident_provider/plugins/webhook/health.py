"""Whether alerts can be taken, for people and for monitoring. It tells no secret and needs none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from airflow.utils.session import create_session
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError

from airflow_incident_provider.config import DEFAULT_WEBHOOK_CONN_ID, DagId
from airflow_incident_provider.exceptions import IncidentError, RoutingTableError
from airflow_incident_provider.plugins.api.errors import RequestError
from airflow_incident_provider.plugins.webhook.reception import Reception
from airflow_incident_provider.registry.api_server import opened

router = APIRouter(tags=["health"])


class Check(BaseModel):
    """One thing that the webhook needs."""

    name: str
    ok: bool
    problem: str | None = None


class Health(BaseModel):
    """Whether alerts can be taken."""

    ok: Annotated[bool, Field(description="Whether all checks are well.")]
    checks: list[Check]


@router.get(
    "/health",
    response_model=Health,
    responses={503: {"model": Health, "description": "Alerts cannot be taken now."}},
    summary="Tell whether alerts can be taken",
)
def health(request: Request, response: Response) -> Health:
    """Tell of the connection, the routing table, the registry in the database, and the DAGs."""
    reception: Reception = request.app.state.reception
    checks = [
        _check(f"connection {DEFAULT_WEBHOOK_CONN_ID}", reception.authentication.credentials),
        _check("routing table", reception.routing.table),
        _check("registry", _registry),
        *(_check(f"DAG {dag_id}", _dag(reception, dag_id)) for dag_id in _dag_ids(reception)),
    ]
    ok = all(check.ok for check in checks)
    response.status_code = 200 if ok else 503
    return Health(ok=ok, checks=checks)


def _registry() -> None:
    with create_session(scoped=False) as session:
        opened(session)


def _dag_ids(reception: Reception) -> list[str]:
    """Return the DAGs whose runs an alert may start; a table that cannot be read is a check of its own."""
    try:
        named = reception.routing.table().dag_ids
    except RoutingTableError:
        named = ()
    return list(dict.fromkeys((DagId.INCIDENT_RESPONSE, DagId.INCIDENT_UPDATE, *named)))


def _dag(reception: Reception, dag_id: str) -> Callable[[], object]:
    def check() -> None:
        with create_session(scoped=False) as session:
            reception.runs.ready_dag(session, dag_id)

    return check


def _check(name: str, work: Callable[[], object]) -> Check:
    try:
        work()
    except RequestError as refused:
        problem = f"{refused.answer.error} {refused.answer.fix or ''}".strip()
    except IncidentError as error:
        problem = str(error)
    except SQLAlchemyError:
        problem = "Airflow's database cannot be reached."
    else:
        return Check(name=name, ok=True)
    return Check(name=name, ok=False, problem=problem)
