"""The endpoints that Slack calls: interactivity (buttons, menus, forms) and the slash command."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.interaction.requests import SlackRequest, read_command, read_interaction
from airflow_incident_provider.messages.controls import VALUE_BLOCK
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
    began = time.monotonic()
    fields, app = await _admit(request, service)
    payload = _payload(fields)
    parsed = _parse(read_interaction, payload)
    if isinstance(parsed, Reply):
        return _interaction_response(service, payload, parsed)
    require_own(app, parsed)
    reply = await service.receiver.receive(parsed, waited=time.monotonic() - began)
    return _interaction_response(service, payload, reply)


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
    began = time.monotonic()
    fields, app = await _admit(request, service)
    parsed = _parse(read_command, fields)
    if isinstance(parsed, Reply):
        return _ephemeral(parsed.text)
    require_own(app, parsed)
    reply = await service.receiver.receive(parsed, waited=time.monotonic() - began)
    return _ephemeral(reply.text)


async def _admit(request: Request, service: SlackService) -> tuple[dict[str, str], SlackApp]:
    """Read the raw body, check its signature, then decode the form: in this order."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != FORM:
        raise RequestError(415, "The body must be a form.", fix=f"Send the header Content-Type: {FORM}.")
    body = await read_body(request)
    app = await service.admit(body, dict(request.headers))
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise RequestError(400, "The body is no form of UTF-8 text.") from None
    return dict(pairs), app


def _payload(fields: Mapping[str, str]) -> dict[str, Any]:
    try:
        payload = json.loads(fields.get("payload", ""))
    except (ValueError, RecursionError):
        raise RequestError(400, "payload: a JSON object is required.") from None
    if not isinstance(payload, dict):
        raise RequestError(400, "payload: a JSON object is required.")
    return payload


def _parse(read: Callable[[_Source], SlackRequest], source: _Source) -> SlackRequest | Reply:
    try:
        return read(source)
    except InvalidPayloadError as error:
        return Reply(f"{error.message} {error.fix or ''}".strip(), in_form=True)


def _interaction_response(service: SlackService, payload: Mapping[str, Any], reply: Reply) -> Response:
    """Return the acknowledgement; a text for the person goes into the form, or to the response URL."""
    if payload.get("type") == "view_submission" and reply.in_form and reply.text:
        return JSONResponse({"response_action": "errors", "errors": {VALUE_BLOCK: reply.text}})
    service.reply_later(payload, reply.text)
    return Response(status_code=200)


def _ephemeral(text: str) -> Response:
    return JSONResponse({"response_type": "ephemeral", "text": text}) if text else Response(status_code=200)
