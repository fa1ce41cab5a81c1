"""The endpoints that take alerts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader

from airflow_incident_provider.config import DEFAULT_WEBHOOK_CONN_ID
from airflow_incident_provider.intake.datadog.payload import DatadogPayload
from airflow_incident_provider.intake.manual import trigger_form
from airflow_incident_provider.plugins.webhook.answers import ALERT_RESPONSES, Decided
from airflow_incident_provider.plugins.webhook.authentication import SECRET_HEADER
from airflow_incident_provider.plugins.webhook.reception import Reception

_secret = APIKeyHeader(
    name=SECRET_HEADER,
    scheme_name="Secret",
    description=f"The password of the Airflow connection {DEFAULT_WEBHOOK_CONN_ID}, or its previous one.",
    auto_error=False,
)
Secret = Annotated[str | None, Security(_secret)]

router = APIRouter(prefix="/webhook", tags=["webhook"])


def _reception(request: Request) -> Reception:
    reception = request.app.state.reception
    assert isinstance(reception, Reception)
    return reception


def _body(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says of a body that we read ourselves: FastAPI would read it before any check."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _datadog_schema() -> dict[str, Any]:
    schema = DatadogPayload.model_json_schema()
    definitions = schema.pop("$defs", {})
    # OpenAPI has no place for definitions of one schema: each stands where it is used.
    schema["properties"] |= {
        name: {**definitions[name.capitalize() + "Section"], "default": {}} for name in ("alert", "incident")
    }
    return schema


def _generic_schema() -> dict[str, Any]:
    described = ("type", "description", "enum", "format")
    fields = {name: {k: field[k] for k in described if k in field} for name, field in trigger_form().items()}
    return {"type": "object", "properties": fields}


@router.post(
    "/datadog",
    status_code=202,
    responses=ALERT_RESPONSES,
    response_model=Decided,
    openapi_extra=_body(_datadog_schema()),
    summary="Take what Datadog's webhook sends",
)
async def take_datadog(
    request: Request, secret: Secret, reception: Annotated[Reception, Depends(_reception)]
) -> JSONResponse:
    """Take a notification, written by the payload template that ``airflow incident setup datadog`` prints."""
    return await reception.take(request, secret, lambda body: {"datadog": body})


@router.post(
    "/generic",
    status_code=202,
    responses=ALERT_RESPONSES,
    response_model=Decided,
    openapi_extra=_body(_generic_schema()),
    summary="Take an incident in the sender's own words",
)
async def take_generic(
    request: Request, secret: Secret, reception: Annotated[Reception, Depends(_reception)]
) -> JSONResponse:
    """Take an incident with the fields of the trigger form: a title, and an ``id`` if it may be sent again."""
    return await reception.take(request, secret, dict)
