"""What becomes of a room after it was opened: each task of ``incident_update``, against the stand-in Slack."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    DagRunTriggerException,
    DownstreamTasksSkipped,
    TaskDeferred,
)

from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.lifecycle.records import Status
from airflow_incident_provider.models import Finding, Verdict
from airflow_incident_provider.operators import (
    ArchiveWarRoomOperator,
    LookAgainOperator,
    PlanRecheckOperator,
    PostIncidentUpdateOperator,
    RecoverIncidentOperator,
    ResolveIncidentOperator,
    WhatIsDueOperator,
)
from airflow_incident_provider.registry.tasks import TaskRegistry
from airflow_incident_provider.sandbox import Fault, SandboxClient

from .life import Life, finding

DAG_FILE = Path(__file__).parents[3] / "dags" / "incident_update.py"
ALICE, JOSE, DANA, BOT = "U0ALICENG01", "U0JOSEGARC1", "U0DANAREYES", "U0WARROOM01"
TABLE = """
version: 1
rules:
  - {name: checkout, match: {service: checkout}, responders: [alice.ng@acme.example]}
  - {name: worst, match: {severity: critical}, responders: [José García, nobody@acme.example]}
lifecycle: {quiet_period: 10m, archive_delay: 24h, reopen_window: 60m}
"""
BROKEN = [
    finding("http", Verdict.FAIL, "HTTP 503 after 212 ms"),
    finding("control", Verdict.OK, "our own network is fine", ""),
]
WELL = [
    finding("http", Verdict.OK, "HTTP 200 after 35 ms"),
    finding("control", Verdict.OK, "our own network is fine", ""),
]


class Room:
    """What a test looks at in Slack."""

    def __init__(self, control: SandboxClient, life: Life) -> None:
        self._control, self._life = control, life

    @property
    def id(self) -> str:
        return str(self._life.record.room.channel_id)

    @property
    def state(self) -> dict[str, Any]:
        return self._control.channel(self.id)

    @property
    def brief(self) -> dict[str, Any]:
        return next(m for m in self.state["messages"] if m["ts"] == self._life.record.room.brief_ts)

    @property
    def thread(self) -> list[str]:
        """The texts under the brief, without those of the first minutes."""
        return [json.dumps(m["blocks"], ensure_ascii=False) for m in self.brief["replies"]][1:]

    def posted(self, part: str) -> list[str]:
        """The texts in the channel itself whose key has this in it."""
        return [
            json.dumps(m["blocks"], ensure_ascii=False)
            for m in self.state["messages"]
            if part in m.get("metadata", {}).get("event_payload", {}).get("key", "")
        ]


@pytest.fixture
def make_life(connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Life]:
    monkeypatch.setenv("AIRFLOW__INCIDENT__DIRECTORY_FOLDER", str(tmp_path / "directory"))

    def make(table: str = TABLE, *, connected: bool = True) -> Life:
        if connected:
            connect()
        (tmp_path / "routing.yaml").write_text(table, encoding="utf-8")
        monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(tmp_path / "routing.yaml"))
        return Life(table)

    return make


class Monitor:
    """Sends alerts of one monitor into a life."""

    def __init__(self, life: Life, payload: dict[str, Any]) -> None:
        self._life, self._payload, self._sent = life, payload, 0

    def __call__(self, transition: str, priority: str = "P3", *, cycle: str = "1", **changed: Any) -> Any:
        self._sent += 1
        self._life.pass_time(seconds=1)
        at = str(int(self._life.now.timestamp() * 1000))
        payload = {**self._payload, "id": str(self._sent), "date": at, "last_updated": at}
        payload["alert"] = {
            **self._payload["alert"],
            "transition": transition,
            "priority": priority,
            "cycle_key": cycle,
            "title": f"[{priority}] [{transition}] Checkout 5xx ratio above 2%",
            **changed,
        }
        return self._life.alert(payload)


@pytest.fixture
def life(make_life: Callable[..., Life]) -> Life:
    return make_life()


@pytest.fixture
def monitor(life: Life, payload: Callable[[str], dict[str, Any]]) -> Monitor:
    return Monitor(life, payload("01"))


@pytest.fixture
def room(life: Life, monitor: Monitor, control: SandboxClient) -> Room:
    """The room of an incident that has just begun."""
    life.respond(monitor("Triggered"), BROKEN)
    return Room(control, life)


def tell(life: Life) -> Any:
    """Run the update that is due, up to the telling."""
    return life.do(PostIncidentUpdateOperator, life.hand_over())


def recover(life: Life, monitor: Monitor, findings: list[Finding]) -> str:
    """Let the incident recover, and tell of it; return the run."""
    monitor("Recovered", "P3")
    run_id = life.hand_over()
    life.do(PostIncidentUpdateOperator, run_id)
    assert life.do(PlanRecheckOperator, run_id)
    life.investigated("incident_update", run_id, findings)
    life.do(RecoverIncidentOperator, run_id)
    return run_id


def resolve(life: Life) -> Any:
    """Run the look that is due when the quiet time is over."""
    life.pass_time(minutes=11)
    return life.do(ResolveIncidentOperator, "look.resolve")


# --- updates ----------------------------------------------------------------------------------------


def test_a_noisy_monitor_is_one_message_with_counts(life: Life, monitor: Monitor, room: Room) -> None:
    for _ in range(7):
        monitor("Re-Triggered")
    tell(life)
    [text] = room.thread
    assert "Re-triggered 7 times" in text
    assert "re-triggered 7 times" in json.dumps(room.brief["blocks"])
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
    assert "*Critical*" in brief
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
    with pytest.raises(AirflowFailException, match="was archived"):
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


# --- recovery ---------------------------------------------------------------------------------------


def test_a_recovery_is_told_once_with_both_results(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, WELL)
    [text] = room.posted("/recovery")
    assert "FAIL HTTP 503 after 212 ms → ok HTTP 200 after 35 ms" in text
    assert "Proposed: resolve it" in text
    assert room.state["topic"].split(" · ")[3] == "recovered"
    assert room.thread == []


def test_what_still_fails_is_said_and_shown(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, BROKEN)
    [text] = room.posted("/recovery")
    assert "Look again before you call it over" in text
    assert any("Evidence" in reply for reply in room.thread)


def test_the_same_probes_run_again(life: Life, monitor: Monitor, room: Room) -> None:
    monitor("Recovered")
    again = life.do(PlanRecheckOperator, life.hand_over())
    [planned] = [
        value
        for (dag, _, task, _), value in life.xcoms.items()
        if (dag, task) == ("incident_response", "plan_investigation")
    ]
    assert [(run["probe"], run["target"]) for run in again] == [(run["probe"], run["target"]) for run in planned]


# --- resolution -------------------------------------------------------------------------------------


def test_after_the_quiet_time_it_is_resolved(life: Life, monitor: Monitor, room: Room) -> None:
    life.pass_time(minutes=5)
    run_id = recover(life, monitor, WELL)
    life.pass_time(minutes=11)
    life.do(ResolveIncidentOperator, "look.1", checked_by=run_id)
    assert life.record.status is Status.RESOLVED
    [text] = room.posted("/resolved")
    assert "Resolved at" in text
    assert "will be archived in 1 d" in text
    [summary] = room.posted("/summary")
    assert "*Summary* · resolved" in summary
    assert "recovery 5 min" in summary
    assert room.state["topic"].split(" · ")[3] == "resolved"
    assert "resolved" in json.dumps(room.brief["blocks"])


def test_before_the_quiet_time_is_over_nothing_is_resolved(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, WELL)
    life.pass_time(minutes=9)
    assert life.do(ResolveIncidentOperator, "look.1") is None
    assert life.record.status is Status.RECOVERED


def test_what_fires_again_is_not_resolved(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, WELL)
    life.pass_time(minutes=3)
    monitor("Triggered", cycle="2")
    assert resolve(life) is None
    assert life.record.status is Status.OPEN


def test_an_alert_at_the_last_moment_wins(
    life: Life, monitor: Monitor, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alert comes between the reading of the record and the step."""
    recover(life, monitor, WELL)
    step = TaskRegistry.resolve

    def late(self: TaskRegistry, seen: Any, at: Any) -> bool:
        if life.record.status is Status.RECOVERED:
            monitor("Triggered", cycle="2")
        return step(self, seen, at)

    monkeypatch.setattr(TaskRegistry, "resolve", late)
    assert resolve(life) is None
    assert life.record.status is Status.OPEN
    assert room.posted("/resolved") == []


def test_a_retry_goes_on_where_it_was(life: Life, monitor: Monitor, room: Room, control: SandboxClient) -> None:
    recover(life, monitor, WELL)
    control.add_fault(Fault(method="chat.postMessage", status=503, times=None))
    with pytest.raises(SlackUnavailableError):
        resolve(life)
    assert life.record.status is Status.RESOLVED
    control.clear_faults()
    assert resolve(life) is not None
    assert len(room.posted("/resolved")) == 1


# --- fires again ------------------------------------------------------------------------------------


def test_it_comes_back_to_its_room_with_a_counter(life: Life, monitor: Monitor, room: Room) -> None:
    for cycle in ("2", "3"):
        recover(life, monitor, WELL)
        resolve(life)
        monitor("Triggered", cycle=cycle)
        tell(life)
    texts = room.posted("/back")
    assert ["second" in texts[0], "third time since" in texts[1]] == [True, True]
    assert "open, third time" in room.state["topic"]
    [summary] = room.posted("/summary")
    assert "*Summary* · open, third time" in summary
    assert "recovery" not in summary.lower().split("timeline")[0]


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


# --- the end of the room ----------------------------------------------------------------------------


def test_the_room_is_warned_and_then_archived(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, WELL)
    resolve(life)
    assert life.do(ArchiveWarRoomOperator, "look.early") is None
    life.pass_time(hours=23.1)
    life.do(ArchiveWarRoomOperator, "look.warn")
    assert len(room.posted("/archive-warning")) == 1
    assert not room.state["is_archived"]
    life.pass_time(hours=1)
    life.do(ArchiveWarRoomOperator, "look.archive")
    assert room.state["is_archived"]
    assert life.record.status is Status.ARCHIVED


def test_an_alert_keeps_the_room(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, WELL)
    resolve(life)
    monitor("Triggered", cycle="2")
    life.pass_time(hours=30)
    assert life.do(ArchiveWarRoomOperator, "look.archive") is None
    assert not room.state["is_archived"]


def test_a_channel_of_another_tool_is_never_archived(
    make_life: Callable[..., Life], control: SandboxClient, payload: Callable[[str], dict[str, Any]]
) -> None:
    control.add_channel("incident-118", id="C0ABC118", members=[DANA])
    life = make_life()
    began = payload("06")
    life.respond(life.alert(began), BROKEN)
    life.pass_time(seconds=1)
    over = json.loads(json.dumps(began)) | {"id": "2", "date": str(int(life.now.timestamp() * 1000))}
    over["incident"] |= {"status": "resolved"}
    assert life.alert(over).action == "recover"
    tell(life)
    resolve(life)
    life.pass_time(hours=30)
    assert life.do(ArchiveWarRoomOperator, "look.archive") is None
    assert life.record.status is Status.ARCHIVED
    state = control.channel("C0ABC118")
    assert not state["is_archived"]
    assert "archived" not in json.dumps(state["messages"])


# --- what is due, and when it is looked again -------------------------------------------------------


def test_the_next_look_is_a_run_that_is_due_later(life: Life, monitor: Monitor, room: Room) -> None:
    run_id = recover(life, monitor, WELL)
    with pytest.raises(DagRunTriggerException) as asked:
        look_again(life, run_id)
    at = life.record.recovered_at + timedelta(minutes=10)
    assert timedelta() <= asked.value.run_after - at < timedelta(seconds=1)
    assert asked.value.conf == {"incident_key": life.key, "checked_by": run_id}
    assert asked.value.skip_when_already_exists


def test_nothing_is_waited_for_while_it_is_open(life: Life, monitor: Monitor, room: Room) -> None:
    assert life.do(LookAgainOperator, "any") is None


def test_an_update_waits_for_its_room_without_a_worker(
    life: Life, monitor: Monitor, control: SandboxClient
) -> None:
    decision = monitor("Triggered")
    monitor("Re-Triggered")
    run_id = life.hand_over()
    life.run_states["incident_response", decision.runs[0].run_id] = "running"
    with pytest.raises(TaskDeferred) as waiting:
        WhatIsDueOperator(task_id="what_is_due").execute(life.context("what_is_due", run_id))
    assert waiting.value.method_name == "look_again"


def test_a_look_that_comes_late_still_has_a_next_one(life: Life, monitor: Monitor, room: Room) -> None:
    """The probes took longer than the quiet time."""
    run_id = recover(life, monitor, WELL)
    life.pass_time(minutes=30)
    with pytest.raises(DagRunTriggerException) as asked:
        look_again(life, run_id)
    assert asked.value.run_after < life.now


@pytest.mark.parametrize(
    ("happens", "due"),
    [
        (lambda monitor: monitor("Re-Triggered"), {"post_incident_update"}),
        (lambda monitor: monitor("Recovered"), {"post_incident_update", "plan_recheck", "look_again"}),
        (lambda monitor: (monitor("Recovered"), monitor("Triggered", cycle="2")), {"post_incident_update"}),
    ],
)
def test_only_what_is_due_is_done(
    life: Life, monitor: Monitor, room: Room, happens: Callable[..., Any], due: set[str]
) -> None:
    happens(monitor)
    assert chosen(life, life.hand_over()) == due


def test_a_look_does_what_the_time_has_come_for(life: Life, monitor: Monitor, room: Room) -> None:
    recover(life, monitor, WELL)
    assert chosen(life, "look.early") == {"look_again"}
    life.pass_time(minutes=11)
    assert chosen(life, "look.resolve") == {"resolve_incident", "look_again"}
    resolve(life)
    life.pass_time(hours=23.1)
    assert chosen(life, "look.warn") == {"archive_war_room", "look_again"}
    life.pass_time(hours=2)
    assert chosen(life, "look.archive") == {"archive_war_room", "look_again"}


def test_an_incident_that_nobody_knows_is_left_alone(life: Life, monitor: Monitor) -> None:
    life.key = "dd.unknown"
    assert chosen(life, "look.unknown") == set()


def chosen(life: Life, run_id: str) -> set[str]:
    """Return the tasks that are not skipped, in the DAG as it is."""
    from airflow.dag_processing.dagbag import DagBag

    task = DagBag(str(DAG_FILE)).dags["incident_update"].get_task("what_is_due")
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        task.execute(life.context("what_is_due", run_id))
    return task.downstream_task_ids - set(skipped.value.tasks)


def look_again(life: Life, run_id: str) -> Any:
    return LookAgainOperator(task_id="look_again").execute(life.context("look_again", run_id))


# --- a thread in the triage channel -----------------------------------------------------------------

THREADED = f"""{TABLE}
triage:
  channel: C0TRIAGE01
  rules: [{{name: small, match: {{}}, transition: Warn, presence: thread}}]
"""


@pytest.fixture
def triage(control: SandboxClient) -> dict[str, Any]:
    return control.add_channel("triage", id="C0TRIAGE01", members=[BOT])


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
    assert "Warned again" in json.dumps(parent["replies"][0]["blocks"])
    assert "Recovered at" in json.dumps(parent["replies"][-1]["blocks"])
    resolve(life)
    life.pass_time(hours=30)
    assert life.do(ArchiveWarRoomOperator, "look.archive") is None
    assert not control.channel("C0TRIAGE01")["is_archived"]


def test_the_thread_is_told_of_the_room_that_it_became(
    make_life: Callable[..., Life], control: SandboxClient, payload: Callable[[str], dict[str, Any]], triage: Any
) -> None:
    life = make_life(THREADED)
    monitor = Monitor(life, payload("05"))
    monitor("Warn")
    tell(life)
    risen = monitor("Triggered", "P1")
    life.respond(risen, BROKEN)
    tell(life)
    [parent] = [m for m in control.channel("C0TRIAGE01")["messages"] if m["user"] == BOT and not m.get("subtype")]
    assert "a room of its own" in json.dumps(parent["replies"][-1]["blocks"])
    assert life.record.room.channel_id != "C0TRIAGE01"
