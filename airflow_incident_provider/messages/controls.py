"""
Buttons, menus and forms: what a person can do from the brief, and the modals that ask for more.

The ``action_id`` of an element names the action and its ``value`` the incident, so a request needs nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_incident_provider.lifecycle.coordination import MAX_UPDATE_TEXT, ActionKind
from airflow_incident_provider.messages.blocks import Block
from airflow_incident_provider.models import Model, Severity
from airflow_incident_provider.text import one_line, shorten

ACTION_PREFIX = "incident."
CONTROLS_BLOCK = "incident:"
"""Prefix of the ``block_id`` of the brief's controls; the incident's key follows."""

MENU_ACTION_ID = f"{ACTION_PREFIX}menu"
FEEDBACK_USEFUL = f"{ACTION_PREFIX}useful"
FEEDBACK_NOT_USEFUL = f"{ACTION_PREFIX}not_useful"
VALUE_BLOCK, NEXT_BLOCK = "value", "next"
INPUT_ACTION_ID = "input"

FORMS = frozenset(
    {
        ActionKind.UPDATE,
        ActionKind.SEVERITY,
        ActionKind.RESOLVE,
        ActionKind.INVITE,
        ActionKind.ITEM,
        ActionKind.LEAD,
    }
)
"""Actions for which a modal can be opened."""

_NEXT_UPDATES = (15, 30, 60, 120)
_LABELS = {
    ActionKind.LEAD: "Hand over command",
    ActionKind.SEVERITY: "Change severity",
    ActionKind.UPDATE: "Post an update",
    ActionKind.CHECK: "Run checks again",
    ActionKind.INVITE: "Invite people or a team",
    ActionKind.RESOLVE: "Resolve",
    ActionKind.REOPEN: "Reopen",
    ActionKind.SNOOZE: "Snooze reminders",
    ActionKind.ITEM: "Add an action item",
}
_TITLE_LIMIT, _BUTTON_LIMIT = 24, 75
_FINDING_LIMIT = 120
_BUTTONS_IN_A_ROW = 5
"""Slack allows 25; more than five wrap on a phone."""

_MAX_INVITE_BUTTONS = 25
"""More would not fit into one message with the text that they belong to."""


class FormContext(Model):
    """What a modal remembers until it is submitted: its ``private_metadata``."""

    key: str
    kind: ActionKind
    channel_id: str


def controls(key: str, *, has_commander: bool, closed: bool) -> Block:
    """Return the buttons of the brief: the next likely action first, everything else in a menu.

    :param key: the incident's key.
    :param closed: whether the incident is resolved: then it can be reopened, and little else.
    """
    if closed:
        elements = [_button(ActionKind.REOPEN, "Reopen", key), _menu([ActionKind.ITEM])]
    else:
        lead = [ActionKind.LEAD] if has_commander else []
        elements = [
            *([] if has_commander else [{**_button(ActionKind.LEAD, "I'll lead", key), "style": "primary"}]),
            _button(ActionKind.UPDATE, "Update", key),
            _button(ActionKind.CHECK, "Check again", key),
            _button(ActionKind.RESOLVE, "Resolve", key),
            _menu([*lead, ActionKind.SEVERITY, ActionKind.INVITE, ActionKind.ITEM, ActionKind.SNOOZE]),
        ]
    return {"type": "actions", "block_id": f"{CONTROLS_BLOCK}{key}", "elements": elements}


def feedback_controls(key: str, finding: str) -> Block:
    """Return the two buttons that rate a finding.

    :param finding: the check and its target; the check is the part before the first space.
    """
    value = json.dumps([key, shorten(one_line(finding), _FINDING_LIMIT)])
    useful = _plain_button("👍 Useful", FEEDBACK_USEFUL, value)
    return {"type": "actions", "elements": [useful, _plain_button("👎 Not useful", FEEDBACK_NOT_USEFUL, value)]}


def invite_controls(key: str, people: Mapping[str, str]) -> list[Block]:
    """Return the buttons that invite suggested people, five in a row; nothing without suggestions.

    A user group may have a hundred members: there are buttons for the first of them.

    :param people: names as shown, by Slack user id. Names are untrusted text.
    """
    invite = f"{ACTION_PREFIX}{ActionKind.INVITE}"
    buttons = [
        _plain_button(f"Invite {one_line(name)}", f"{invite}.{user_id}", json.dumps([key, user_id]))
        for user_id, name in list(people.items())[:_MAX_INVITE_BUTTONS]
    ]
    rows = range(0, len(buttons), _BUTTONS_IN_A_ROW)
    return [{"type": "actions", "elements": buttons[start : start + _BUTTONS_IN_A_ROW]} for start in rows]


def form(
    context: FormContext, *, title: str, failing: Iterable[str] = (), severity: Severity | None = None
) -> Block:
    """Return the modal of an action.

    :param title: the incident's title, shown for orientation; untrusted text.
    :param failing: the checks that fail, shown before an incident is resolved.
    :param severity: the present severity.
    """
    blocks: list[Block] = [_paragraph(shorten(one_line(title), 200))]
    submit = "Save"
    match context.kind:
        case ActionKind.UPDATE:
            blocks += [_text_input("What is new?", multiline=True, limit=MAX_UPDATE_TEXT), _next_update()]
            submit = "Post"
        case ActionKind.SEVERITY:
            blocks.append(_select("Severity", [(value, value.capitalize()) for value in Severity], severity))
        case ActionKind.RESOLVE:
            if lines := [f"• {shorten(one_line(line), 300)}" for line in failing]:
                blocks.append(_paragraph("\n".join(("Still failing at the last check:", *lines))))
            blocks.append(_paragraph("The room is notified, and the checks run again."))
            submit = "Resolve"
        case ActionKind.INVITE:
            blocks.append(_text_input("People and groups", hint="@person, @group or an e-mail address"))
            submit = "Invite"
        case ActionKind.ITEM:
            blocks.append(_text_input("What is to be done afterwards?"))
        case _:
            blocks.append(_text_input("New commander", hint="@person or an e-mail address"))
            submit = "Hand over"
    return {
        "type": "modal",
        "callback_id": f"{ACTION_PREFIX}{context.kind}",
        "private_metadata": context.model_dump_json(),
        "title": _plain(_LABELS[context.kind], _TITLE_LIMIT),
        "submit": _plain(submit, _TITLE_LIMIT),
        "close": _plain("Cancel", _TITLE_LIMIT),
        "blocks": blocks,
    }


def refusal(view: object, text: str) -> Block:
    """Return the answer to a submitted form that changed nothing: below its field, or in its place if it has none.

    :param view: the submitted ``view`` of Slack's payload.
    """
    blocks = view.get("blocks") if isinstance(view, Mapping) else None
    fields = [block.get("block_id") for block in blocks or () if isinstance(block, Mapping)]
    if VALUE_BLOCK in fields:
        return {"response_action": "errors", "errors": {VALUE_BLOCK: text}}
    notice = {
        "type": "modal",
        "title": _plain("Not done", _TITLE_LIMIT),
        "close": _plain("Close", _TITLE_LIMIT),
        "blocks": [_paragraph(text)],
    }
    return {"response_action": "update", "view": notice}


# --- elements -----------------------------------------------------------------------------------------


def _plain(text: str, limit: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": shorten(text, limit), "emoji": True}


def _button(kind: ActionKind, text: str, key: str) -> Block:
    return _plain_button(text, f"{ACTION_PREFIX}{kind}", key)


def _plain_button(text: str, action_id: str, value: str) -> Block:
    return {"type": "button", "text": _plain(text, _BUTTON_LIMIT), "action_id": action_id, "value": value}


def _menu(kinds: Iterable[ActionKind]) -> Block:
    options = [{"text": _plain(_LABELS[kind], _BUTTON_LIMIT), "value": kind.value} for kind in kinds]
    return {"type": "overflow", "action_id": MENU_ACTION_ID, "options": options}


def _paragraph(text: str) -> Block:
    return {"type": "section", "text": _plain(text or "(no title)", 3000)}


def _text_input(label: str, *, hint: str | None = None, multiline: bool = False, limit: int = 300) -> Block:
    element = {"type": "plain_text_input", "multiline": multiline, "max_length": limit}
    return {**_input(label, element), **({"hint": _plain(hint, 150)} if hint else {})}


def _input(label: str, element: Block, *, block: str = VALUE_BLOCK) -> Block:
    named = {**element, "action_id": INPUT_ACTION_ID}
    return {"type": "input", "block_id": block, "label": _plain(label, 100), "element": named}


def _select(
    label: str, options: Iterable[tuple[str, str]], initial: str | None, *, block: str = VALUE_BLOCK
) -> Block:
    shown = [{"text": _plain(text, _BUTTON_LIMIT), "value": value} for value, text in options]
    element: Block = {"type": "static_select", "options": shown}
    if (chosen := next((option for option in shown if option["value"] == initial), None)) is not None:
        element["initial_option"] = chosen
    return _input(label, element, block=block)


def _next_update() -> Block:
    options = [(str(minutes), f"in {minutes} minutes") for minutes in _NEXT_UPDATES]
    return {**_select("Next update", options, None, block=NEXT_BLOCK), "optional": True}
