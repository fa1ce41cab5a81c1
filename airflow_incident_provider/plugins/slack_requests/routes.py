"""The endpoints that Slack calls: interactivity (buttons, menus, forms) and the slash command."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.interaction.requests import SlackRequest, read_command, read_interaction
from airflow_incident_provider.messages.controls import refusal
from airflow_incident_provider.messages.mrkdwn import escape
from airflow_incident_provider.plugins.api.errors import ErrorResponse, RequestError
from airflow_incident_provider.plugins.slack_requests.receiver import Reply
from airflow_incident_provider.plugins.slack_requests.service import SlackService
from airflow_incident_provider.plugins.slack_requests.verification import SlackApp, require_own
from airflow_incident_provider.plugins.webhook.body import read_body

FORM = "application/x-www-form-urlencoded"
MAX_FIELDS = 50
_Source = TypeVar("_Source")

router = APIRouter(prefix="/slack", tags=["slack"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "The payload cannot be read."},
    401: {"model": ErrorResponse, "description": "Not signed by Slack for this app, or older than five minutes."},
    403: {"model": ErrorResponse, "description": "For another app or from another workspace."},
    413: {"model": ErrorResponse, "description": "The body is too large."},
    415: {"model": ErrorResponse, "description": "The body is no form."},
    503: {"model": ErrorResponse, "description": "The signing secret cannot be read."},
}


def _form(*fields: str) -> dict[str, Any]:
    """Return the part of the OpenAPI document about a form: the route reads the raw, signed body itself."""
    schema = {
        "type": "object",
        "required": list(fields[:1]),
        "properties": {name: {"type": "string"} for name in fields},
    }
    return {"requestBody": {"required": True, "content": {FORM: {"schema": schema}}}}


def _service(request: Request) -> SlackService:
    service = request.app.state.slack
    assert isinstance(service, SlackService)
    return service


Service = Annotated[SlackService, Depends(_service)]


@router.post(
    "/actions",
    responses=_RESPONSES,
    openapi_extra=_form("payload"),
    summary="Receive a used button or menu, or a submitted form",
)
async def receive_interaction(request: Request, service: Service) -> Response:
    """Receive Slack's interactivity requests."""
    admitted = await _admit(request, service)
    payload = _payload(admitted.fields)
    reply = await _receive(service, admitted, read_interaction, payload)
    if reply.text and reply.in_form and payload.get("type") == "view_submission":
        return JSONResponse(refusal(payload.get("view"), reply.text))
    service.reply_later(payload, reply.text)
    return Response(status_code=200)


@router.post(
    "/commands",
    responses=_RESPONSES,
    openapi_extra=_form(
        "command", "text", "user_id", "user_name", "channel_id", "trigger_id", "team_id", "api_app_id"
    ),
    summary="Receive the command /incident",
)
async def receive_command(request: Request, service: Service) -> Response:
    """Receive Slack's slash command."""
    admitted = await _admit(request, service)
    reply = await _receive(service, admitted, read_command, admitted.fields)
    if not reply.text:
        return Response(status_code=200)
    return JSONResponse({"response_type": "ephemeral", "text": escape(reply.text)})


@dataclass(frozen=True)
class _Admitted:
    """A signed request: its form, the app it is for, and when it came, in seconds that never go back."""

    fields: dict[str, str]
    app: SlackApp
    began: float


async def _admit(request: Request, service: SlackService) -> _Admitted:
    """Read the raw body, check its signature, then decode the form: in this order."""
    began = time.monotonic()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != FORM:
        raise RequestError(415, "The body must be a form.", fix=f"Send the header Content-Type: {FORM}.")
    body = await read_body(request)
    app = await service.admit(body, dict(request.headers))
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise RequestError(400, "The body is no form of UTF-8 text.") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise RequestError(400, "The form has a field twice.")
    return _Admitted(fields, app, began)


async def _receive(
    service: SlackService, admitted: _Admitted, read: Callable[[_Source], SlackRequest], source: _Source
) -> Reply:
    """Read a request and act on it."""
    try:
        parsed = read(source)
    except InvalidPayloadError as error:
        return Reply(f"{error.message} {error.fix or ''}".strip(), in_form=True)
    require_own(admitted.app, parsed)
    return await service.receiver.receive(parsed, waited=time.monotonic() - admitted.began)


def _payload(fields: Mapping[str, str]) -> dict[str, Any]:
    try:
        payload = json.loads(fields.get("payload", ""))
    except (ValueError, RecursionError):
        raise RequestError(400, "payload: a JSON object is required.") from None
    if not isinstance(payload, dict):
        raise RequestError(400, "payload: a JSON object is required.")
    return payload
