"""Test the buttons under findings and for suggested people, and the actions that they send."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from airflow_incident_provider.interaction.requests import read_interaction
from airflow_incident_provider.lifecycle.coordination import ActionKind
from airflow_incident_provider.messages.blocks import Block, Message
from airflow_incident_provider.messages.brief import BriefState, brief, brief_details
from airflow_incident_provider.messages.controls import invite_controls
from airflow_incident_provider.messages.findings import findings_messages
from airflow_incident_provider.messages.updates import IncidentUpdate, update_messages
from airflow_incident_provider.models import CONTROL_PROBES, Finding, NotInvited, Verdict

from .rooms import OCCURRED, checkout_brief, checkout_findings

KEY = "dd.148275309.7716548234011230001"
JON = NotInvited(query="jon smiht", reason="no match", suggestion="Jon Smith", suggested={"U00JON": "Jon Smith"})


def buttons(messages: Iterable[Message]) -> list[Block]:
    return [
        element
        for message in messages
        for block in message.blocks
        if block["type"] == "actions"
        for element in block["elements"]
        if element["type"] == "button"
    ]


def press(button: Block) -> tuple[str | None, ActionKind, dict[str, Any]]:
    """Return the incident key, action and arguments that Slack sends for a button."""
    payload = {
        "type": "block_actions",
        "user": {"id": "U0DANAREYES", "username": "dana.reyes"},
        "api_app_id": "A0WARROOM1",
        "team": {"id": "T0ACME"},
        "channel": {"id": "C0ROOM"},
        "trigger_id": "1.2.abc",
        "actions": [{"type": "button", "block_id": "b", **button}],
    }
    request = read_interaction(payload)
    assert request.command is not None
    return request.key, request.command.kind, request.command.arguments


def invite_buttons(messages: Iterable[Message]) -> list[tuple[str, Any]]:
    """Return the label and invited people of each invite button."""
    findings = (
        (button["text"]["text"], press(button)) for button in buttons(messages) if "invite" in button["action_id"]
    )
    return [(label, arguments["names"]) for label, (_, _, arguments) in findings]


def interactive_brief(**changes: Any) -> BriefState:
    return checkout_brief().model_copy(update={"interactive": True, "not_invited": (JON,), **changes})


def test_serious_findings_have_rating_buttons() -> None:
    findings = checkout_findings()
    rated = [finding for finding in findings if finding.verdict in (Verdict.FAIL, Verdict.WARN, Verdict.UNKNOWN)]
    ratings = [press(button) for button in buttons(findings_messages(findings, key=KEY))]
    assert len(ratings) == 2 * len(rated)
    assert {(key, kind) for key, kind, _ in ratings} == {(KEY, ActionKind.FEEDBACK)}
    assert {(arguments["finding"], arguments["useful"]) for _, _, arguments in ratings} == {
        (f"{finding.probe} {finding.target}".rstrip(), useful) for finding in rated for useful in (True, False)
    }


def test_rating_of_control_probe_names_only_the_probe() -> None:
    probe = sorted(CONTROL_PROBES)[0]
    finding = Finding(
        probe=probe, target="", verdict=Verdict.FAIL, summary="no route", started_at=OCCURRED, evidence=""
    )
    assert {press(button)[2]["finding"] for button in buttons(findings_messages([finding], key=KEY))} == {probe}


def test_messages_have_no_buttons_without_interactivity() -> None:
    state = checkout_brief().model_copy(update={"not_invited": (JON,) * 40})
    update = IncidentUpdate(since=OCCURRED, not_invited=(JON,))
    messages = [
        *findings_messages(checkout_findings()),
        brief(state),
        *brief_details(state),
        *update_messages(update),
    ]
    assert buttons(messages) == []


def test_buttons_stay_under_their_finding_when_messages_are_split() -> None:
    findings = [
        Finding(probe="http", target=f"host-{n}", verdict=Verdict.FAIL, summary="refused", started_at=OCCURRED)
        for n in range(60)
    ]
    for message in findings_messages(findings, key=KEY):
        blocks = list(message.blocks)
        for previous, block in pairwise(blocks):
            if block["type"] == "actions":
                target = press(block["elements"][0])[2]["finding"].split()[1]
                assert f"`{target}`" in previous["text"]["text"]
        assert blocks[0]["type"] != "actions"


def test_brief_has_invite_button_for_suggested_person() -> None:
    assert invite_buttons([brief(interactive_brief())]) == [("Invite Jon Smith", ("U00JON",))]
    assert invite_buttons([brief(interactive_brief(closed=True))]) == []


def test_invite_buttons_beyond_one_row_are_in_the_thread() -> None:
    people = tuple(
        NotInvited(
            query=f"q{n}", reason="x", suggestion="y", suggested={f"U00{n:02}A": f"A {n}", f"U00{n:02}B": f"B {n}"}
        )
        for n in range(10)
    )
    state = interactive_brief(not_invited=people)
    assert len(invite_buttons([brief(state)])) == 5
    assert len(invite_buttons(brief_details(state))) == 20


def test_person_suggested_twice_has_one_button() -> None:
    duplicate = JON.model_copy(update={"query": "john smit"})
    assert invite_buttons([brief(interactive_brief(not_invited=(JON, duplicate)))]) == [
        ("Invite Jon Smith", ("U00JON",))
    ]


def test_update_has_invite_button_for_suggested_person() -> None:
    update = IncidentUpdate(since=OCCURRED, not_invited=(JON,), key=KEY)
    assert invite_buttons(update_messages(update)) == [("Invite Jon Smith", ("U00JON",))]


def test_buttons_for_a_large_group_fit_into_a_message() -> None:
    rows = invite_controls("dd.1", {f"U{number:010d}": f"Person {number}" for number in range(100)})
    assert [len(row["elements"]) for row in rows] == [5] * 5
