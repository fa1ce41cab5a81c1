"""
Slack's requests as typed values: a used button or menu, a submitted form, a slash command.

Everything in a payload but its signature is checked here; what does not fit is an
:class:`~airflow_incident_provider.exceptions.InvalidPayloadError`. Sources:
https://docs.slack.dev/reference/interaction-payloads, https://docs.slack.dev/interactivity/implementing-slash-commands
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.interaction.commands import ParsedCommand, parse_command, parse_minutes
from airflow_incident_provider.lifecycle.coordination import ActionKind, Person
from airflow_incident_provider.messages.controls import (
    ACTION_PREFIX,
    CONTROLS_BLOCK,
    FEEDBACK_NOT_USEFUL,
    FEEDBACK_USEFUL,
    FORMS,
    INPUT_ACTION_ID,
    MENU_ACTION_ID,
    NEXT_BLOCK,
    VALUE_BLOCK,
    FormContext,
)
from airflow_incident_provider.text import digest_of, one_line, shorten

MAX_TEXT = 4_000
_ID = re.compile(r"[A-Z][A-Z0-9]{1,30}")
_HALF = re.compile(r"[\ud800-\udfff]")
_BUTTON_FORMS = frozenset({ActionKind.UPDATE, ActionKind.RESOLVE})


@dataclass(frozen=True, kw_only=True)
class SlackRequest:
    """One request of one person.

    Exactly one of ``command``, ``form`` and ``wants_help`` says what is wanted: an action, a form to open first, or
    the list of commands.

    :param id: identifies the request; a replay has the same.
    :param team_id: the workspace; ``None`` if the app is installed in a whole Enterprise Grid organisation.
    :param key: the incident; ``None`` for a command: then it is the one whose room ``channel_id`` is.
    """

    id: str
    team_id: str | None
    app_id: str
    person: Person
    channel_id: str
    trigger_id: str | None
    response_url: str | None
    key: str | None = None
    command: ParsedCommand | None = None
    form: ActionKind | None = None
    wants_help: bool = False


def read_command(fields: Mapping[str, str]) -> SlackRequest:
    """Read a slash command.

    :param fields: the decoded form.
    :raises InvalidPayloadError: a field is missing or malformed, or there is no such command.
    """
    parsed = parse_command(shorten(fields.get("text", ""), MAX_TEXT))
    form = parsed.kind if parsed is not None and _needs_form(parsed) else None
    return SlackRequest(
        id=digest_of(["command", _required(fields, "trigger_id")], 24),
        team_id=None if fields.get("is_enterprise_install") == "true" else _identifier(fields, "team_id"),
        app_id=_identifier(fields, "api_app_id"),
        person=Person(name=one_line(fields.get("user_name", ""))[:80], slack_id=_identifier(fields, "user_id")),
        channel_id=_identifier(fields, "channel_id"),
        trigger_id=fields.get("trigger_id"),
        response_url=fields.get("response_url"),
        command=None if form else parsed,
        form=form,
        wants_help=parsed is None,
    )


def _needs_form(parsed: ParsedCommand) -> bool:
    return parsed.kind in (ActionKind.UPDATE, ActionKind.ITEM) and not parsed.arguments.get("text")


def read_interaction(payload: Mapping[str, Any]) -> SlackRequest:
    """Read the payload of a used element or a submitted form.

    :raises InvalidPayloadError: a field is missing or malformed, or the element is none of ours.
    """
    match payload.get("type"):
        case "block_actions":
            return _read_block_action(payload)
        case "view_submission":
            return _read_submission(payload)
        case other:
            raise InvalidPayloadError(f"type: {str(other)[:40]!r} is not handled.", fix="Use a button or a form.")


def _read_block_action(payload: Mapping[str, Any]) -> SlackRequest:
    actions = payload.get("actions")
    action = actions[0] if isinstance(actions, list) and actions else None
    if not isinstance(action, Mapping):
        raise InvalidPayloadError("actions: the first entry must be an object.")
    key, command, form = _meaning(action)
    return SlackRequest(
        id=digest_of(["action", _required(payload, "trigger_id")], 24),
        **_sender(payload),
        channel_id=_identifier(_object(payload, "channel"), "id"),
        response_url=_optional_text(payload, "response_url"),
        key=_key(key),
        command=command,
        form=form,
    )


def _meaning(action: Mapping[str, Any]) -> tuple[str, ParsedCommand | None, ActionKind | None]:
    action_id = str(action.get("action_id", ""))
    if action_id == MENU_ACTION_ID:
        key = _required(action, "block_id").removeprefix(CONTROLS_BLOCK)
        kind = _kind(_required(_object(action, "selected_option"), "value"))
        return (key, None, kind) if kind in FORMS else (key, ParsedCommand(kind, {}), None)
    value = _required(action, "value")
    if action_id in (FEEDBACK_USEFUL, FEEDBACK_NOT_USEFUL):
        key, finding = _pair(value)
        useful = action_id == FEEDBACK_USEFUL
        return key, ParsedCommand(ActionKind.FEEDBACK, {"finding": finding, "useful": useful}), None
    kind = _kind(action_id.removeprefix(ACTION_PREFIX).partition(".")[0])
    if kind is ActionKind.INVITE:
        key, person = _pair(value)
        return key, ParsedCommand(kind, {"names": (person,)}), None
    if kind in _BUTTON_FORMS:
        return value, None, kind
    return value, ParsedCommand(kind, {}), None


def _read_submission(payload: Mapping[str, Any]) -> SlackRequest:
    view = _object(payload, "view")
    try:
        context = FormContext.model_validate_json(str(view.get("private_metadata", "")))
    except ValidationError:
        raise InvalidPayloadError("view.private_metadata: not written by this app.") from None
    values = _object(_object(view, "state"), "values")
    return SlackRequest(
        id=digest_of(["view", _required(view, "id")], 24),
        **_sender(payload),
        channel_id=context.channel_id,
        response_url=None,
        key=_key(context.key),
        command=_submitted(context.kind, _typed(values, VALUE_BLOCK), _typed(values, NEXT_BLOCK)),
    )


def _submitted(kind: ActionKind, value: str, next_minutes: str) -> ParsedCommand:
    match kind:
        case ActionKind.UPDATE:
            minutes = {"minutes": parse_minutes(next_minutes)} if next_minutes else {}
            return ParsedCommand(kind, {"text": value, **minutes})
        case ActionKind.ITEM:
            return ParsedCommand(kind, {"text": value})
        case ActionKind.RESOLVE:
            return ParsedCommand(kind, {})
        case _:
            parsed = parse_command(f"{kind} {value}")
            assert parsed is not None  # the text begins with a command
            return parsed


# --- fields -------------------------------------------------------------------------------------------


def _sender(payload: Mapping[str, Any]) -> dict[str, Any]:
    user = _object(payload, "user")
    name = user.get("username") or user.get("name") or ""
    return {
        "team_id": None if payload.get("is_enterprise_install") is True else _team(payload),
        "app_id": _identifier(payload, "api_app_id"),
        "person": Person(name=one_line(str(name))[:80], slack_id=_identifier(user, "id")),
        "trigger_id": _optional_text(payload, "trigger_id"),
    }


def _team(payload: Mapping[str, Any]) -> str | None:
    """Return the workspace; Slack sends ``null`` if the app is installed in an organisation."""
    if payload.get("team") is None and isinstance(payload.get("enterprise"), Mapping):
        return None
    return _identifier(_object(payload, "team"), "id")


def _kind(word: str) -> ActionKind:
    try:
        return ActionKind(word)
    except ValueError:
        raise InvalidPayloadError(f"action_id: {word[:40]!r} is no action of this app.") from None


def _key(value: str) -> str:
    """Return the key of an incident, if it can be one: the database refuses NUL and half characters."""
    if not value or "\0" in value or _HALF.search(value):
        raise InvalidPayloadError("value: not written by this app.")
    return value


def _pair(value: str) -> tuple[str, str]:
    try:
        first, second = json.loads(value)
    except (ValueError, TypeError, RecursionError):
        raise InvalidPayloadError("value: not written by this app.") from None
    return str(first), str(second)


def _typed(values: Mapping[str, Any], block: str) -> str:
    filled = values.get(block)
    element = filled.get(INPUT_ACTION_ID) if isinstance(filled, Mapping) else None
    if not isinstance(element, Mapping):
        return ""
    selected = element.get("selected_option")
    value = selected.get("value") if isinstance(selected, Mapping) else element.get("value")
    return shorten(str(value), MAX_TEXT) if value else ""


def _object(source: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = source.get(name)
    if not isinstance(value, Mapping):
        raise InvalidPayloadError(f"{name}: an object is required.")
    return value


def _required(source: Mapping[str, Any], name: str) -> str:
    value = source.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidPayloadError(f"{name}: a text is required.")
    return value


def _identifier(source: Mapping[str, Any], name: str) -> str:
    value = _required(source, name)
    if not _ID.fullmatch(value):
        raise InvalidPayloadError(f"{name}: {value[:40]!r} is no Slack id.")
    return value


def _optional_text(source: Mapping[str, Any], name: str) -> str | None:
    value = source.get(name)
    return value if isinstance(value, str) and value else None
