"""What is posted about an incident after its first minutes, and where, against the stand-in Slack."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from incident_sandbox import Fault, SandboxClient, SandboxServer

from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.operators import ArchiveWarRoomOperator, PostIncidentUpdateOperator
from airflow_incident_provider.room.responders import NOT_ADDED

from .lifecycle_harness import (
    ALICE,
    BOT,
    BROKEN,
    DANA,
    JOSE,
    TABLE,
    WELL,
    Life,
    Monitor,
    Room,
    an_hour_ago,
    recover,
    resolve,
    talk,
    tell,
)

# --- updates --------------------------------------------------------------------------------------


def test_a_noisy_monitor_is_one_message_with_counts(life: Life, monitor: Monitor, room: Room) -> None:
    for _ in range(7):
        monitor("Re-Triggered")
    tell(life)
    [text] = room.thread
    assert "Re-triggered 7 times" in text
    assert "repeated 7 times" in json.dumps(room.brief["blocks"])
    assert room.posted("/update") == []


def test_a_retry_repeats_nothing(life: Life, monitor: Monitor, room: Room, control: SandboxClient) -> None:
    monitor("Re-Triggered", "P1")
    run_id = life.hand_over()
    control.add_fault(Fault(method="chat.postMessage", drop=True, when="after"))
    control.add_fault(Fault(method="conversations.replies", status=503, times=4))
    with pytest.raises(SlackUnavailableError):
        life.do(PostIncidentUpdateOperator, run_id)
    control.clear_faults()
    for _ in range(2):
        life.do(PostIncidentUpdateOperator, run_id)
    assert len(room.thread) == 1


def test_severity_up_changes_topic_and_brief_and_brings_people(life: Life, monitor: Monitor, room: Room) -> None:
    assert room.state["topic"].startswith("medium · ")
    monitor("Re-Triggered", "P1")
    tell(life)
    [text] = room.thread
    assert "Severity medium → critical" in text
    assert "nobody@acme.example" in text
    assert {ALICE, JOSE} <= set(room.state["members"])
    assert room.state["topic"].startswith("critical · ")
    brief = json.dumps(room.brief["blocks"])
    assert "CRITICAL: " in brief
    assert all(name in brief for name in (ALICE, JOSE, "nobody@acme.example"))


def test_who_left_is_not_called_back_by_every_update(
    life: Life, monitor: Monitor, room: Room, control: SandboxClient, slack: Any
) -> None:
    monitor("Re-Triggered", "P1")
    tell(life)
    slack.workspace.channels[room.id].members.remove(JOSE)
    monitor("Re-Triggered", "P1")
    tell(life)
    assert JOSE not in room.state["members"]
    assert "not in this room" in json.dumps(room.brief["blocks"])


def test_a_retry_names_who_was_invited_by_the_interrupted_attempt(
    life: Life, monitor: Monitor, room: Room, control: SandboxClient
) -> None:
    monitor("Re-Triggered", "P1")
    run_id = life.hand_over()
    control.add_fault(Fault(method="chat.postMessage", status=503, times=4))
    with pytest.raises(SlackUnavailableError):
        life.do(PostIncidentUpdateOperator, run_id)
    assert JOSE in room.state["members"]
    control.clear_faults()
    life.do(PostIncidentUpdateOperator, run_id)
    [text] = room.thread
    assert f"*Invited* <@{JOSE}>" in text
    assert [call["method"] for call in control.calls()].count("conversations.invite") == 2, "the brief's, and this"


def test_who_is_silently_not_added_is_not_called_invited(
    life: Life, monitor: Monitor, room: Room, control: SandboxClient
) -> None:
    control.add_fault(Fault(method="conversations.invite", status=200, body={"ok": True}, times=None))
    monitor("Re-Triggered", "P1")
    tell(life)
    [text] = room.thread
    assert "*Invited*" not in text
    assert NOT_ADDED in text
    assert NOT_ADDED in json.dumps(room.brief["blocks"])


def test_updates_go_on_after_somebody_deleted_the_brief(
    life: Life, monitor: Monitor, room: Room, app: Any, control: SandboxClient
) -> None:
    app.hook.put("chat.delete", channel=room.id, ts=room.brief["ts"])
    for priority, change in (("P1", "medium → critical"), ("P2", "critical → high")):
        monitor("Re-Triggered", priority)
        tell(life)
        messages = control.channel(room.id)["messages"]
        assert sum(change in json.dumps(each.get("blocks"), ensure_ascii=False) for each in messages) == 1


def test_a_topic_that_people_wrote_stays(life: Life, monitor: Monitor, room: Room, slack: Any) -> None:
    slack.workspace.channels[room.id].topic.value = "failover to eu-2 in progress, ask Dana"
    monitor("Re-Triggered", "P1")
    tell(life)
    assert room.state["topic"] == "failover to eu-2 in progress, ask Dana"


def test_a_datadog_incident_is_followed_in_its_own_channel(
    make_life: Callable[..., Life], control: SandboxClient, payload: Callable[[str], dict[str, Any]]
) -> None:
    control.add_channel(
        "incident-118", id="C0ABC118", purpose="Datadog's own words", topic="theirs", members=[DANA]
    )
    life = make_life()
    began = payload("06")
    life.respond(life.alert(began), BROKEN)
    room = Room(control, life)
    assert room.id == "C0ABC118"
    life.pass_time(seconds=1)
    changed = json.loads(json.dumps(began)) | {"id": "2", "date": str(int(life.now.timestamp() * 1000))}
    changed["incident"] |= {"status": "stable", "commander": {"data": {"attributes": {"name": "Alice Ng"}}}}
    assert life.alert(changed).action == "update"
    tell(life)
    [text] = room.thread
    assert "Status in Datadog" in text
    assert "stable" in text
    assert (room.state["topic"], room.state["purpose"]) == ("theirs", "Datadog's own words")
    assert "open, stable in Datadog" in json.dumps(room.brief["blocks"])


def test_an_update_in_an_archived_room_fails_in_words(life: Life, monitor: Monitor, room: Room, slack: Any) -> None:
    slack.workspace.channels[room.id].archived = True
    monitor("Re-Triggered")
    with pytest.raises(AirflowFailException, match="is archived"):
        tell(life)


def test_an_update_in_a_room_that_is_gone_fails_in_words(
    life: Life, monitor: Monitor, room: Room, control: SandboxClient
) -> None:
    control.add_fault(Fault(method="conversations.info", error="channel_not_found", times=None))
    monitor("Re-Triggered")
    with pytest.raises(AirflowFailException, match=r"was deleted, or the app was removed from it.*invite the app"):
        tell(life)


def test_in_dry_run_everything_is_shown(
    make_life: Callable[..., Life], payload: Callable[[str], dict[str, Any]], control: SandboxClient
) -> None:
    life = make_life(connected=False)
    monitor = Monitor(life, payload("01"))
    life.respond(monitor("Triggered"), BROKEN)
    monitor("Re-Triggered", "P1")
    value = tell(life)
    assert value["mode"] == "dry_run"
    assert any("Severity medium → critical" in text for text in value["would_post"])
    monitor("Recovered", "P1")
    run_id = life.hand_over()
    assert "Recovered" in life.do(PostIncidentUpdateOperator, run_id)["would_post"][0]
    assert any("Resolved" in text for text in resolve(life)["would_post"])
    assert control.calls() == []


# --- fires again ----------------------------------------------------------------------------------


def test_it_comes_back_to_its_room_with_a_counter(life: Life, monitor: Monitor, room: Room) -> None:
    for cycle in ("2", "3"):
        recover(life, monitor, WELL)
        resolve(life)
        monitor("Triggered", cycle=cycle)
        tell(life)
    texts = room.posted("/back")
    assert ["2nd time since" in texts[0], "3rd time since" in texts[1]] == [True, True]
    assert "open, 3rd time" in room.state["topic"]
    [summary] = room.posted("/summary")
    assert "*Summary* · open, 3rd time" in summary
    assert "recovered after" not in summary.lower().split("timeline")[0]


def test_a_room_that_was_archived_is_followed_by_a_new_one(
    life: Life, monitor: Monitor, room: Room, control: SandboxClient, slack: Any
) -> None:
    old = room.id
    monitor("Re-Triggered", "P1")
    tell(life)
    recover(life, monitor, WELL)
    slack.workspace.channels[old].archived = True
    slack.workspace.channels[old].members.remove(BOT)
    monitor("Triggered", "P1", cycle="2")
    run_id = life.hand_over()
    for _ in range(2):
        life.do(PostIncidentUpdateOperator, run_id)
    assert room.id != old
    [text] = room.posted("/back")
    assert control.channel(old)["name"] in text
    assert {ALICE, JOSE} <= set(room.state["members"])
    monitor("Re-Triggered", "P1", cycle="2")
    tell(life)
    assert len(room.brief["replies"]) == 1, "later updates go into the new room"


# --- a thread in the triage channel ---------------------------------------------------------------

THREADED = f"""{TABLE}
triage:
  channel: C0TRIAGE01
  rules: [{{name: small, match: {{}}, transition: Warn, presence: thread}}]
"""


@pytest.fixture
def triage(control: SandboxClient) -> dict[str, Any]:
    return control.add_channel("triage", id="C0TRIAGE01", creator=BOT)


def test_a_warning_is_a_thread_in_the_triage_channel(
    make_life: Callable[..., Life], control: SandboxClient, payload: Callable[[str], dict[str, Any]], triage: Any
) -> None:
    life = make_life(THREADED)
    monitor = Monitor(life, payload("05"))
    assert monitor("Warn").runs[0].dag_id == "incident_update"
    tell(life)
    monitor("Re-Warn")
    tell(life)
    monitor("Warn Recovered")
    tell(life)
    [parent] = [m for m in control.channel("C0TRIAGE01")["messages"] if m["user"] == BOT and not m.get("subtype")]
    assert "recovered" in json.dumps(parent["blocks"])
    assert "Still warning" in json.dumps(parent["replies"][0]["blocks"])
    assert "Recovered at" in json.dumps(parent["replies"][-1]["blocks"])
    resolve(life)
    life.pass_time(hours=30)
    assert life.do(ArchiveWarRoomOperator, "look.archive") is None
    assert not control.channel("C0TRIAGE01")["is_archived"]


def test_the_thread_links_the_room_that_it_became(
    make_life: Callable[..., Life], control: SandboxClient, payload: Callable[[str], dict[str, Any]], triage: Any
) -> None:
    life = make_life(THREADED)
    monitor = Monitor(life, payload("05"))
    monitor("Warn")
    tell(life)
    escalated = monitor("Triggered", "P1")
    life.respond(escalated, BROKEN)
    tell(life)
    [parent] = [m for m in control.channel("C0TRIAGE01")["messages"] if m["user"] == BOT and not m.get("subtype")]
    assert "now has a room" in json.dumps(parent["replies"][-1]["blocks"])
    assert life.record.room.channel_id != "C0TRIAGE01"


@pytest.mark.parametrize(
    ("messages", "settings"),
    [
        (2300, {}),
        (40, {"history_limit": 15, "history_calls_per_minute": 1, "rate_limits": True}),
    ],
)
def test_the_thread_is_found_behind_much_talk(
    make_life: Callable[..., Life],
    control: SandboxClient,
    payload: Callable[[str], dict[str, Any]],
    triage: Any,
    slack: SandboxServer,
    *,
    messages: int,
    settings: dict[str, Any],
) -> None:
    life = make_life(THREADED)
    monitor = Monitor(life, payload("05"))
    with an_hour_ago(life, slack):
        monitor("Warn")
        tell(life)
    talk(slack, "triage", messages)
    life.respond(monitor("Triggered", "P1"), BROKEN)
    control.settings(**settings)
    tell(life)
    parent = control.channel("C0TRIAGE01")["messages"]
    assert "now has a room" in json.dumps([each["replies"] for each in parent if each["user"] == BOT])


def test_without_the_triage_channel_a_warning_opens_a_room(
    make_life: Callable[..., Life], control: SandboxClient, payload: Callable[[str], dict[str, Any]]
) -> None:
    life = make_life(THREADED.replace("C0TRIAGE01", '"#nowhere"'))
    monitor = Monitor(life, payload("05"))
    monitor("Warn")
    tell(life)
    room = life.record.room
    assert room.channel_id is not None
    before = len(json.dumps(control.channel(room.channel_id)["messages"]))
    monitor("Re-Warn")
    tell(life)
    assert len(json.dumps(control.channel(room.channel_id)["messages"])) > before, "later updates go there, too"
    assert life.record.room.channel_id == room.channel_id
