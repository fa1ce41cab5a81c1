"""
Test the exact texts of updates, recovery and resolution, and that Slack accepts any of them.

The expected texts are in ``golden/life/``. Run with ``UPDATE_GOLDENS=1`` to update them, then review the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_incident_provider.lifecycle.records import UpdateItem, UpdateKind
from airflow_incident_provider.messages.blocks import Message, plain_text
from airflow_incident_provider.messages.channel import is_own_topic, topic
from airflow_incident_provider.messages.status_changes import (
    Recovery,
    Reopening,
    ResolvedIncident,
    archive_warning,
    closed_message,
    failing_probes,
    ordinal,
    recovery_messages,
    recovery_started_messages,
    reopened_message,
    resolved_message,
    room_opened_message,
    triage_message,
)
from airflow_incident_provider.messages.summary import summary_message
from airflow_incident_provider.messages.updates import IncidentUpdate, LeftRoom, update_messages
from airflow_incident_provider.models import Finding, Incident, NotInvited, Severity, Verdict
from airflow_incident_provider.probes import CONTROL

from .hostile import datetimes, findings, incidents, invitations, not_invited, optional_texts, texts, tuples
from .rooms import OCCURRED, after, checkout_findings, checkout_incident, checkout_summary
from .rooms import invitations as invited
from .slack_rules import assert_no_injected_markup, assert_slack_accepts

hostile_settings = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
GOLDEN = Path(__file__).parent / "golden" / "life"
CHECKOUT, LATENCY = "Checkout 5xx ratio above 2%", "Checkout p95 latency above 1 s"
RECOVERY = Recovery(at=after(1392), first_at=OCCURRED, resolve_at=after(1992))


def item(kind: UpdateKind, seconds: float, **fields: object) -> UpdateItem:
    return UpdateItem.model_validate({"kind": kind, "at": after(seconds), "title": CHECKOUT, **fields})


def repeated(count: int, first: float, last: float, **fields: object) -> UpdateItem:
    values = {"alert": "a", "count": count, "first_at": after(first), "after": "Re-Triggered", **fields}
    return item(UpdateKind.REPEATED, last, **values)


REPEATED_ALERT = IncidentUpdate(since=OCCURRED, items=(repeated(7, 360, 720),))
RAISED_SEVERITY = IncidentUpdate(
    since=OCCURRED,
    items=(
        repeated(1, 360, 360),
        item(UpdateKind.SEVERITY, 360, before="medium", after="critical"),
        item(UpdateKind.RESPONDERS, 360, names=("José García", "dave@example.com")),
    ),
    invited=invited()[-2:],
    not_invited=(NotInvited(query="dave@example.com", reason="deactivated in Slack"),),
)
SEVERAL_ALERTS = IncidentUpdate(
    since=OCCURRED,
    alerts=6,
    firing=4,
    dropped=12,
    items=(
        *(item(UpdateKind.JOINED, 70 + n, alert=f"j{n}", title=f"{LATENCY} on web-0{n}") for n in range(5)),
        item(UpdateKind.FIRING_AGAIN, 90, alert="f", title=LATENCY),
        item(UpdateKind.ALERT_RECOVERED, 95, alert="r", title=CHECKOUT),
        repeated(3, 60, 100),
        repeated(20, 60, 118, alert="b", title=LATENCY, after="Renotify"),
    ),
)
DATADOG_INCIDENT = IncidentUpdate(
    since=OCCURRED,
    items=(
        repeated(1, 400, 400, after="incident updated"),
        item(UpdateKind.STATUS, 400, before="active", after="stable"),
        item(UpdateKind.COMMANDER, 400, before="", after="Dana <Reyes>"),
        item(UpdateKind.TITLE, 400, before=CHECKOUT, after="Payments failing in eu1"),
    ),
)
PASSED_FINDINGS = tuple(
    finding.model_copy(update={"verdict": Verdict.OK, "summary": "HTTP 200 after 35 ms"})
    if finding.probe == "http"
    else finding
    for finding in checkout_findings()
)

OWN_NETWORK_DOWN = checkout_findings()[0].model_copy(
    update={
        "probe": CONTROL,
        "target": "our own side",
        "verdict": Verdict.FAIL,
        "summary": "no working name server",
    }
)
RESOLVED_SUMMARY = checkout_summary().model_copy(update={"status": "resolved", "time_to_recovery_ms": 1_351_000})

TEXTS: dict[str, list[Message]] = {
    "update_noisy": update_messages(REPEATED_ALERT),
    "update_worse": update_messages(RAISED_SEVERITY),
    "update_several_alerts": update_messages(SEVERAL_ALERTS),
    "update_datadog_incident": update_messages(DATADOG_INCIDENT),
    "recovery_started": recovery_started_messages(RECOVERY),
    "recovery_well": recovery_messages(RECOVERY, checkout_findings(), PASSED_FINDINGS),
    "recovery_still_failing": recovery_messages(RECOVERY, checkout_findings(), checkout_findings()),
    "recovery_with_our_own_network_down": recovery_messages(
        RECOVERY,
        checkout_findings(),
        (OWN_NETWORK_DOWN, *(finding for finding in checkout_findings() if finding.probe == "http")),
    ),
    "recovery_overtaken": recovery_messages(
        RECOVERY.model_copy(update={"resolve_at": None, "over": False}), checkout_findings(), PASSED_FINDINGS
    ),
    "recovery_not_checked": recovery_messages(RECOVERY, (), ()),
    "reopened": [
        reopened_message(
            Reopening(
                times=3,
                since=OCCURRED,
                at=after(1500),
                over_at=after(1392),
                what=CHECKOUT,
                brief_url="https://s.example/p1",
            )
        )
    ],
    "reopened_in_a_new_room": [
        reopened_message(
            Reopening(
                times=2,
                since=OCCURRED,
                at=after(90_000),
                what=CHECKOUT,
                left=LeftRoom(name="inc-1", url="https://s.example/C1"),
            )
        )
    ],
    "resolved": [
        resolved_message(
            ResolvedIncident(
                at=after(1992),
                first_at=OCCURRED,
                recovered_at=after(1392),
                times=3,
                back_until=after(1992 + 3_600),
                archive_at=after(1992 + 86_400),
                summary_url="https://s.example/p2",
                doubts=("http",),
            )
        )
    ],
    "summary_resolved": summary_message(RESOLVED_SUMMARY, checkout_incident()),
    "archive_warning": [archive_warning(now=after(84_792), at=after(88_392))],
    "thread": [
        triage_message(checkout_incident(), "open"),
        closed_message(after(1392), "recovered"),
        room_opened_message("inc-1", "https://s.example/C1"),
    ],
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_matches_golden_file(name: str) -> None:
    path = GOLDEN / f"{name}.txt"
    text = "\n\n".join(f"{plain_text(message)}\n-- fallback: {message.text}" for message in TEXTS[name]) + "\n"
    if os.environ.get("UPDATE_GOLDENS"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("number", "expected"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (10, "10th"), (11, "11th"), (22, "22nd"), (113, "113th")],
)
def test_ordinal(number: int, expected: str) -> None:
    assert ordinal(number) == expected


items = st.builds(
    UpdateItem,
    kind=st.sampled_from([kind for kind in UpdateKind if kind is not UpdateKind.SEVERITY]),
    at=datetimes,
    first_at=st.none() | datetimes,
    alert=optional_texts,
    title=optional_texts,
    before=optional_texts,
    after=optional_texts,
    names=tuples(texts, 5),
    count=st.integers(1, 500),
) | st.builds(
    UpdateItem,
    kind=st.just(UpdateKind.SEVERITY),
    at=datetimes,
    before=st.sampled_from(Severity).map(str),
    after=st.sampled_from(Severity).map(str),
)
updates = st.builds(
    IncidentUpdate,
    items=tuples(items, 30),
    dropped=st.integers(0, 500),
    since=datetimes,
    alerts=st.integers(1, 500),
    firing=st.integers(0, 500),
    invited=tuples(invitations, 30),
    not_invited=tuples(not_invited, 30),
)


def assert_valid(message: Message) -> None:
    assert_slack_accepts(message)
    assert_no_injected_markup(message)


@hostile_settings
@given(updates)
def test_any_update_is_accepted(updates: IncidentUpdate) -> None:
    for message in update_messages(updates):
        assert_valid(message)


recoveries = st.builds(
    Recovery,
    at=datetimes,
    first_at=datetimes,
    times=st.integers(1, 50),
    resolve_at=st.none() | datetimes,
    over=st.booleans(),
)


@hostile_settings
@given(recoveries, tuples(findings, 10), tuples(findings, 10))
def test_any_recovery_is_accepted(
    recovery: Recovery, before: tuple[Finding, ...], findings_now: tuple[Finding, ...]
) -> None:
    for message in (*recovery_started_messages(recovery), *recovery_messages(recovery, before, findings_now)):
        assert_valid(message)


reopenings = st.builds(
    Reopening,
    times=st.integers(1, 200),
    since=datetimes,
    at=datetimes,
    over_at=st.none() | datetimes,
    what=optional_texts,
    brief_url=optional_texts,
    left=st.none() | st.builds(LeftRoom, name=optional_texts, url=optional_texts, is_archived=st.booleans()),
)
resolved_incidents = st.builds(
    ResolvedIncident,
    at=datetimes,
    first_at=datetimes,
    recovered_at=datetimes,
    back_until=datetimes,
    archive_at=st.none() | datetimes,
    summary_url=optional_texts,
    doubts=tuples(texts, 4),
)


@hostile_settings
@given(reopenings, resolved_incidents, incidents, texts)
def test_any_other_lifecycle_message_is_accepted(
    reopening: Reopening, resolved: ResolvedIncident, incident: Incident, text: str
) -> None:
    for message in (
        reopened_message(reopening),
        resolved_message(resolved),
        archive_warning(now=resolved.at, at=resolved.back_until),
        triage_message(incident, text),
        room_opened_message(text, text),
    ):
        assert_valid(message)


@hostile_settings
@given(incidents, texts, optional_texts)
def test_own_topic_is_recognized(incident: Incident, status: str, commander: str | None) -> None:
    assert is_own_topic(topic(incident, status=status, commander=commander))


@pytest.mark.parametrize(
    "text", ["failover in progress, ask Dana", "critical stuff since 09:35 UTC", "high · five"]
)
def test_topic_of_a_person_is_not_recognized(text: str) -> None:
    assert not is_own_topic(text)


@hostile_settings
@given(tuples(findings, 6))
def test_recovery_with_failing_probe_does_not_suggest_resolving(findings_now: tuple[Finding, ...]) -> None:
    text = plain_text(recovery_messages(RECOVERY, (), findings_now)[-1])
    failing = {finding.probe for finding in findings_now if finding.verdict is Verdict.FAIL}
    assert ("You can resolve it" in text) == (not failing)


def test_failing_probes_are_ignored_while_control_probe_fails() -> None:
    assert failing_probes(checkout_findings()) == ("http",)
    assert failing_probes((OWN_NETWORK_DOWN, *checkout_findings())) == ()
