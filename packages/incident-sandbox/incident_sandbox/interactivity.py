"""Interactivity: buttons, slash commands and modals become signed requests to an app, as Slack sends them.

Slack expects a response within three seconds, signs the raw body, hands out a ``trigger_id`` that expires after
three seconds and a ``response_url`` that accepts five messages in half an hour. It does not repeat interactions.
Sources: https://docs.slack.dev/interactivity/handling-user-interaction,
https://docs.slack.dev/interactivity/implementing-slash-commands, https://docs.slack.dev/surfaces/modals,
https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx

if TYPE_CHECKING:
    from incident_sandbox.entities import Channel, Message, Person
    from incident_sandbox.workspace import Workspace

RESPONSE_SECONDS = 3.0
TRIGGER_SECONDS = 3.0
RESPONSE_URL_SECONDS = 30 * 60
RESPONSE_URL_USES = 5
APP_ID = "A0WARROOM1"
SIGNING_SECRET = "sandbox-signing-secret"  # noqa: S105 - signs nothing but this sandbox's requests
FORM = "application/x-www-form-urlencoded"

Json = dict[str, Any]


class InteractionError(Exception):
    """The page asked for an interaction that the workspace does not offer."""


class Delivery(StrEnum):
    """The result that Slack's client shows to the user."""

    OK = "ok"
    NOT_CONFIGURED = "not_configured"
    """No request URL: the app receives nothing, the user sees a warning."""
    TIMED_OUT = "operation_timeout"
    FAILED = "http_error"


@dataclass(frozen=True)
class Sent:
    """One request to the app and its response.

    :param duration_ms: milliseconds until the response, or until Slack stopped waiting.
    """

    delivery: Delivery
    status: int | None = None
    body: str = ""
    duration_ms: float = 0.0
    kind: str = ""


@dataclass
class View:
    """An open modal."""

    id: str
    user_id: str
    view: Json
    opened_at: float
    hash: str


@dataclass
class Trigger:
    """A trigger id: it opens one modal, within three seconds."""

    user_id: str
    expires_at: float
    exchanged: bool = False


@dataclass
class ResponseUrl:
    """A response URL with its remaining uses."""

    channel_id: str
    user_id: str
    expires_at: float
    message_ts: str | None = None
    uses: int = RESPONSE_URL_USES


@dataclass
class Interactivity:
    """The app's interactivity settings, and what is pending.

    :param request_url: receives ``block_actions`` and ``view_submission``.
    :param command_url: receives the slash command.
    :param response_seconds: how long Slack waits; tests on a busy machine wait longer.
    """

    request_url: str | None = None
    command_url: str | None = None
    signing_secret: str = SIGNING_SECRET
    response_seconds: float = RESPONSE_SECONDS
    triggers: dict[str, Trigger] = field(default_factory=dict)
    views: dict[str, View] = field(default_factory=dict)
    response_urls: dict[str, ResponseUrl] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)


def sign(secret: str, body: bytes, *, timestamp: int | None = None) -> dict[str, str]:
    """Return the headers of a signed request.

    :param timestamp: seconds since the epoch; now by default.
    """
    at = str(int(time.time()) if timestamp is None else timestamp)
    digest = hmac.new(secret.encode(), b"v0:" + at.encode() + b":" + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={digest}", "Content-Type": FORM}


async def deliver(settings: Interactivity, url: str | None, form: Mapping[str, str], *, kind: str) -> Sent:
    """Send one signed form and wait for the response as long as Slack does."""
    if not url:
        sent = Sent(Delivery.NOT_CONFIGURED, kind=kind)
        settings.sent.append(sent)
        return sent
    body = urlencode(form).encode()
    began = time.monotonic()
    try:
        async with httpx.AsyncClient(timeout=settings.response_seconds) as client:
            response = await client.post(url, content=body, headers=sign(settings.signing_secret, body))
        delivery = Delivery.OK if response.is_success else Delivery.FAILED
        sent = Sent(delivery, response.status_code, response.text, _elapsed_ms(began), kind)
    except httpx.TimeoutException:
        sent = Sent(Delivery.TIMED_OUT, duration_ms=_elapsed_ms(began), kind=kind)
    except httpx.HTTPError as error:
        sent = Sent(Delivery.FAILED, body=type(error).__name__, duration_ms=_elapsed_ms(began), kind=kind)
    settings.sent.append(sent)
    return sent


def _elapsed_ms(began: float) -> float:
    return (time.monotonic() - began) * 1000


# --- payloads -------------------------------------------------------------------------------------------


class Payloads:
    """Builds the payloads of one server.

    :param root_url: the server's address, for response URLs.
    :param shape: renders a message as Slack's API does.
    """

    def __init__(
        self, workspace: Workspace, root_url: str, shape: Callable[[Workspace, Channel, Message], Json]
    ) -> None:
        self._workspace = workspace
        self._root_url = root_url
        self._shape = shape

    def block_action(self, channel: Channel, message: Message, user: Person, action: Json) -> Json:
        """Return the payload of a used button or menu.

        :param action: ``action_id``, ``block_id``, and the chosen ``option`` of a menu.
        :raises InteractionError: the message has no such element, or the user cannot see it.
        """
        if user.id not in channel.members:
            raise InteractionError(f"{user.id} is not in #{channel.name}")
        block_id, element = _find_element(message, str(action["action_id"]), action.get("block_id"))
        used: Json = {
            "type": element["type"],
            "action_id": element.get("action_id", ""),
            "block_id": block_id,
            "action_ts": f"{self._workspace.clock():.6f}",
        }
        if element["type"] == "button":
            used |= {"text": element["text"], "value": element.get("value", "")}
        else:
            used["selected_option"] = _option(element, action.get("option"))
        container = {"type": "message", "message_ts": message.ts, "channel_id": channel.id, "is_ephemeral": False}
        if message.thread_ts:
            container["thread_ts"] = message.thread_ts
        return {
            "type": "block_actions",
            **self._context(user),
            "container": container,
            "channel": {"id": channel.id, "name": channel.name},
            "message": self._shape(self._workspace, channel, message),
            "state": {"values": {}},
            "response_url": self._response_url(channel, user, message.ts),
            "actions": [used],
        }

    def command(self, channel: Channel, user: Person, command: str, text: str) -> dict[str, str]:
        """Return the form of a slash command."""
        context = self._context(user)
        return {
            "token": "legacy-token-of-no-use",
            "team_id": self._workspace.team_id,
            "team_domain": self._workspace.domain,
            "channel_id": channel.id,
            "channel_name": channel.name,
            "user_id": user.id,
            "user_name": user.username,
            "command": command,
            "text": text,
            "api_app_id": APP_ID,
            "is_enterprise_install": "false",
            "response_url": self._response_url(channel, user, None),
            "trigger_id": context["trigger_id"],
        }

    def submission(self, view: View, user: Person, values: Mapping[str, str]) -> Json:
        """Return the payload of a submitted modal.

        :param values: the typed or chosen value of each ``block_id``.
        """
        return {
            "type": "view_submission",
            **self._context(user),
            "view": {**view_object(self._workspace, view), "state": {"values": _state(view.view, values)}},
            "response_urls": [],
        }

    def _context(self, user: Person) -> Json:
        workspace = self._workspace
        return {
            "user": {"id": user.id, "username": user.username, "name": user.username, "team_id": user.team_id},
            "api_app_id": APP_ID,
            "token": "legacy-token-of-no-use",
            "trigger_id": new_trigger(workspace, user.id),
            "team": {"id": workspace.team_id, "domain": workspace.domain},
            "enterprise": None,
            "is_enterprise_install": False,
        }

    def _response_url(self, channel: Channel, user: Person, message_ts: str | None) -> str:
        token = secrets.token_hex(12)
        self._workspace.interactivity.response_urls[token] = ResponseUrl(
            channel_id=channel.id,
            user_id=user.id,
            expires_at=self._workspace.clock() + RESPONSE_URL_SECONDS,
            message_ts=message_ts,
        )
        return f"{self._root_url}/actions/{self._workspace.team_id}/{token}"


def new_trigger(workspace: Workspace, user_id: str) -> str:
    """Return a trigger id that opens one modal for this user."""
    trigger_id = f"{workspace.now()}.{len(workspace.interactivity.triggers)}.{secrets.token_hex(16)}"
    workspace.interactivity.triggers[trigger_id] = Trigger(user_id, workspace.clock() + TRIGGER_SECONDS)
    return trigger_id


def view_object(workspace: Workspace, view: View) -> Json:
    """Return a view as ``views.open`` and ``view_submission`` show it."""
    return {
        "id": view.id,
        "team_id": workspace.team_id,
        "app_id": APP_ID,
        "root_view_id": view.id,
        "previous_view_id": None,
        "hash": view.hash,
        "private_metadata": "",
        "callback_id": "",
        "external_id": "",
        "state": {"values": {}},
        **deepcopy(view.view),
    }


def _find_element(message: Message, action_id: str, block_id: str | None) -> tuple[str, Json]:
    for index, block in enumerate(message.blocks or []):
        own_id = str(block.get("block_id") or f"b{index}")
        elements = [*block.get("elements", ()), *([block["accessory"]] if "accessory" in block else ())]
        for element in elements:
            if element.get("action_id") == action_id and block_id in (None, own_id):
                return own_id, element
    raise InteractionError(f"the message has no element {action_id}")


def _option(element: Json, value: object) -> Json:
    chosen = next((option for option in element.get("options", ()) if option.get("value") == value), None)
    if chosen is None:
        raise InteractionError(f"{element.get('action_id')} has no option {value}")
    return dict(chosen)


def _state(view: Json, values: Mapping[str, str]) -> Json:
    state: Json = {}
    for block in view.get("blocks", ()):
        if block.get("type") != "input":
            continue
        element, given = block["element"], values.get(block["block_id"])
        filled: Json = {"type": element["type"]}
        if element["type"] == "plain_text_input":
            filled["value"] = given or None
        else:
            filled["selected_option"] = _option(element, given) if given else None
        state[block["block_id"]] = {element["action_id"]: filled}
    return state


def parse_ack(sent: Sent) -> Json:
    """Return the JSON object with which the app acknowledged, or an empty one."""
    try:
        body = json.loads(sent.body) if sent.body.strip() else {}
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
