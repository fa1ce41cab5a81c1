"""The page's side of interactivity: use a button, run a command, submit or close a modal, answer a response URL."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict

from incident_sandbox.entities import Channel, Ephemeral, Message, Person
from incident_sandbox.interactivity import (
    Delivery,
    InteractionError,
    Payloads,
    ResponseUrl,
    Sent,
    View,
    deliver,
    parse_ack,
    view_object,
)
from incident_sandbox.seed import BOT_ID, BOT_USER
from incident_sandbox.slack import shapes
from incident_sandbox.socket_mode import EnvelopeType
from incident_sandbox.workspace import Workspace

_EXPIRED = "expired_url"
_USED = "used_url"


class InteractionRequest(BaseModel):
    """A request of the page; unknown members are refused."""

    model_config = ConfigDict(extra="forbid")

    user_id: str


class UsedElement(InteractionRequest):
    """A button or menu that the user used."""

    channel_id: str
    ts: str
    action_id: str
    block_id: str | None = None
    option: str | None = None


class TypedCommand(InteractionRequest):
    """A slash command that the user sent."""

    channel_id: str
    command: str
    text: str = ""


class SubmittedView(InteractionRequest):
    """A modal that the user submitted, with the value of each ``block_id``."""

    values: dict[str, str] = {}


class RequestUrls(BaseModel):
    """The app's interactivity settings; what is not given stays as it is."""

    model_config = ConfigDict(extra="forbid")

    request_url: str | None = None
    command_url: str | None = None
    signing_secret: str | None = None


def interaction_router(workspace: Workspace) -> APIRouter:
    """Return the routes of the page, and the response URLs."""
    router = APIRouter(include_in_schema=False)
    _add_settings(router, workspace)
    _add_page_routes(router, workspace)
    _add_response_urls(router, workspace)
    return router


def _add_settings(router: APIRouter, workspace: Workspace) -> None:
    @router.put("/sandbox/interactivity")
    def put_urls(urls: RequestUrls) -> dict[str, Any]:
        with workspace.lock:
            for name, value in urls.model_dump(exclude_none=True).items():
                setattr(workspace.interactivity, name, value)
            workspace.touch()
        return _settings(workspace)

    @router.get("/sandbox/interactivity")
    def get_urls() -> dict[str, Any]:
        return _settings(workspace)

    @router.get("/sandbox/views")
    def get_views(user_id: str) -> list[dict[str, Any]]:
        with workspace.lock:
            return [
                view_object(workspace, view)
                for view in workspace.interactivity.views.values()
                if view.user_id == user_id
            ]


def _settings(workspace: Workspace) -> dict[str, Any]:
    interactivity = workspace.interactivity
    return {
        "request_url": interactivity.request_url,
        "command_url": interactivity.command_url,
        "sent": [asdict(sent) for sent in interactivity.sent],
    }


def _add_page_routes(router: APIRouter, workspace: Workspace) -> None:
    @router.post("/sandbox/actions")
    async def use_element(used: UsedElement, request: Request) -> dict[str, Any]:
        with workspace.lock:
            channel, user = _channel(workspace, used.channel_id), _user(workspace, used.user_id)
            message = channel.messages.get(used.ts)
            if message is None:
                raise HTTPException(404, f"no message {used.ts}")
            try:
                payload = _payloads(workspace, request).block_action(channel, message, user, used.model_dump())
            except InteractionError as error:
                raise HTTPException(409, str(error)) from None
        return _outcome(await _send_interaction(workspace, payload))

    @router.post("/sandbox/commands")
    async def run_command(typed: TypedCommand, request: Request) -> dict[str, Any]:
        with workspace.lock:
            channel, user = _channel(workspace, typed.channel_id), _user(workspace, typed.user_id)
            form = _payloads(workspace, request).command(channel, user, typed.command, typed.text)
        sent = await _send_command(workspace, form)
        if sent.delivery is Delivery.OK:
            with workspace.lock:
                _show_command_response(workspace, channel, user, sent)
        return _outcome(sent)

    @router.post("/sandbox/views/{view_id}/submit")
    async def submit(view_id: str, submitted: SubmittedView, request: Request) -> dict[str, Any]:
        with workspace.lock:
            view, user = _view(workspace, view_id), _user(workspace, submitted.user_id)
            try:
                payload = _payloads(workspace, request).submission(view, user, submitted.values)
            except InteractionError as error:
                raise HTTPException(409, str(error)) from None
        sent = await _send_interaction(workspace, payload)
        return {**_outcome(sent), "errors": _after_submission(workspace, view, sent)}

    @router.post("/sandbox/views/{view_id}/close", status_code=204)
    def close(view_id: str) -> None:
        with workspace.lock:
            workspace.interactivity.views.pop(view_id, None)
            workspace.touch()


def _after_submission(workspace: Workspace, view: View, sent: Sent) -> dict[str, str]:
    """Close or update the modal as the app asks; return its validation errors by ``block_id``."""
    if sent.delivery is not Delivery.OK:
        return {}
    ack = parse_ack(sent)
    with workspace.lock:
        match ack.get("response_action"):
            case "errors":
                return {str(name): str(text) for name, text in ack.get("errors", {}).items()}
            case "update":
                view.view = ack["view"]
            case _:
                workspace.interactivity.views.pop(view.id, None)
        workspace.touch()
    return {}


def _show_command_response(workspace: Workspace, channel: Channel, user: Person, sent: Sent) -> None:
    ack = parse_ack(sent)
    if ack.get("response_type") == "in_channel":
        _post(workspace, channel, ack)
    elif ack.get("text") or ack.get("blocks") or (sent.body.strip() and not ack):
        _whisper(workspace, channel, user.id, ack or {"text": sent.body})


def _add_response_urls(router: APIRouter, workspace: Workspace) -> None:
    @router.post("/actions/{team_id}/{token}")
    async def respond(team_id: str, token: str, request: Request) -> Response:
        body = await request.json()
        with workspace.lock:
            target = workspace.interactivity.response_urls.get(token)
            if team_id != workspace.team_id or target is None or target.expires_at < workspace.clock():
                return JSONResponse({"ok": False, "error": _EXPIRED}, status_code=404)
            if target.uses == 0:
                return JSONResponse({"ok": False, "error": _USED}, status_code=404)
            target.uses -= 1
            _apply_response(workspace, target, body)
        return PlainTextResponse("ok")


def _apply_response(workspace: Workspace, target: ResponseUrl, body: dict[str, Any]) -> None:
    channel = workspace.channels[target.channel_id]
    message = channel.messages.get(target.message_ts or "")
    if body.get("replace_original") and message is not None:
        message.text, message.blocks = body.get("text", message.text), body.get("blocks", message.blocks)
        message.edits += 1
        workspace.touch()
    elif body.get("response_type") == "in_channel":
        _post(workspace, channel, body)
    else:
        _whisper(workspace, channel, target.user_id, body)


def _post(workspace: Workspace, channel: Channel, body: dict[str, Any]) -> None:
    workspace.post(
        channel,
        Message(ts="", user=BOT_USER, bot_id=BOT_ID, text=str(body.get("text", "")), blocks=body.get("blocks")),
    )


def _whisper(workspace: Workspace, channel: Channel, user_id: str, body: dict[str, Any]) -> None:
    channel.ephemerals.append(
        Ephemeral(
            ts=workspace.new_ts(),
            user=user_id,
            text=str(body.get("text", "")),
            blocks=body.get("blocks"),
            thread_ts=None,
        )
    )
    workspace.touch()


def _payloads(workspace: Workspace, request: Request) -> Payloads:
    def shape(workspace: Workspace, channel: Channel, message: Message) -> dict[str, Any]:
        return shapes.message(workspace, channel, message, payload=True)

    # The app may know this server by another address than the reader of the page.
    app_sees = workspace.sockets.app_sees if workspace.sockets.open else None
    return Payloads(workspace, app_sees or str(request.base_url).rstrip("/"), shape)


async def _send_interaction(workspace: Workspace, payload: dict[str, Any]) -> Sent:
    """Send an interaction over an open WebSocket, or else to the request URL."""
    interactivity, kind = workspace.interactivity, str(payload["type"])
    if workspace.sockets.open:
        return await _over_socket(workspace, EnvelopeType.INTERACTIVE, payload, kind)
    return await deliver(interactivity, interactivity.request_url, {"payload": json.dumps(payload)}, kind=kind)


async def _send_command(workspace: Workspace, form: dict[str, str]) -> Sent:
    """Send a slash command over an open WebSocket, or else to its URL."""
    if workspace.sockets.open:
        return await _over_socket(workspace, EnvelopeType.SLASH_COMMANDS, form, "command")
    return await deliver(workspace.interactivity, workspace.interactivity.command_url, form, kind="command")


async def _over_socket(workspace: Workspace, kind: EnvelopeType, payload: dict[str, Any], name: str) -> Sent:
    interactivity = workspace.interactivity
    sent = await workspace.sockets.deliver(kind, payload, name=name, seconds=interactivity.response_seconds)
    interactivity.sent.append(sent)
    return sent


def _outcome(sent: Sent) -> dict[str, Any]:
    return {"delivery": sent.delivery, "status": sent.status, "duration_ms": round(sent.duration_ms)}


def _channel(workspace: Workspace, channel_id: str) -> Channel:
    channel = workspace.channels.get(channel_id)
    if channel is None:
        raise HTTPException(404, f"no channel {channel_id}")
    return channel


def _user(workspace: Workspace, user_id: str) -> Person:
    user = workspace.people.get(user_id)
    if user is None:
        raise HTTPException(404, f"no user {user_id}")
    return user


def _view(workspace: Workspace, view_id: str) -> View:
    view = workspace.interactivity.views.get(view_id)
    if view is None:
        raise HTTPException(404, f"no view {view_id}")
    return view
