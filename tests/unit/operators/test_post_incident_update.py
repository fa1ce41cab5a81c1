"""Updates of an incident: messages, brief, topic, invitations and threads."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from incident_sandbox import Fault, SandboxClient, SandboxServer

from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.lifecycle.coordination import ActionKind, Person
from airflow_incident_provider.operators import (
    ArchiveWarRoomOperator,
    PostIncidentUpdateOperator,
    ResolveIncidentOperator,
)
from airflow_incident_provider.room.responders import NOT_ADDED
from airflow_incident_provider.room.snapshot import snapshot_of_incident

from .lifecycle_harness import (
    ALICE,
    BOT,
    BROKEN,
    DANA,
    HEALTHY,
    JOSE,
    TABLE,
    LifecycleHarness,
    Monitor,
    Room,
    one_hour_earlier,
    post_messages,
    post_update,
    recover,
    resolve,
)

# --- updates --------------------------------------------------------------------------------------


def test_repeated_alerts_are_one_message_with_count(
    harness: LifecycleHarness, monitor: Monitor, room: Room
) -> None:
    for _ in range(7):
        monitor("Re-Triggered")
    post_update(harness)
    [text] = room.thread
    assert "Re-triggered 7 times" in text
    assert "repeated 7 times" in json.dumps(room.brief["blocks"])
    assert room.posted("/update") == []


def test_retry_posts_nothing_again(
    harness: LifecycleHarness, monitor: Monitor, room: Room, control: SandboxClient
) -> None:
    monitor("Re-Triggered", "P1")
    run_id = harness.queue_update()
    control.add_fault(Fault(method="chat.postMessage", drop=True, when="after"))
    control.add_fault(Fault(method="conversations.replies", status=503, times=4))
    with pytest.raises(SlackUnavailableError):
        harness.run_task(PostIncidentUpdateOperator, run_id)
    control.clear_faults()
    for _ in range(2):
        harness.run_task(PostIncidentUpdateOperator, run_id)
    assert len(room.thread) == 1


def test_higher_severity_updates_topic_brief_and_members(
    harness: LifecycleHarness, monitor: Monitor, room: Room
) -> None:
    assert room.state["topic"].startswith("medium · ")
    monitor("Re-Triggered", "P1")
    post_update(harness)
    [text] = room.thread
    assert "Severity medium → critical" in text
    assert "nobody@acme.example" in text
    assert {ALICE, JOSE} <= set(room.state["members"])
    assert room.state["topic"].startswith("critical · ")
    brief = json.dumps(room.brief["blocks"])
    assert "CRITICAL: " in brief
    assert all(name in brief for name in (ALICE, JOSE, "nobody@acme.example"))


def test_person_who_left_is_not_invited_again(
    harness: LifecycleHarness, monitor: Monitor, room: Room, control: SandboxClient, slack: Any
) -> None:
    monitor("Re-Triggered", "P1")
    post_update(harness)
    slack.workspace.channels[room.id].members.remove(JOSE)
    monitor("Re-Triggered", "P1")
    post_update(harness)
    assert JOSE not in room.state["members"]
    assert "not in this room" in json.dumps(room.brief["blocks"])


def test_retry_names_people_invited_by_interrupted_attempt(
    harness: LifecycleHarness, monitor: Monitor, room: Room, control: SandboxClient
) -> None:
    monitor("Re-Triggered", "P1")
    run_id = harness.queue_update()
    control.add_fault(Fault(method="chat.postMessage", status=503, times=4))
    with pytest.raises(SlackUnavailableError):
        harness.run_task(PostIncidentUpdateOperator, run_id)
    assert JOSE in room.state["members"]
    control.clear_faults()
    harness.run_task(PostIncidentUpdateOperator, run_id)
    [text] = room.thread
    assert f"*Invited* <@{JOSE}>" in text
    assert [call["method"] for call in control.calls()].count("conversations.invite") == 2, (
        "one invitation by the brief and one by the update"
    )


def test_silently_ignored_invitation_is_reported(
    harness: LifecycleHarness, monitor: Monitor, room: Room, control: SandboxClient
) -> None:
    control.add_fault(Fault(method="conversations.invite", status=200, body={"ok": True}, times=None))
    monitor("Re-Triggered", "P1")
    post_update(harness)
    [text] = room.thread
    assert "*Invited*" not in text
    assert NOT_ADDED in text
    assert NOT_ADDED in json.dumps(room.brief["blocks"])


def test_updates_continue_after_brief_is_deleted(
    harness: LifecycleHarness, monitor: Monitor, room: Room, app: Any, control: SandboxClient
) -> None:
    app.hook.put("chat.delete", channel=room.id, ts=room.brief["ts"])
    for priority, change in (("P1", "medium → critical"), ("P2", "critical → high")):
        monitor("Re-Triggered", priority)
        post_update(harness)
        messages = control.channel(room.id)["messages"]
        assert sum(change in json.dumps(each.get("blocks"), ensure_ascii=False) for each in messages) == 1


def test_custom_topic_is_kept(harness: LifecycleHarness, monitor: Monitor, room: Room, slack: Any) -> None:
    slack.workspace.channels[room.id].topic.value = "failover to eu-2 in progress, ask Dana"
    monitor("Re-Triggered", "P1")
    post_update(harness)
    assert room.state["topic"] == "failover to eu-2 in progress, ask Dana"


def test_datadog_incident_is_updated_in_its_own_channel(
    make_harness: Callable[..., LifecycleHarness], control: SandboxClient, payload: Callable[[str], dict[str, Any]]
) -> None:
    control.add_channel(
        "incident-118", id="C0ABC118", purpose="Datadog's own words", topic="theirs", members=[DANA]
    )
    harness = make_harness()
    opened = payload("06")
    harness.run_response(harness.alert(opened), BROKEN)
    room = Room(control, harness)
    assert room.id == "C0ABC118"
    harness.advance_time(seconds=1)
    changed = json.loads(json.dumps(opened)) | {"id": "2", "date": str(int(harness.now.timestamp() * 1000))}
    changed["incident"] |= {"status": "stable", "commander": {"data": {"attributes": {"name": "Alice Ng"}}}}
    assert harness.alert(changed).action == "update"
    post_update(harness)
    [text] = room.thread
    assert "Status in Datadog" in text
    assert "stable" in text
    assert (room.state["topic"], room.state["purpose"]) == ("theirs", "Datadog's own words")
    assert "open, stable in Datadog" in json.dumps(room.brief["blocks"])


def test_update_in_archived_room_fails(harness: LifecycleHarness, monitor: Monitor, room: Room, slack: Any) -> None:
    slack.workspace.channels[room.id].archived = True
    monitor("Re-Triggered")
    with pytest.raises(AirflowFailException, match="is archived"):
        post_update(harness)


def test_update_in_deleted_room_fails(
    harness: LifecycleHarness, monitor: Monitor, room: Room, control: SandboxClient
) -> None:
    control.add_fault(Fault(method="conversations.info", error="channel_not_found", times=None))
    monitor("Re-Triggered")
    with pytest.raises(AirflowFailException, match=r"was deleted, or the app was removed from it.*invite the app"):
        post_update(harness)


@pytest.mark.parametrize("is_archived", [True, False])
@pytest.mark.parametrize(
    ("alert", "expected"),
    [
        ({"transition": "Re-Triggered", "priority": "P1"}, "medium → critical"),
        ({"transition": "Triggered", "scope": "host:web-2", "cycle": "2"}, "Another alert"),
    ],
    ids=["worse severity", "another alert"],
)
def test_worse_incident_continues_in_a_new_room(
    *,
    harness: LifecycleHarness,
    monitor: Monitor,
    room: Room,
    control: SandboxClient,
    slack: Any,
    alert: dict[str, str],
    expected: str,
    is_archived: bool,
) -> None:
    old_channel = room.id
    slack.workspace.channels[old_channel].archived = True
    slack.workspace.channels[old_channel].members.remove(BOT)
    if not is_archived:
        control.add_fault(Fault(method="conversations.info", error="channel_not_found", times=1))
    monitor(**alert)
    run_id = harness.queue_update()
    for _ in range(2):
        harness.run_task(PostIncidentUpdateOperator, run_id)
    assert room.id != old_channel
    [text] = [json.dumps(reply["blocks"], ensure_ascii=False) for reply in room.brief["replies"]]
    assert expected in text
    assert control.channel(old_channel)["name"] in text
    assert ("is archived" in text) is is_archived
    assert ALICE in room.state["members"]


def test_dry_run_returns_all_messages(
    make_harness: Callable[..., LifecycleHarness], payload: Callable[[str], dict[str, Any]], control: SandboxClient
) -> None:
    harness = make_harness(connected=False)
    monitor = Monitor(harness, payload("01"))
    harness.run_response(monitor("Triggered"), BROKEN)
    monitor("Re-Triggered", "P1")
    value = post_update(harness)
    assert value["mode"] == "dry_run"
    assert any("Severity medium → critical" in text for text in value["would_post"])
    monitor("Recovered", "P1")
    run_id = harness.queue_update()
    assert "Recovered" in harness.run_task(PostIncidentUpdateOperator, run_id)["would_post"][0]
    assert any("Resolved" in text for text in resolve(harness)["would_post"])
    assert control.calls() == []


# --- reopening ----------------------------------------------------------------------------------


def test_reopened_incident_counts_in_same_room(harness: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    for cycle in ("2", "3"):
        recover(harness, monitor, HEALTHY)
        resolve(harness)
        monitor("Triggered", cycle=cycle)
        post_update(harness)
    texts = room.posted("/back")
    assert ["2nd time since" in texts[0], "3rd time since" in texts[1]] == [True, True]
    assert "open, 3rd time" in room.state["topic"]
    [summary] = room.posted("/summary")
    assert "*Summary* · open, 3rd time" in summary
    assert "recovered after" not in summary.lower().split("timeline")[0]


def test_archived_room_is_replaced_when_reopened(
    harness: LifecycleHarness, monitor: Monitor, room: Room, control: SandboxClient, slack: Any
) -> None:
    old_channel = room.id
    monitor("Re-Triggered", "P1")
    post_update(harness)
    recover(harness, monitor, HEALTHY)
    slack.workspace.channels[old_channel].archived = True
    slack.workspace.channels[old_channel].members.remove(BOT)
    monitor("Triggered", "P1", cycle="2")
    run_id = harness.queue_update()
    for _ in range(2):
        harness.run_task(PostIncidentUpdateOperator, run_id)
    assert room.id != old_channel
    [text] = room.posted("/back")
    assert control.channel(old_channel)["name"] in text
    assert {ALICE, JOSE} <= set(room.state["members"])
    monitor("Re-Triggered", "P1", cycle="2")
    post_update(harness)
    assert len(room.brief["replies"]) == 1, "later updates must be posted in the new room"


# --- a thread in the triage channel ---------------------------------------------------------------

TABLE_WITH_TRIAGE = f"""{TABLE}
triage:
  channel: C0TRIAGE01
  rules: [{{name: small, match: {{}}, transition: Warn, presence: thread}}]
"""


@pytest.fixture
def triage(control: SandboxClient) -> dict[str, Any]:
    return control.add_channel("triage", id="C0TRIAGE01", creator=BOT)


def test_warning_is_posted_as_thread_in_triage_channel(
    make_harness: Callable[..., LifecycleHarness],
    control: SandboxClient,
    payload: Callable[[str], dict[str, Any]],
    triage: Any,
) -> None:
    harness = make_harness(TABLE_WITH_TRIAGE)
    monitor = Monitor(harness, payload("05"))
    assert monitor("Warn").runs[0].dag_id == "incident_update"
    post_update(harness)
    monitor("Re-Warn")
    post_update(harness)
    monitor("Warn Recovered")
    post_update(harness)
    [parent] = [m for m in control.channel("C0TRIAGE01")["messages"] if m["user"] == BOT and not m.get("subtype")]
    assert "recovered" in json.dumps(parent["blocks"])
    assert "Still warning" in json.dumps(parent["replies"][0]["blocks"])
    assert "Recovered at" in json.dumps(parent["replies"][-1]["blocks"])
    resolve(harness)
    harness.advance_time(hours=30)
    assert harness.run_task(ArchiveWarRoomOperator, "look.archive") is None
    assert not control.channel("C0TRIAGE01")["is_archived"]


def test_thread_links_room_after_escalation(
    make_harness: Callable[..., LifecycleHarness],
    control: SandboxClient,
    payload: Callable[[str], dict[str, Any]],
    triage: Any,
) -> None:
    harness = make_harness(TABLE_WITH_TRIAGE)
    monitor = Monitor(harness, payload("05"))
    monitor("Warn")
    post_update(harness)
    escalated = monitor("Triggered", "P1")
    harness.run_response(escalated, BROKEN)
    post_update(harness)
    [parent] = [m for m in control.channel("C0TRIAGE01")["messages"] if m["user"] == BOT and not m.get("subtype")]
    assert "now has a room" in json.dumps(parent["replies"][-1]["blocks"])
    assert harness.record.room.channel_id != "C0TRIAGE01"


@pytest.mark.parametrize(
    ("message_count", "settings"),
    [
        (2300, {}),
        (40, {"history_limit": 15, "history_calls_per_minute": 1, "rate_limits": True}),
    ],
)
def test_thread_is_found_behind_many_messages(
    make_harness: Callable[..., LifecycleHarness],
    control: SandboxClient,
    payload: Callable[[str], dict[str, Any]],
    triage: Any,
    slack: SandboxServer,
    *,
    message_count: int,
    settings: dict[str, Any],
) -> None:
    harness = make_harness(TABLE_WITH_TRIAGE)
    monitor = Monitor(harness, payload("05"))
    with one_hour_earlier(harness, slack):
        monitor("Warn")
        post_update(harness)
    post_messages(slack, "triage", message_count)
    harness.run_response(monitor("Triggered", "P1"), BROKEN)
    control.settings(**settings)
    post_update(harness)
    parent = control.channel("C0TRIAGE01")["messages"]
    assert "now has a room" in json.dumps([each["replies"] for each in parent if each["user"] == BOT])


def test_missing_triage_channel_opens_room(
    make_harness: Callable[..., LifecycleHarness], control: SandboxClient, payload: Callable[[str], dict[str, Any]]
) -> None:
    harness = make_harness(TABLE_WITH_TRIAGE.replace("C0TRIAGE01", '"#nowhere"'))
    monitor = Monitor(harness, payload("05"))
    monitor("Warn")
    post_update(harness)
    room = harness.record.room
    assert room.channel_id is not None
    before = len(json.dumps(control.channel(room.channel_id)["messages"]))
    monitor("Re-Warn")
    post_update(harness)
    assert len(json.dumps(control.channel(room.channel_id)["messages"])) > before, (
        "later updates must be posted in the room"
    )
    assert harness.record.room.channel_id == room.channel_id


# --- people invited by a command --------------------------------------------------------------------------


def act(harness: LifecycleHarness, kind: ActionKind, **arguments: Any) -> Any:
    """Apply an action, and run the update that it starts."""
    return harness.run_task(PostIncidentUpdateOperator, harness.act(kind, **arguments)[-1].run_id)


@pytest.mark.parametrize("name", [ALICE, "alice.ng@acme.example"])
def test_who_left_is_invited_again_if_a_person_calls_them(
    harness: LifecycleHarness, monitor: Monitor, room: Room, slack: Any, name: str
) -> None:
    slack.workspace.channels[room.id].members.remove(ALICE)
    act(harness, ActionKind.INVITE, names=(name,))
    assert ALICE in room.state["members"]
    assert f"*Invited* <@{ALICE}>" in room.thread[-1]
    assert json.dumps(room.brief["blocks"]).count(ALICE) == 1


def test_a_lead_by_address_is_invited(harness: LifecycleHarness, monitor: Monitor, room: Room) -> None:
    act(harness, ActionKind.LEAD, person=Person(name="dana@acme.example"))
    assert DANA in room.state["members"]


def test_the_topic_names_a_lead_whom_a_command_mentions(
    harness: LifecycleHarness, monitor: Monitor, room: Room
) -> None:
    act(harness, ActionKind.LEAD, person=Person(name=DANA, slack_id=DANA))
    assert "lead Dana" in room.state["topic"]
    act(harness, ActionKind.LEAD, person=Person(name="alice.ng", slack_id=ALICE))
    assert f"<@{DANA}> → <@{ALICE}>" in room.thread[-1]


def test_who_is_found_by_a_repeated_name_is_no_longer_missing(
    harness: LifecycleHarness, monitor: Monitor, slack: Any, control: SandboxClient
) -> None:
    harness.run_response(monitor("Triggered", "P1"), BROKEN)
    room = Room(control, harness)
    assert '*Missing* \\"nobody@acme.example' in json.dumps(room.brief["blocks"])
    slack.workspace._emails["nobody@acme.example"] = DANA
    act(harness, ActionKind.INVITE, names=("nobody@acme.example",))
    monitor("Re-Triggered", "P1")
    post_update(harness)
    assert DANA in room.state["members"]
    assert "*Missing*" not in json.dumps(room.brief["blocks"])


# --- what is left when the first run is gone ------------------------------------------------------


@pytest.mark.parametrize(("private", "expected"), [(True, True), (None, True), (False, False)])
def test_a_private_room_stays_private_without_its_first_run(
    harness: LifecycleHarness, monitor: Monitor, room: Room, private: bool | None, expected: bool
) -> None:
    harness._write(harness.record.model_copy(update={"private": private}))
    harness.xcoms.clear()
    snapshot = snapshot_of_incident(harness.context("post_incident_update", "r"))
    assert snapshot is not None
    assert snapshot.room is not None
    assert snapshot.incident is not None
    assert (snapshot.room.private, snapshot.incident.route.private) == (expected, expected)


def test_a_room_that_was_deleted_is_not_called_archived(
    harness: LifecycleHarness, monitor: Monitor, room: Room, control: SandboxClient, slack: Any
) -> None:
    recover(harness, monitor, HEALTHY)
    slack.workspace.channels[room.id].archived = True
    slack.workspace.channels[room.id].members.remove(BOT)
    control.add_fault(Fault(method="conversations.info", error="channel_not_found", times=1))
    monitor("Triggered", cycle="2")
    post_update(harness)
    [text] = room.posted("/back")
    assert "was deleted, or this app was removed" in text
    assert "archived" not in text


def test_a_reopening_by_a_person_is_no_alert_that_fires(
    harness: LifecycleHarness, monitor: Monitor, room: Room
) -> None:
    recover(harness, monitor, HEALTHY)
    resolve(harness)
    act(harness, ActionKind.REOPEN)
    [text] = room.posted("/back")
    assert f"by <@{ALICE}>" in text
    assert "no alert is firing" in text
    assert "firing again" not in text
    runs = harness.act(ActionKind.RESOLVE)
    harness.run_task(ResolveIncidentOperator, runs[0].run_id, **runs[0].conf)
    assert "fired" not in room.posted("/resolved")[-1].split("lasted")[1].split("If it fires")[0]
