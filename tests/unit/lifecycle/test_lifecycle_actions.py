"""Actions on an incident: roles, severity, updates, invitations, resolving and reopening."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_incident_provider.config import ConfKey, DagId
from airflow_incident_provider.lifecycle.actions import CHECK_INTERVAL, AppliedAction, Outcome, apply_action
from airflow_incident_provider.lifecycle.coordination import (
    MAX_ACTIONS,
    ActionKind,
    Actor,
    ActorSource,
    IncidentAction,
    Person,
    Role,
)
from airflow_incident_provider.lifecycle.records import (
    MAX_BYTES,
    MAX_PENDING,
    AlertState,
    IncidentRecord,
    Status,
    UpdateKind,
    encoded_size,
    shrink_to_fit,
)
from airflow_incident_provider.models import Severity, Source

T0 = datetime(2026, 11, 23, 10, tzinfo=UTC)
DANA = Actor(name="dana.reyes", slack_id="U0DANAREYES", source=ActorSource.SLACK)
ALICE = Person(name="alice.ng", slack_id="U0ALICENG01")


def record(**changes: Any) -> IncidentRecord:
    alert = AlertState(key="a", group="g", title="t", severity=Severity.HIGH, first_at=T0, last_at=T0)
    fields: dict[str, Any] = {
        "key": "dd.1.c1",
        "source": Source.DATADOG_ALERT,
        "opened_by": "a",
        "title": "Checkout is slow",
        "severity": Severity.HIGH,
        "opened_at": T0,
        "last_signal_at": T0,
        "alerts": {"a": alert},
    }
    return IncidentRecord(**fields | changes)


def act(before: IncidentRecord, kind: ActionKind, *, id: str = "1", minute: int = 1, **more: Any) -> AppliedAction:
    action = IncidentAction(id=id, kind=kind, at=T0 + timedelta(minutes=minute), actor=DANA, **more)
    return apply_action(before, action, responders_for=lambda _: ())


def kinds(applied: AppliedAction) -> list[UpdateKind]:
    return [item.kind for item in applied.record.pending]


def test_lead_sets_commander() -> None:
    applied = act(record(), ActionKind.LEAD)
    assert applied.record.coordination.roles[Role.COMMANDER].slack_id == DANA.slack_id
    assert (applied.record.commander, kinds(applied)) == (DANA.name, [UpdateKind.COMMANDER])


def test_repeated_lead_changes_nothing() -> None:
    first = act(record(), ActionKind.LEAD)
    second = act(first.record, ActionKind.LEAD, id="2", minute=2)
    assert (second.outcome, second.record, second.runs) == (Outcome.UNCHANGED, first.record, ())


def test_handover_invites_new_commander() -> None:
    led = act(record(), ActionKind.LEAD)
    handed = act(led.record, ActionKind.LEAD, id="2", person=ALICE)
    assert handed.record.commander == ALICE.name
    [change] = [item for item in handed.record.pending if item.kind is UpdateKind.COMMANDER]
    assert change.after == ALICE.slack_id
    assert ALICE.slack_id in handed.record.responders
    assert handed.record.coordination.first_led_at == led.record.coordination.first_led_at


def test_other_role_does_not_change_commander() -> None:
    applied = act(record(commander="dana@acme.example"), ActionKind.ROLE, role=Role.SCRIBE)
    assert applied.record.commander == "dana@acme.example"
    assert kinds(applied) == [UpdateKind.ROLE]


def test_redelivered_action_is_applied_once() -> None:
    first = act(record(), ActionKind.UPDATE, text="We roll back")
    again = act(first.record, ActionKind.UPDATE, text="We roll back")
    assert again.outcome is Outcome.UNCHANGED
    assert again.record is first.record


def test_severity_change_applies_routing() -> None:
    action = IncidentAction(id="1", kind=ActionKind.SEVERITY, at=T0, actor=DANA, severity=Severity.CRITICAL)
    applied = apply_action(
        record(), action, responders_for=lambda changed: ("@sre-oncall",) if changed.severity == "critical" else ()
    )
    assert applied.record.severity is Severity.CRITICAL
    assert applied.record.responders == ("@sre-oncall",)
    assert kinds(applied) == [UpdateKind.SEVERITY, UpdateKind.RESPONDERS]


def test_update_sets_time_of_next_update() -> None:
    applied = act(record(), ActionKind.UPDATE, text="We roll back", minutes=15)
    [update] = applied.record.coordination.updates
    assert update.next_at == T0 + timedelta(minutes=16)
    assert [item.text for item in applied.record.pending] == ["We roll back"]


@pytest.mark.parametrize("text", ["", "  \n ", "\u200b"])
def test_empty_update_is_refused(text: str) -> None:
    assert act(record(), ActionKind.UPDATE, text=text).outcome is Outcome.REFUSED


def test_all_updates_are_posted() -> None:
    first = act(record(), ActionKind.UPDATE, text="one")
    second = act(first.record, ActionKind.UPDATE, id="2", text="two")
    assert [item.text for item in second.record.pending] == ["one", "two"]


def test_check_starts_one_run_per_interval() -> None:
    first = act(record(), ActionKind.CHECK)
    [run] = first.runs
    assert run.dag_id == DagId.INCIDENT_UPDATE
    assert run.conf == {ConfKey.INCIDENT_KEY: "dd.1.c1", ConfKey.CHECK_REQUEST: True}
    soon = IncidentAction(id="2", kind=ActionKind.CHECK, at=T0 + timedelta(minutes=1, seconds=5), actor=DANA)
    assert apply_action(first.record, soon, responders_for=lambda _: ()).runs == ()
    later = soon.model_copy(update={"at": soon.at + CHECK_INTERVAL})
    assert len(apply_action(first.record, later, responders_for=lambda _: ()).runs) == 1


def test_resolve_starts_close_run() -> None:
    applied = act(record(), ActionKind.RESOLVE)
    assert applied.runs[0].conf[ConfKey.CLOSE_REQUEST]["by"] == DANA.slack_id
    assert applied.record.status is Status.OPEN


def test_reopening_open_incident_changes_nothing() -> None:
    assert act(record(), ActionKind.REOPEN).outcome is Outcome.UNCHANGED


def test_reopened_incident_stays_open_without_alerts() -> None:
    applied = act(record(status=Status.RESOLVED, resolved_at=T0, alerts={}), ActionKind.REOPEN)
    assert (applied.record.status, applied.record.coordination.held_open) == (Status.OPEN, True)
    assert kinds(applied) == [UpdateKind.REOPENED]


@pytest.mark.parametrize("status", [Status.RESOLVED, Status.ARCHIVED])
@pytest.mark.parametrize("kind", [ActionKind.LEAD, ActionKind.UPDATE, ActionKind.CHECK, ActionKind.SNOOZE])
def test_closed_incident_refuses_room_actions(status: Status, kind: ActionKind) -> None:
    applied = act(record(status=status), kind, text="x")
    assert applied.outcome is Outcome.REFUSED


def test_repeated_snooze_does_not_accumulate() -> None:
    once = act(record(), ActionKind.SNOOZE, minutes=30)
    twice = act(once.record, ActionKind.SNOOZE, id="2", minutes=30)
    assert twice.record.coordination.snoozed_until == T0 + timedelta(minutes=31)


def test_last_feedback_on_finding_wins() -> None:
    yes = act(record(), ActionKind.FEEDBACK, finding="http/x", useful=True)
    no = act(yes.record, ActionKind.FEEDBACK, id="2", finding="http/x", useful=False)
    assert [answer.useful for answer in no.record.coordination.feedback] == [False]


def test_record_size_is_bounded_with_long_updates() -> None:
    after = record()
    for number in range(40):
        after = act(after, ActionKind.UPDATE, id=str(number), text="\N{FIRE}" * 2000).record
        after = shrink_to_fit(after)
    assert encoded_size(after) <= MAX_BYTES
    assert after.coordination.updates


def test_secrets_in_an_update_are_redacted() -> None:
    applied = act(record(), ActionKind.UPDATE, text="token xoxb-123456789012-abcdefghijklmnop is revoked")
    assert "abcdefghijklmnop" not in applied.record.model_dump_json()


ACTIONS = st.builds(
    IncidentAction,
    id=st.text("abcdef", min_size=1, max_size=3),
    kind=st.sampled_from(ActionKind),
    at=st.integers(0, 10_000).map(lambda minutes: T0 + timedelta(minutes=minutes)),
    actor=st.just(DANA),
    role=st.sampled_from(Role),
    person=st.none() | st.builds(Person, name=st.text(max_size=30), slack_id=st.none() | st.just("U1")),
    severity=st.none() | st.sampled_from(Severity),
    text=st.text(max_size=3000),
    minutes=st.none() | st.integers(1, 1440),
    names=st.lists(st.text(min_size=1, max_size=60), max_size=5).map(tuple),
    finding=st.none() | st.text(max_size=300),
    useful=st.none() | st.booleans(),
)


@given(st.lists(ACTIONS, max_size=30))
def test_any_action_sequence_keeps_record_valid_and_bounded(actions: list[IncidentAction]) -> None:
    after = record()
    applied_ids: list[str] = []
    for action in actions:
        applied = apply_action(after, action, responders_for=lambda _: ())
        assert applied.reply
        if applied.outcome is Outcome.APPLIED:
            assert action.id not in applied_ids
            applied_ids.append(action.id)
        else:
            assert (applied.record, applied.runs) == (after, ())
        after = shrink_to_fit(applied.record)
    assert IncidentRecord.from_json(after.to_json()) == after
    assert encoded_size(after) <= MAX_BYTES
    assert len(after.coordination.actions) <= MAX_ACTIONS


@pytest.mark.parametrize("kind", [ActionKind.UPDATE, ActionKind.ITEM, ActionKind.INVITE])
def test_more_than_fits_into_one_update_is_counted(kind: ActionKind) -> None:
    after = record()
    for number in range(MAX_PENDING + 1):
        action = IncidentAction(
            id=f"x{number}", kind=kind, at=T0, actor=DANA, text=f"text {number}", names=(f"person {number}",)
        )
        after = apply_action(after, action, responders_for=lambda _: ()).record
    severity = IncidentAction(id="s", kind=ActionKind.SEVERITY, at=T0, actor=DANA, severity=Severity.LOW)
    after = apply_action(after, severity, responders_for=lambda _: ()).record
    assert UpdateKind.SEVERITY in {item.kind for item in after.pending}
    assert len(after.pending) == MAX_PENDING
    assert after.pending_dropped >= 1


def test_who_was_named_before_can_be_called_again() -> None:
    """They may have left, or Slack may not have added them."""
    before = record(responders=("dana@acme.example",))

    def call(to: IncidentRecord, id_: str) -> AppliedAction:
        action = IncidentAction(id=id_, kind=ActionKind.INVITE, at=T0, actor=DANA, names=("dana@acme.example",))
        return apply_action(to, action, responders_for=lambda _: ())

    first = call(before, "first")
    assert (first.outcome, first.record.responders) == (Outcome.APPLIED, ("dana@acme.example",))
    assert [item.names for item in first.record.pending if item.calls_people] == [("dana@acme.example",)]
    assert call(first.record, "second").outcome is Outcome.UNCHANGED
