"""Whatever a Slack call that is not essential does: the room opens in time, with everyone who could be found."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient

from airflow_incident_provider.models import Incident, ProblemCode, Severity, Source, WarRoom
from airflow_incident_provider.operators import CreateWarRoomOperator, ResolveSlackUsersOperator, SetupSlackOperator
from airflow_incident_provider.room import opener, responders
from airflow_incident_provider.room.opener import ESSENTIAL_METHODS
from benchmarks.failing_methods import ANSWERS, LOOKUPS, METHODS

ALICE, JOSE = "U0ALICENG01", "U0JOSEGARC1"
HANG_S = 60
"""Long enough to distinguish a step that waits for it from a slow machine."""

FIELDS = (
    "members",
    "usergroups",
    "users",
    "user",
    "channel",
    "bookmarks",
    "permalink",
    "response_metadata",
    "errors",
)
FAULTS: dict[str, dict[str, Any]] = {
    **ANSWERS,
    "odd values": {"status": 200, "body": {"ok": True, **{key: [None, 1, {"id": None}] for key in FIELDS}}},
    "missing scope": {"error": "missing_scope"},
    "no answer": {"drop": True},
    "hangs": {"delay_ms": HANG_S * 1000},
}


@pytest.fixture
def opened(
    connect: Callable[..., Any], context: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[WarRoom, float]]:
    """Run the steps up to the room; return it, and the seconds that they took."""
    connect()
    # The budgets are shorter than in production, so that the test is.
    monkeypatch.setattr(opener, "CONVENIENCE_SECONDS", 1.0)
    monkeypatch.setattr(responders, "MIN_LOOKUP_SECONDS", 0.5)
    monkeypatch.setenv("AIRFLOW__INCIDENT__LOOKUP_BUDGET_SECONDS", "1.5")

    def opened(**changes: Any) -> tuple[WarRoom, float]:
        now = datetime.now(UTC)
        incident = Incident(
            key="man.1",
            id="1",
            source=Source.MANUAL,
            title="Checkout",
            severity=Severity.HIGH,
            occurred_at=now,
            received_at=now,
            responders=("alice.ng@acme.example", JOSE, "@sre-oncall", "Zoë"),
        ).model_copy(update=changes)
        values: dict[str, Any] = {"parse_incident_event": incident.to_xcom()}
        began = time.monotonic()
        for task_id, operator in (
            ("setup_slack_integration", SetupSlackOperator),
            ("resolve_slack_users", ResolveSlackUsersOperator),
            ("create_war_room", CreateWarRoomOperator),
        ):
            values[task_id] = operator(task_id=task_id).execute(context(**values))
        return WarRoom.model_validate(values["create_war_room"]), time.monotonic() - began

    return opened


def seconds_to_brief(control: SandboxClient) -> float:
    """Return the seconds from the first call to the brief."""
    at = {call["method"]: datetime.fromisoformat(call["at"]) for call in reversed(control.calls())}
    return (at["chat.postMessage"] - at["auth.test"]).total_seconds()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("method", METHODS)
def test_room_opens_whatever_one_call_does(
    *,
    opened: Callable[..., tuple[WarRoom, float]],
    control: SandboxClient,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    fault: dict[str, Any],
) -> None:
    if method not in LOOKUPS:
        # Lookups work here: a slow machine must not end them.
        monkeypatch.setenv("AIRFLOW__INCIDENT__LOOKUP_BUDGET_SECONDS", "20")
    control.add_fault(Fault(method=method, times=None, **fault))
    room, took = opened()
    control.clear_faults()
    state = control.channel(room.channel_name)
    assert state["messages"], "the brief is there"
    assert seconds_to_brief(control) < HANG_S / 4
    assert took < HANG_S / 2
    found = {invitation.user.id for invitation in room.invited}
    if method not in LOOKUPS:
        assert {ALICE, JOSE} <= found | {each.user_id for each in room.not_invited}
    if method not in (*LOOKUPS, "conversations.invite", "conversations.members"):
        assert {ALICE, JOSE} <= set(state["members"]), "everyone who could be found is here"
    assert found <= set(state["members"]) or method == "conversations.members", "nobody is claimed to be here"


def test_only_the_essential_calls_can_fail_a_room(
    opened: Callable[..., tuple[WarRoom, float]], control: SandboxClient
) -> None:
    opened()
    used = {call["method"] for call in control.calls()}
    assert used > ESSENTIAL_METHODS
    assert used - ESSENTIAL_METHODS <= {*METHODS}, "the matrix has every call that is not essential"


def test_two_people_of_one_name_are_distinguished(
    opened: Callable[..., tuple[WarRoom, float]], control: SandboxClient
) -> None:
    """One "Chris" cannot be invited: that one is missing, whatever becomes of the other."""
    control.add_fault(
        Fault(
            method="conversations.invite",
            error="cant_invite",
            fields={"errors": [{"user": "U0CHRISLEE1", "ok": False, "error": "cant_invite"}]},
        )
    )
    room, _ = opened(responders=("U0CHRISLEE1", "U0CHRISWU01"))
    assert [each.user_id for each in room.not_invited] == ["U0CHRISLEE1"]
    assert [one.user.id for one in room.invited] == ["U0CHRISWU01"]
    assert ProblemCode.INVITATIONS not in {problem.code for problem in room.problems}
