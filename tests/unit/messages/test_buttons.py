"""Buttons under findings and for suggested people: what Slack sends back for each is the action that it shows."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from airflow_incident_provider.interaction.requests import read_interaction
from airflow_incident_provider.lifecycle.coordination import ActionKind
from airflow_incident_provider.messages.blocks import Block, Message
from airflow_incident_provider.messages.brief import BriefState, brief, brief_details
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


def pressed(button: Block) -> tuple[str | None, ActionKind, dict[str, Any]]:
    """Return the incident, the action and its arguments that Slack's request for a button means."""
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


def invitations(messages: Iterable[Message]) -> list[tuple[str, Any]]:
    """Return the label of each button that invites, and the person it invites."""
    found = (
        (button["text"]["text"], pressed(button)) for button in buttons(messages) if "invite" in button["action_id"]
    )
    return [(label, arguments["names"]) for label, (_, _, arguments) in found]


def interactive(**changes: Any) -> BriefState:
    return checkout_brief().model_copy(update={"interactive": True, "not_invited": (JON,), **changes})


def test_each_serious_finding_is_rated_by_its_check_and_target() -> None:
    found = checkout_findings()
    serious = [f for f in found if f.verdict in (Verdict.FAIL, Verdict.WARN, Verdict.UNKNOWN)]
    ratings = [pressed(button) for button in buttons(findings_messages(found, key=KEY))]
    assert len(ratings) == 2 * len(serious)
    assert {(key, kind) for key, kind, _ in ratings} == {(KEY, ActionKind.FEEDBACK)}
    assert {(a["finding"], a["useful"]) for _, _, a in ratings} == {
        (f"{f.probe} {f.target}".rstrip(), useful) for f in serious for useful in (True, False)
    }


def test_a_finding_about_our_own_network_is_counted_by_its_probe() -> None:
    probe = sorted(CONTROL_PROBES)[0]
    finding = Finding(
        probe=probe, target="", verdict=Verdict.FAIL, summary="no way out", started_at=OCCURRED, evidence=""
    )
    assert {pressed(button)[2]["finding"] for button in buttons(findings_messages([finding], key=KEY))} == {probe}


def test_without_interactivity_there_are_no_buttons() -> None:
    state = checkout_brief().model_copy(update={"not_invited": (JON,) * 40})
    update = IncidentUpdate(since=OCCURRED, not_invited=(JON,))
    messages = [
        *findings_messages(checkout_findings()),
        brief(state),
        *brief_details(state),
        *update_messages(update),
    ]
    assert buttons(messages) == []


def test_buttons_stay_under_their_finding_when_a_message_is_full() -> None:
    found = [
        Finding(probe="http", target=f"host-{n}", verdict=Verdict.FAIL, summary="refused", started_at=OCCURRED)
        for n in range(60)
    ]
    for message in findings_messages(found, key=KEY):
        shown = list(message.blocks)
        for above, block in pairwise(shown):
            if block["type"] == "actions":
                target = pressed(block["elements"][0])[2]["finding"].split()[1]
                assert f"`{target}`" in above["text"]["text"]
        assert shown[0]["type"] != "actions"


def test_a_suggested_person_is_invited_from_the_brief() -> None:
    assert invitations([brief(interactive())]) == [("Invite Jon Smith", ("U00JON",))]
    assert invitations([brief(interactive(closed=True))]) == []


def test_the_brief_has_one_row_and_its_thread_has_the_others() -> None:
    people = tuple(
        NotInvited(
            query=f"q{n}", reason="x", suggestion="y", suggested={f"U00{n:02}A": f"A {n}", f"U00{n:02}B": f"B {n}"}
        )
        for n in range(10)
    )
    state = interactive(not_invited=people)
    assert len(invitations([brief(state)])) == 5
    assert len(invitations(brief_details(state))) == 20


def test_a_person_who_is_suggested_twice_has_one_button() -> None:
    again = JON.model_copy(update={"query": "john smit"})
    assert invitations([brief(interactive(not_invited=(JON, again)))]) == [("Invite Jon Smith", ("U00JON",))]


def test_who_is_suggested_in_an_update_is_invited_from_there() -> None:
    update = IncidentUpdate(since=OCCURRED, not_invited=(JON,), key=KEY)
    assert invitations(update_messages(update)) == [("Invite Jon Smith", ("U00JON",))]
