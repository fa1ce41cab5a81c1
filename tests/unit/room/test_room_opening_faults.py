"""Test that a failing nonessential Slack call neither delays the room nor blocks other invitations."""

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
"""Long enough to distinguish a waiting step from a slow machine."""

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
    "invalid values": {"status": 200, "body": {"ok": True, **{key: [None, 1, {"id": None}] for key in FIELDS}}},
    "missing scope": {"error": "missing_scope"},
    "dropped connection": {"drop": True},
    "timeout": {"delay_ms": HANG_S * 1000},
}


@pytest.fixture
def open_room(
    connect: Callable[..., Any], context: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[WarRoom, float]]:
    """Return a function that runs the steps up to the room and returns it with the seconds they took."""
    connect()
    # Shorten the budgets to keep the test fast.
    monkeypatch.setattr(opener, "CONVENIENCE_SECONDS", 1.0)
    monkeypatch.setattr(responders, "MIN_LOOKUP_SECONDS", 0.5)
    monkeypatch.setenv("AIRFLOW__INCIDENT__LOOKUP_BUDGET_SECONDS", "1.5")

    def open_room(**fields: Any) -> tuple[WarRoom, float]:
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
        ).model_copy(update=fields)
        values: dict[str, Any] = {"parse_incident_event": incident.to_xcom()}
        started = time.monotonic()
        for task_id, operator in (
            ("setup_slack_integration", SetupSlackOperator),
            ("resolve_slack_users", ResolveSlackUsersOperator),
            ("create_war_room", CreateWarRoomOperator),
        ):
            values[task_id] = operator(task_id=task_id).execute(context(**values))
        return WarRoom.model_validate(values["create_war_room"]), time.monotonic() - started

    return open_room


def seconds_to_brief(control: SandboxClient) -> float:
    """Return the seconds from the first call to the brief."""
    times = {call["method"]: datetime.fromisoformat(call["at"]) for call in reversed(control.calls())}
    return (times["chat.postMessage"] - times["auth.test"]).total_seconds()


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("method", METHODS)
def test_room_opens_despite_failing_call(
    *,
    open_room: Callable[..., tuple[WarRoom, float]],
    control: SandboxClient,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    fault: dict[str, Any],
) -> None:
    if method not in LOOKUPS:
        # Lookups succeed here; a slow machine must not interrupt them.
        monkeypatch.setenv("AIRFLOW__INCIDENT__LOOKUP_BUDGET_SECONDS", "20")
    control.add_fault(Fault(method=method, times=None, **fault))
    room, elapsed = open_room()
    control.clear_faults()
    state = control.channel(room.channel_name)
    assert state["messages"], "the brief is missing"
    assert seconds_to_brief(control) < HANG_S / 4
    assert elapsed < HANG_S / 2
    invited = {invitation.user.id for invitation in room.invited}
    if method not in LOOKUPS:
        assert {ALICE, JOSE} <= invited | {person.user_id for person in room.not_invited}
    if method not in (*LOOKUPS, "conversations.invite", "conversations.members"):
        assert {ALICE, JOSE} <= set(state["members"]), "a resolved responder is not in the room"
    assert invited <= set(state["members"]) or method == "conversations.members", (
        "someone reported as invited is not in the room"
    )


def test_matrix_covers_every_nonessential_call(
    open_room: Callable[..., tuple[WarRoom, float]], control: SandboxClient
) -> None:
    open_room()
    used = {call["method"] for call in control.calls()}
    assert used > ESSENTIAL_METHODS
    assert used - ESSENTIAL_METHODS <= {*METHODS}, "the matrix lacks a nonessential call"


def test_people_with_the_same_first_name_are_distinguished(
    open_room: Callable[..., tuple[WarRoom, float]], control: SandboxClient
) -> None:
    """Only one of two people called Chris cannot be invited."""
    control.add_fault(
        Fault(
            method="conversations.invite",
            error="cant_invite",
            fields={"errors": [{"user": "U0CHRISLEE1", "ok": False, "error": "cant_invite"}]},
        )
    )
    room, _ = open_room(responders=("U0CHRISLEE1", "U0CHRISWU01"))
    assert [person.user_id for person in room.not_invited] == ["U0CHRISLEE1"]
    assert [invitation.user.id for invitation in room.invited] == ["U0CHRISWU01"]
    assert ProblemCode.INVITATIONS not in {problem.code for problem in room.problems}
