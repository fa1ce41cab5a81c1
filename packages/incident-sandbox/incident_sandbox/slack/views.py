"""Modals: ``views.open`` and ``views.update``."""

from __future__ import annotations

import json
import secrets
from typing import Any

from incident_sandbox.interactivity import View, view_object
from incident_sandbox.slack import block_kit
from incident_sandbox.slack.call import Answer, Call, handles
from incident_sandbox.slack.errors import SlackError, explained

MAX_VIEW_BYTES = 250_000


@handles("views.open")
def open_view(call: Call) -> Answer:
    """Open a modal for the user of a trigger id; a trigger id works once, within three seconds."""
    view = _read_view(call)
    interactivity = call.workspace.interactivity
    trigger = interactivity.triggers.get(call.args.text("trigger_id"))
    if trigger is None:
        raise SlackError("invalid_trigger_id")
    if trigger.expires_at < call.workspace.clock():
        raise SlackError("expired_trigger_id")
    if trigger.exchanged:
        raise SlackError("exchanged_trigger_id")
    trigger.exchanged = True
    opened = View(
        id=call.workspace.new_id("V"),
        user_id=trigger.user_id,
        view=view,
        opened_at=call.workspace.clock(),
        hash=secrets.token_hex(8),
    )
    interactivity.views[opened.id] = opened
    call.workspace.touch()
    return {"view": view_object(call.workspace, opened)}


@handles("views.update")
def update_view(call: Call) -> Answer:
    """Replace the content of an open modal."""
    view = _read_view(call)
    opened = call.workspace.interactivity.views.get(call.args.text("view_id"))
    if opened is None:
        raise SlackError("not_found")
    if "hash" in call.args and call.args.text("hash") != opened.hash:
        raise SlackError("hash_conflict")
    opened.view, opened.hash = view, secrets.token_hex(8)
    call.workspace.touch()
    return {"view": view_object(call.workspace, opened)}


def _read_view(call: Call) -> dict[str, Any]:
    view = call.args.structure("view", error="invalid_arguments")
    if not isinstance(view, dict):
        raise explained("invalid_arguments", "must be a valid view [json-pointer:/view]")
    if len(json.dumps(view)) > MAX_VIEW_BYTES:
        raise SlackError("view_too_large")
    found = block_kit.view_complaints(view)
    if found:
        raise explained("invalid_arguments", *found)
    return view
