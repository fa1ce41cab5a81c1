"""The endpoints that receive alerts, and the health of the webhook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import Annotated, Any

from airflow.utils.session import create_session
from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError

from airflow_incident_provider.config import DEFAULT_WEBHOOK_CONN_ID, DagId
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.intake.datadog import payload_schema
from airflow_incident_provider.intake.report_fields import trigger_form
from airflow_incident_provider.plugins.api.errors import RequestError
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER
from airflow_incident_provider.plugins.webhook.receiver import AlertReceiver
from airflow_incident_provider.plugins.webhook.responses import ALERT_RESPONSES, Decided, SeveralDecided
from airflow_incident_provider.registry.transaction import opened

_secret = APIKeyHeader(
    name=SECRET_HEADER,
    scheme_name="Secret",
    description=f"The password of the Airflow connection {DEFAULT_WEBHOOK_CONN_ID}, or its previous one.",
    auto_error=False,
)
Secret = Annotated[str | None, Security(_secret)]

router = APIRouter(prefix="/webhook", tags=["webhook"])
health_router = APIRouter(tags=["health"])


def _receiver(request: Request) -> AlertReceiver:
    receiver = request.app.state.receiver
    assert isinstance(receiver, AlertReceiver)
    return receiver


Receiver = Annotated[AlertReceiver, Depends(_receiver)]


# --- alerts -----------------------------------------------------------------------------------------


def _request_body(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI description of a body that is read here: FastAPI would read it before any check."""
    content = {"application/json": {"schema": schema}, "application/x-www-form-urlencoded": {"schema": schema}}
    return {"requestBody": {"required": True, "description": _SEVERAL, "content": content}}


_SEVERAL = "One alert; or several, as a list or as JSON documents one after the other: each is decided by itself."


def _generic_schema() -> dict[str, Any]:
    described = ("type", "description", "examples")
    fields = {name: {k: field[k] for k in described if k in field} for name, field in trigger_form().items()}
    return {"type": "object", "properties": fields}


@router.post(
    "/datadog",
    status_code=202,
    responses=ALERT_RESPONSES,
    response_model=Decided | SeveralDecided,
    openapi_extra=_request_body(payload_schema()),
    summary="Receive a notification from Datadog's webhook",
)
async def receive_datadog(request: Request, secret: Secret, receiver: Receiver) -> JSONResponse:
    """Receive a notification in the payload template that ``airflow incident setup datadog`` prints."""
    return await receiver.receive(request, secret, lambda body: {"datadog": body})


@router.post(
    "/generic",
    status_code=202,
    responses=ALERT_RESPONSES,
    response_model=Decided | SeveralDecided,
    openapi_extra=_request_body(_generic_schema()),
    summary="Receive an incident with the fields of the trigger form",
)
async def receive_generic(request: Request, secret: Secret, receiver: Receiver) -> JSONResponse:
    """Receive an incident with the fields of the trigger form: a title, and an ``id`` if it may be sent again."""
    return await receiver.receive(request, secret, dict)


# --- health -----------------------------------------------------------------------------------------


class Check(BaseModel):
    """One thing that the webhook needs."""

    name: str
    ok: bool
    problem: str | None = None


class Health(BaseModel):
    """Whether alerts can be accepted."""

    ok: Annotated[bool, Field(description="Whether all checks pass.")]
    checks: list[Check]
    refused: Annotated[
        dict[int, int], Field(description="Requests that this process refused, by HTTP status.")
    ] = {}
    unreadable: Annotated[
        int, Field(description="Alerts and reports that became no incident and that nobody has dismissed.")
    ] = 0


@health_router.get(
    "/health",
    response_model=Health,
    responses={503: {"model": Health, "description": "Alerts cannot be accepted now, or not handled completely."}},
    summary="Report whether alerts can be accepted",
    # Without the secret, the response has fewer details.
    openapi_extra={"security": [{}]},
)
def health(receiver: Receiver, request: Request, response: Response, secret: Secret) -> Health:
    """Check the connection, the routing table, the registry in the database, and the DAGs.

    What is wrong in detail is for requests with the webhook's secret, and for those from the same host: it may
    quote the routing table.
    """
    unreadable: list[int] = []
    with create_session(scoped=False) as session:
        checks = [
            _check(f"connection {DEFAULT_WEBHOOK_CONN_ID}", receiver.authentication.credentials),
            _check("routing table", receiver.routing.require_valid),
            _check("registry", lambda: unreadable.append(len(opened(session).rejections().items))),
            *(
                _check(f"DAG {dag_id}", partial(receiver.runs.ready_dag, session, dag_id))
                for dag_id in _dag_ids(receiver)
            ),
        ]
    ok = all(check.ok for check in checks)
    if not ok and not _may_see_details(receiver, request, secret):
        checks = [check if check.ok else check.model_copy(update={"problem": _NO_DETAILS}) for check in checks]
    response.status_code = 200 if ok else 503
    return Health(ok=ok, checks=checks, refused=dict(receiver.refused), unreadable=sum(unreadable))


_NO_DETAILS = f"Send the webhook's secret in the header {SECRET_HEADER} to see what is wrong."


def _may_see_details(receiver: AlertReceiver, request: Request, secret: str | None) -> bool:
    address = request.client.host if request.client is not None else ""
    with suppress(ValueError):
        if ip_address(address).is_loopback:
            return True
    try:
        receiver.authentication.admit(secret, address)
    except RequestError:
        return False
    return True


def _dag_ids(receiver: AlertReceiver) -> list[str]:
    """Return the DAGs whose runs an alert may start."""
    named = receiver.routing.table().dag_ids
    return list(dict.fromkeys((DagId.INCIDENT_RESPONSE, DagId.INCIDENT_UPDATE, *named)))


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
