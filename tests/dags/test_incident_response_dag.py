"""The steps of the DAG, from a payload to the room, with Slack's API over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient, SandboxServer

from airflow_incident_provider.models import Mode, ResolutionOutcome, RunOutcome, Severity, Verdict
from airflow_incident_provider.slack.access import REQUIRED, SCOPES

from .conftest import BOT, Run

RunDag = Callable[..., Run]
PostedMessages = Callable[[str], list[dict[str, Any]]]

DANA, ALICE, JOSE, PRIYA = "U0DANAREYES", "U0ALICENG01", "U0JOSEGARC1", "U0PRIYAIYER"
LUKASZ, SAM, ZOE = "U0LUKASZN01", "U0SAMWONG01", "U0ZOEMS0001"
PAYMENTS = {DANA, ALICE, JOSE}
SRE = {PRIYA, LUKASZ, SAM}
MANUAL = {"id": "t-1", "title": "Checkout is slow", "severity": "low", "users": ["alice.ng@acme.example"]}
STEPS = (
    "parse_incident_event",
    "setup_slack_integration",
    "resolve_slack_users",
    "create_war_room",
    "investigate",
    "post_investigation_updates",
    "final_summary",
)

PAYLOADS = {
    "01": ("inc-20261123-checkout-5xx-ratio-above-2-148275309", Severity.CRITICAL, PAYMENTS | SRE),
    "05": ("inc-20261123-checkout-5xx-ratio-above-2-148275309", Severity.MEDIUM, PAYMENTS),
    "06": ("inc-20261123-checkout-payments-failing-in-eu1-118", Severity.HIGH, {DANA}),
    "09a": ("inc-20261123-disk-above-90-266154777", Severity.HIGH, {DANA, ZOE}),
    "09b": ("inc-20261123-disk-above-90-266154777", Severity.HIGH, {DANA, ZOE}),
    "11": ("inc-20261123-checkout-5xx-ratio-above-2-148275309", Severity.CRITICAL, SRE),
    "20": ("inc-20261123-checkout-5xx-ratio-above-2-148275309", Severity.CRITICAL, PAYMENTS | SRE),
}


def conf_of(name: str, payload: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    recorded = payload(name)
    return recorded.get("conf", {"datadog": recorded})  # a recorded REST request contains the conf


@pytest.mark.parametrize("name", PAYLOADS)
@pytest.mark.usefixtures("example_routing")
def test_payload_opens_room(
    *,
    run_dag: RunDag,
    connect: Callable[..., Any],
    control: SandboxClient,
    payload: Callable[[str], dict[str, Any]],
    posted_messages: PostedMessages,
    name: str,
) -> None:
    connect()
    run = run_dag(conf_of(name, payload))
    channel, severity, people = PAYLOADS[name]
    assert run.state == "success"
    room = control.channel(channel)
    assert set(room["members"]) == people | {BOT}
    assert run.incident.severity is severity
    assert room["topic"].startswith(f"{severity} · ")
    brief = posted_messages(channel)[0]
    assert room["pins"] == [brief["ts"]]
    assert all(link.url in json.dumps(brief) or "&" in link.url for link in run.incident.links)
    assert {mark["link"] for mark in room["bookmarks"]} <= {link.url for link in run.incident.links}
    assert run.incident.key in json.dumps(brief)
    assert room["topic"].count("UTC") == 1
    assert [len(each["notifies"]["mass"]) for each in posted_messages(channel)] == [0] * len(
        posted_messages(channel)
    )


def test_every_step_returns_a_value(run_dag: RunDag, connect: Callable[..., Any], control: SandboxClient) -> None:
    connect()
    run = run_dag(MANUAL)
    assert {run.states[step] for step in STEPS} == {"success"}
    values = [run.xcom(step, 0 if step == "investigate" else -1) for step in STEPS]
    assert {value["schema_version"] for value in values} == {1}
    assert all(len(json.dumps(value)) < 48_000 for value in values)
    assert run.summary.outcome is RunOutcome.DEGRADED, "there is no Docker Engine"
    assert [finding.verdict for finding in run.findings] == [Verdict.UNKNOWN]
    assert "no Docker Engine answers" in run.findings[0].summary
    assert (run.summary.invited, run.summary.here) == (1, 1)
    room = control.channel(run.room.channel_name)
    top = [each for each in room["messages"] if each["user"] == BOT and each.get("subtype") is None]
    assert len(top) == 2, "the brief and the summary"
    assert len(top[0]["replies"]) == 1, "the findings under the brief"
    assert run.summary.posted_ts == top[1]["ts"]


@pytest.mark.usefixtures("example_routing")
def test_recovery_opens_no_room(
    run_dag: RunDag, connect: Callable[..., Any], payload: Callable[[str], dict[str, Any]], room_names: Any
) -> None:
    connect()
    run = run_dag(conf_of("03", payload))
    assert (run.state, run.summary.outcome) == ("success", RunOutcome.NOT_RAISED)
    assert room_names() == []


def test_incidents_of_one_monitor_have_separate_rooms(
    run_dag: RunDag, connect: Callable[..., Any], payload: Callable[[str], dict[str, Any]], room_names: Any
) -> None:
    connect()
    first, second = (run_dag(conf_of(name, payload)).room.channel_name for name in ("09a", "09b"))
    assert first != second
    assert all("266154777" in name for name in (first, second))
    assert sorted(room_names()) == sorted([first, second])


def test_repeated_incident_uses_existing_room(
    run_dag: RunDag, connect: Callable[..., Any], room_names: Any, posted_messages: PostedMessages
) -> None:
    connect()
    first, second = run_dag(MANUAL), run_dag(MANUAL)
    assert (first.room.created, second.room.created) == (True, False)
    assert first.room.brief_ts == second.room.brief_ts
    assert room_names() == [first.room.channel_name]


def test_truncated_room_name_keeps_incident_id(
    run_dag: RunDag, connect: Callable[..., Any], room_names: Any
) -> None:
    connect()
    run_dag({**MANUAL, "title": "very " * 40 + "long", "id": "ticket-4711"})
    [name] = room_names()
    assert len(name) <= 80
    assert name.endswith("-ticket-4711")


def test_channel_of_datadog_incident_is_joined(
    run_dag: RunDag, connect: Callable[..., Any], control: SandboxClient, payload: Any, room_names: Any
) -> None:
    """Datadog's Slack integration may have created a channel already."""
    control.add_channel("incident-118", id="C0ABC118", purpose="Purpose set by Datadog", members=[DANA])
    connect()
    run = run_dag(conf_of("06", payload))
    assert (run.room.channel_id, room_names()) == ("C0ABC118", [])
    room = control.channel("C0ABC118")
    assert room["purpose"] == "Purpose set by Datadog"
    assert {BOT, DANA} <= set(room["members"])


def test_private_incident_does_not_use_public_channel(
    run_dag: RunDag, connect: Callable[..., Any], control: SandboxClient, payload: Any, room_names: Any
) -> None:
    control.add_channel("incident-118", id="C0ABC118", members=[DANA])
    connect()
    run = run_dag({**conf_of("06", payload), "private": True})
    assert run.room.private
    assert len(room_names()) == 1
    assert BOT not in control.channel("C0ABC118")["members"]
    assert any("C0ABC118" in problem.what for problem in run.room.problems)


# --- dry-run ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("example_routing")
def test_without_connection_run_is_a_dry_run(
    run_dag: RunDag, payload: Callable[[str], dict[str, Any]], control: SandboxClient
) -> None:
    run = run_dag(conf_of("01", payload))
    assert run.state == "success"
    assert (run.room.mode, run.summary.mode) == (Mode.DRY_RUN, Mode.DRY_RUN)
    assert run.room.channel_id is None
    assert control.calls() == []
    name = "inc-20261123-checkout-5xx-ratio-above-2-148275309"
    brief, findings, summary = (
        run.xcom(task)["would_post"][-1]
        for task in ("create_war_room", "post_investigation_updates", "final_summary")
    )
    for text in (brief, findings, summary):
        assert text.startswith(f"DRY-RUN: would post to #{name}")
        assert text.splitlines()[1] in run.log
    assert run.xcom("final_summary")["would_post"] == [brief, findings, summary]
    assert "Checkout 5xx ratio above 2%" in brief
    assert "dana@acme.example" in brief
    assert "checks could not run" in findings
    assert f"DRY-RUN: would create the public channel #{name}" in run.log
    assert {result["outcome"] for result in run.xcom("resolve_slack_users")["resolutions"]} == {
        ResolutionOutcome.NOT_FOUND
    }


def test_requested_dry_run_posts_nothing(
    run_dag: RunDag, connect: Callable[..., Any], control: SandboxClient
) -> None:
    connect()
    run = run_dag({**MANUAL, "dry_run": True})
    assert (run.state, run.summary.mode) == ("success", Mode.DRY_RUN)
    # Users are looked up, and nothing is changed.
    reads = ("auth.test", "users.", "usergroups.")
    assert [call for call in control.calls() if not call["method"].startswith(reads)] == []
    assert {invitation.query for invitation in run.room.invited} >= {"alice.ng@acme.example"}
    assert run.incident.flags == ()


# --- Slack errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["invalid_auth", "token_revoked", "account_inactive"])
def test_rejected_token_fails_without_retry_and_explains_fix(
    run_dag: RunDag, connect: Callable[..., Any], control: SandboxClient, code: str
) -> None:
    connect()
    control.add_fault(Fault(error=code, times=None))
    run = run_dag(MANUAL, retries=3)
    assert run.state == "failed"
    assert run.states["setup_slack_integration"] == "failed"
    assert run.tries["setup_slack_integration"] == 1
    assert [call["method"] for call in control.calls()] == ["auth.test"] * 2, (
        "create_war_room checks the token once more"
    )
    [setup] = [step for step in run.summary.steps if step.task_id == "setup_slack_integration"]
    assert setup.problem is not None
    assert code in setup.problem.what
    assert "bot token (xoxb-...)" in (setup.problem.fix or "")
    assert run.summary.outcome is RunOutcome.FAILED
    assert run.findings, "the investigation ran anyway"


def test_connection_without_token_is_reported(
    run_dag: RunDag, slack: SandboxServer, connect: Callable[..., Any]
) -> None:
    connect(token="")
    run = run_dag(MANUAL)
    [setup] = [step for step in run.summary.steps if step.task_id == "setup_slack_integration"]
    assert run.state == "failed"
    assert "no Slack token" in str(setup.problem)


def test_slack_outage_fails_the_run_after_retries(
    run_dag: RunDag, connect: Callable[..., Any], control: SandboxClient
) -> None:
    connect()
    control.add_fault(Fault(status=503, body="<html>", times=None))
    run = run_dag(MANUAL, retries=1)
    assert run.state == "failed"
    assert run.tries["setup_slack_integration"] == 2, "the task was retried"
    assert run.states["investigate"] == "success"
    assert run.findings
    assert run.summary.outcome is RunOutcome.FAILED
    assert Verdict.OK not in run.summary.findings


def test_failed_room_is_requested_again(
    run_dag: RunDag, connect: Callable[..., Any], control: SandboxClient
) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    connect()
    control.add_fault(Fault(method="conversations.create", error="restricted_action", times=None))
    run = run_dag({**MANUAL, "id": "without-a-room"}, others=("incident_update.py",))
    assert run.summary.problems[0].code == "no_room"
    with create_session(scoped=False) as session:
        planned = session.query(DagRun).filter(DagRun.dag_id == "incident_update").all()
        [requested] = [each for each in planned if each.run_id.startswith(f"look.{run.incident.key}.")]
    assert requested.conf["incident_key"] == run.incident.key


@pytest.mark.parametrize("after", ["auth.test", "conversations.create", "chat.postMessage", "chat.update"])
def test_outage_during_the_run_is_reported(
    run_dag: RunDag, connect: Callable[..., Any], control: SandboxClient, after: str
) -> None:
    connect()
    waiting = {"auth.test": "users.lookupByEmail", "conversations.create": "chat.postMessage"}
    control.add_fault(Fault(method=waiting.get(after, after), nth=1, times=None, status=503))
    run = run_dag(MANUAL, retries=1)
    assert run.findings
    assert run.summary.outcome in {RunOutcome.FAILED, RunOutcome.DEGRADED}
    assert run.summary.problems or any(step.problem for step in run.summary.steps)
    assert run.state == ("failed" if run.summary.outcome is RunOutcome.FAILED else "success")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "method",
    ["conversations.create", "chat.postMessage", "conversations.invite", "conversations.setPurpose", "pins.add"],
)
def test_dropped_connection_creates_no_duplicates(
    *,
    run_dag: RunDag,
    connect: Callable[..., Any],
    control: SandboxClient,
    room_names: Any,
    posted_messages: PostedMessages,
    method: str,
    when: str,
) -> None:
    connect()
    control.add_fault(Fault(method=method, drop=True, when=when))
    run = run_dag(MANUAL, retries=2)
    assert run.state == "success"
    [name] = room_names()
    messages = posted_messages(name)
    assert len(messages) == 3, "one brief, one batch of findings, one summary"
    assert len({each["metadata"]["event_payload"]["key"] for each in messages}) == 3
    assert ALICE in control.channel(name)["members"]
    assert [invitation.user.id for invitation in run.room.invited] == [ALICE]


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_retry_of_room_creates_no_duplicates(
    *,
    run_dag: RunDag,
    connect: Callable[..., Any],
    control: SandboxClient,
    room_names: Any,
    posted_messages: PostedMessages,
    tries: int,
) -> None:
    """The brief is posted, its response is lost, and the history is unavailable until the task is retried."""
    connect()
    control.add_fault(Fault(method="chat.postMessage", drop=True, when="after"))
    # The history fails for all requests of an attempt, so that a retry of the task must find the brief.
    control.add_fault(Fault(method="conversations.history", status=503, times=4 * tries))
    run = run_dag(MANUAL, retries=3)
    assert (run.state, run.tries["create_war_room"]) == ("success", 1 + tries)
    [name] = room_names()
    briefs = [each for each in posted_messages(name) if each["metadata"]["event_payload"]["key"].endswith("/brief")]
    assert len(briefs) == 1
    assert len(control.channel(name)["pins"]) == 1


@pytest.mark.parametrize("absent", sorted(set(SCOPES) - set(REQUIRED)))
def test_missing_optional_scope_is_explained_in_the_brief(
    run_dag: RunDag,
    connect: Callable[..., Any],
    control: SandboxClient,
    posted_messages: PostedMessages,
    absent: str,
) -> None:
    connect(control.add_token("less", scopes=[scope for scope in SCOPES if scope != absent]))
    users = ["alice.ng@acme.example", "José García", "@sre-oncall"]
    run = run_dag({**MANUAL, "users": users}, retries=1)
    assert run.state == "success"
    brief, *_, summary = posted_messages(run.room.channel_name)
    assert absent in json.dumps(brief["blocks"]), "the brief says which scope is missing"
    assert SCOPES[absent].partition(",")[0] in json.dumps(brief["blocks"]), "and what it is needed for"
    assert summary["metadata"]["event_payload"]["key"].endswith("/summary/0")


@pytest.mark.parametrize("absent", ["channels:join", "channels:read"])
def test_without_channel_scopes_a_new_room_is_opened(
    run_dag: RunDag, connect: Callable[..., Any], control: SandboxClient, payload: Any, absent: str
) -> None:
    control.add_channel("incident-118", id="C0ABC118", members=[DANA])
    connect(control.add_token("less", scopes=[scope for scope in SCOPES if scope != absent]))
    run = run_dag(conf_of("06", payload))
    assert run.state == "success"
    assert run.room.channel_id != "C0ABC118"
    assert "missing_scope" in str(run.room.problems)


def test_without_channels_read_a_second_room_is_opened(
    run_dag: RunDag, connect: Callable[..., Any], control: SandboxClient, room_names: Any
) -> None:
    connect(control.add_token("less", scopes=[scope for scope in SCOPES if scope != "channels:read"]))
    runs = [run_dag(MANUAL), run_dag(MANUAL)]
    assert [run.state for run in runs] == ["success", "success"]
    assert sorted(room_names()) == sorted(run.room.channel_name for run in runs)


def test_without_channels_read_a_retry_uses_its_room(
    run_dag: RunDag, connect: Callable[..., Any], control: SandboxClient, room_names: Any
) -> None:
    connect(control.add_token("less", scopes=[scope for scope in SCOPES if scope != "channels:read"]))
    control.add_fault(Fault(method="chat.postMessage", status=500))
    control.add_fault(Fault(method="conversations.history", status=500, times=4))
    run = run_dag(MANUAL, retries=1)
    assert (run.state, run.tries["create_war_room"]) == ("success", 2)
    assert room_names() == [run.room.channel_name]


@pytest.mark.parametrize("absent", sorted(REQUIRED))
def test_missing_required_scope_fails_and_explains_fix(
    run_dag: RunDag, connect: Callable[..., Any], control: SandboxClient, absent: str
) -> None:
    connect(control.add_token("less", scopes=[scope for scope in SCOPES if scope != absent]))
    run = run_dag(MANUAL, retries=2)
    assert (run.state, run.states["create_war_room"], run.tries["create_war_room"]) == ("failed", "failed", 1)
    [failed] = [step for step in run.summary.steps if step.task_id == "create_war_room"]
    assert absent in str(failed.problem)
    assert "reinstall" in str(failed.problem)


def test_private_room_without_scope_is_not_opened(
    run_dag: RunDag, connect: Callable[..., Any], control: SandboxClient, room_names: Any
) -> None:
    connect(control.add_token("less", scopes=[scope for scope in SCOPES if scope != "groups:write"]))
    run = run_dag({**MANUAL, "private": True})
    assert (run.state, room_names()) == ("failed", [])


def test_brief_is_posted_without_invalid_picture(
    run_dag: RunDag,
    connect: Callable[..., Any],
    control: SandboxClient,
    payload: Any,
    posted_messages: PostedMessages,
) -> None:
    connect()
    control.add_fault(Fault(method="chat.postMessage", error="invalid_blocks"))
    run = run_dag(conf_of("01", payload))
    assert run.state == "success"
    assert not run.room.picture
    assert run.incident.snapshot_url in json.dumps(posted_messages(run.room.channel_name)[0])


def test_unreadable_routing_table_is_reported_in_the_brief(
    run_dag: RunDag,
    connect: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    posted_messages: PostedMessages,
) -> None:
    connect()
    monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(tmp_path / ("deep/" * 30) / "absent.yaml"))
    run = run_dag(MANUAL)
    assert run.state == "success"
    brief = json.dumps(posted_messages(run.room.channel_name)[0])
    assert "no table is in use: The routing table" in brief
