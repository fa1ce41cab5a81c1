"""Each operator in a DAG that knows nothing of incidents: its input from its arguments."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import Fault, SandboxClient

from airflow_incident_provider.exceptions import SlackUnavailableError
from airflow_incident_provider.models import (
    Finding,
    Incident,
    Mode,
    ResolutionOutcome,
    SlackWorkspace,
    ThreadUpdates,
    UserResolution,
    Verdict,
    WarRoom,
)
from airflow_incident_provider.operators.base import MAX_RETRY_DELAY_S, IncidentRetryPolicy
from airflow_incident_provider.operators.create_war_room import CreateWarRoomOperator
from airflow_incident_provider.operators.final_summary import FinalSummaryOperator
from airflow_incident_provider.operators.investigate import InvestigateInContainerOperator
from airflow_incident_provider.operators.parse_incident import ParseIncidentOperator
from airflow_incident_provider.operators.plan_investigation import PlanInvestigationOperator
from airflow_incident_provider.operators.post_thread_update import PostThreadUpdateOperator
from airflow_incident_provider.operators.resolve_slack_users import ResolveSlackUsersOperator
from airflow_incident_provider.operators.setup_slack import SetupSlackOperator

Context = Callable[..., dict[str, Any]]
ALICE, BOT = "U0ALICENG01", "U0WARROOM01"


@pytest.fixture
def connected(connect: Callable[..., Any]) -> None:
    connect()


# --- each by itself ---------------------------------------------------------------------------------


def test_parse_takes_a_payload_of_its_own(context: Context) -> None:
    payload = {"title": "Orders are late", "severity": "high", "users": ["dana@acme.example"]}
    value = ParseIncidentOperator(task_id="t", payload=payload).execute(context())
    incident = Incident.model_validate(value)
    assert (incident.title, incident.responders) == ("Orders are late", ("dana@acme.example",))
    assert incident.timing is not None


def test_parse_drops_a_value_it_cannot_read_and_flags_it(context: Context) -> None:
    value = ParseIncidentOperator(task_id="t").execute(context({"title": "x", "severity": "apocalyptic"}))
    incident = Incident.model_validate(value)
    assert any(flag.field == "severity" and "apocalyptic" in str(flag.value) for flag in incident.flags)


def test_parse_fails_on_a_payload_without_an_incident_and_leaves_the_problem_for_the_summary(
    context: Context,
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    given = context({"datadog": {}})
    with pytest.raises(AirflowFailException):
        ParseIncidentOperator(task_id="t").execute(given)
    assert given["ti"].pushed["problem"]["problem"]["what"]


def test_parse_skips_a_recovery(context: Context, payload: Callable[[str], dict[str, Any]]) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException):
        ParseIncidentOperator(task_id="t").execute(context({"datadog": payload("03")}))


@pytest.mark.usefixtures("connected")
def test_setup_returns_the_workspace(context: Context) -> None:
    value = SetupSlackOperator(task_id="t").execute(context())
    workspace = SlackWorkspace.model_validate(value)
    assert (workspace.mode, workspace.team, workspace.bot_user_id) == (Mode.LIVE, "Acme Retail", BOT)
    assert "xoxb" not in json.dumps(value)


@pytest.mark.usefixtures("connected")
def test_a_requested_dry_run_writes_nothing(context: Context, control: SandboxClient) -> None:
    value = SetupSlackOperator(task_id="t", dry_run=True).execute(context())
    assert value["mode"] == "dry_run"
    assert {call["method"] for call in control.calls()} <= {"auth.test"}, "it only looks"


@pytest.mark.usefixtures("connected")
def test_resolve_takes_users_of_its_own(context: Context) -> None:
    value = ResolveSlackUsersOperator(task_id="t", users=["alice.ng@acme.example", "Chris"]).execute(context())
    alice, chris = UserResolution.model_validate(value).resolutions
    assert (alice.outcome, chris.outcome) == (ResolutionOutcome.RESOLVED, ResolutionOutcome.AMBIGUOUS)
    assert "@acme.example" not in json.dumps([alice.users[0].model_dump(), chris.model_dump()])


@pytest.mark.usefixtures("connected")
def test_room_takes_a_name_and_members_of_its_own(context: Context, control: SandboxClient) -> None:
    operator = CreateWarRoomOperator(
        task_id="t", name="orders-late", title="Orders are late", members=["alice.ng@acme.example", "nobody at all"]
    )
    room = WarRoom.model_validate(operator.execute(context()))
    assert (room.channel_name, room.created) == ("orders-late", True)
    assert [invitation.user.id for invitation in room.invited] == [ALICE]
    assert [each.query for each in room.not_invited] == ["nobody at all"]
    assert set(control.channel("orders-late")["members"]) == {ALICE, BOT}


@pytest.mark.parametrize("name", ["Orders", "orders late", "#orders", "x" * 81, "", "caf\u00e9", "a.b"])
def test_room_refuses_a_name_that_slack_would_refuse(context: Context, name: str) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="name"):
        CreateWarRoomOperator(task_id="t", name=name).execute(context())


@pytest.mark.usefixtures("connected")
def test_room_of_the_same_name_is_the_same_room(context: Context, store: dict[str, Any]) -> None:
    first = CreateWarRoomOperator(task_id="t", name="orders-late").execute(context())
    store.clear()
    second = CreateWarRoomOperator(task_id="t", name="orders-late").execute(context())
    assert (second["channel_id"], second["brief_ts"]) == (first["channel_id"], first["brief_ts"])
    assert (first["created"], second["created"]) == (True, False)


@pytest.mark.usefixtures("connected")
def test_room_that_is_somebody_elses_is_left_alone(context: Context, control: SandboxClient) -> None:
    control.add_channel("orders-late", members=[BOT])
    room = CreateWarRoomOperator(task_id="t", name="orders-late").execute(context())
    assert room["channel_name"] == "orders-late-2"
    assert not any(
        each["user"] == BOT and not each.get("subtype") for each in control.channel("orders-late")["messages"]
    )


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("fate", ["archived", "deleted"])
def test_cleared_task_whose_channel_is_gone_opens_another(
    context: Context, control: SandboxClient, slack: Any, fate: str
) -> None:
    first = CreateWarRoomOperator(task_id="t", name="orders-late").execute(context())
    if fate == "archived":
        slack.workspace.channels[first["channel_id"]].archived = True
    else:
        slack.workspace.rename_channel(slack.workspace.channels.pop(first["channel_id"]), "deleted")
    second = CreateWarRoomOperator(task_id="t", name="orders-late").execute(context())
    assert second["channel_id"] != first["channel_id"]
    assert len(control.channel(second["channel_id"])["pins"]) == 1


@pytest.mark.usefixtures("connected")
def test_cleared_task_repeats_nothing(context: Context, control: SandboxClient) -> None:
    """The task state store tells the second attempt what the first one did."""
    operator = CreateWarRoomOperator(task_id="t", name="orders-late", members=["alice.ng@acme.example"])
    first = operator.execute(context())
    before = control.channel("orders-late")
    assert operator.execute(context())["brief_ts"] == first["brief_ts"]
    after = control.channel("orders-late")
    timestamps = [[each["ts"] for each in seen["messages"]] for seen in (before, after)]
    assert timestamps[0] == timestamps[1], "not even that the topic was set again"
    assert before["bookmarks"] == after["bookmarks"]


@pytest.mark.usefixtures("connected")
def test_thread_takes_a_text_and_a_room_of_its_own(context: Context, control: SandboxClient) -> None:
    room = CreateWarRoomOperator(task_id="t", name="orders-late").execute(context())
    operator = PostThreadUpdateOperator(task_id="t", room=room, text="All is well <!channel> & done")
    updates = ThreadUpdates.model_validate(operator.execute(context()))
    operator.execute(context())
    [reply] = next(each for each in control.channel("orders-late")["messages"] if each["replies"])["replies"]
    assert (reply["ts"], reply["notifies"]["mass"]) == (updates.messages[0].ts, [])
    assert "&lt;!channel&gt; &amp; done" in json.dumps(reply["blocks"])


@pytest.mark.usefixtures("connected")
def test_cleared_task_whose_state_is_forgotten_looks_first(
    context: Context, control: SandboxClient, store: dict[str, Any]
) -> None:
    room = CreateWarRoomOperator(task_id="t", name="orders-late").execute(context())
    operator = PostThreadUpdateOperator(task_id="t", room=room, text="All is well")
    first = operator.execute(context())
    store.clear()
    again = context()
    again["ti"].try_number = 2
    assert operator.execute(again)["messages"] == first["messages"]
    [brief] = [each for each in control.channel("orders-late")["messages"] if each["replies"]]
    assert len(brief["replies"]) == 1


@pytest.mark.usefixtures("connected")
def test_thread_takes_findings_of_its_own(context: Context, control: SandboxClient) -> None:
    room = CreateWarRoomOperator(task_id="t", name="orders-late").execute(context())
    finding = Finding(
        probe="rows",
        target="orders",
        verdict=Verdict.FAIL,
        summary="60 rows are missing",
        started_at=room["opened_at"],
    )
    value = PostThreadUpdateOperator(task_id="t", room=room, findings=[finding]).execute(context())
    assert value["counts"] == {"fail": 1}
    assert "60 rows are missing" in json.dumps(control.channel("orders-late"))


def test_nothing_to_say_is_not_said(context: Context) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match="no room"):
        PostThreadUpdateOperator(task_id="t").execute(context())
    with pytest.raises(AirflowSkipException, match="no incident"):
        PlanInvestigationOperator(task_id="t").execute(context())
    with pytest.raises(AirflowSkipException, match="no incident"):
        CreateWarRoomOperator(task_id="t").execute(context())


# --- containers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"image": "alpine:3.23", "probe": {"probe": "dns"}}])
def test_investigation_takes_a_probe_or_an_image(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either a probe of the catalogue or an image"):
        InvestigateInContainerOperator(task_id="t", **options)


@pytest.mark.parametrize("network", ["host", "container:slack"])
def test_investigation_stays_in_its_container(network: str) -> None:
    with pytest.raises(ValueError, match="would leave the container"):
        InvestigateInContainerOperator(task_id="t", image="alpine:3.23", network_mode=network)


def test_investigation_without_an_engine(context: Context, tmp_path: Path) -> None:
    from airflow_incident_provider.containers import EngineError

    options = {"image": "alpine:3.23", "command": ["true"], "docker_url": f"unix://{tmp_path}/none.sock"}
    value = InvestigateInContainerOperator(task_id="t", **options).execute(context())
    assert value["verdict"] == "unknown"
    assert "no Docker Engine answers" in value["summary"]
    with pytest.raises(EngineError, match="no Docker Engine answers"):
        InvestigateInContainerOperator(task_id="t", if_unavailable="fail", **options).execute(context())


def test_refused_target_is_skipped_without_asking_the_engine(context: Context, tmp_path: Path) -> None:
    probe = {"probe": "http", "target": {"url": "http://169.254.169.254/"}, "refused": "metadata may not be probed"}
    operator = InvestigateInContainerOperator(task_id="t", probe=probe, docker_url=f"unix://{tmp_path}/none.sock")
    value = operator.execute(context())
    assert value["verdict"] == "skipped"
    assert "metadata may not be probed" in value["summary"]


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
@pytest.mark.parametrize(("command", "verdict"), [(["true"], "ok"), (["sh", "-c", "echo no; exit 4"], "fail")])
def test_image_of_ones_own(context: Context, command: list[str], verdict: str) -> None:
    operator = InvestigateInContainerOperator(
        task_id="t", image="alpine:3.23", command=command, network_mode="none", pull="never"
    )
    value = operator.execute(context())
    assert (value["verdict"], value["exit_code"]) == (verdict, 0 if verdict == "ok" else 4)
    assert value["image_digest"].startswith("sha256:")


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_parser_of_ones_own(context: Context) -> None:
    def parse(output: Any) -> Finding:
        return Finding(
            probe="count",
            target="rows",
            verdict=Verdict.WARN,
            summary=f"{output.stdout.decode().strip()} rows",
            started_at=output.started_at,
        )

    operator = InvestigateInContainerOperator(
        task_id="t", image="alpine:3.23", command=["echo", "12"], network_mode="none", parser=parse
    )
    assert operator.execute(context())["summary"] == "12 rows"


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"command": ["sleep", "60"], "container_timeout": 1}, "did not end in time"),
        ({"command": ["true"], "image": "127.0.0.1:1/nope:1"}, "is not on this engine"),
        ({"command": ["no-such-program"]}, "could not run"),
    ],
    ids=["too slow", "no image", "no program"],
)
def test_what_could_not_run_is_unknown_and_never_ok(context: Context, options: dict[str, Any], words: str) -> None:
    wanted = {"image": "alpine:3.23", "network_mode": "none"} | options
    value = InvestigateInContainerOperator(task_id="t", **wanted).execute(context())
    assert value["verdict"] == "unknown"
    assert words in value["summary"]


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
@pytest.mark.parametrize(
    "command", [["sleep", "60"], ["sh", "-c", "exit 137"], ["sh", "-c", "yes | head -c 2000000"]]
)
def test_parser_is_not_asked_about_a_container_that_did_not_come_to_its_end(
    context: Context, command: list[str]
) -> None:
    """The parser of the documentation took each of them for a replica that is -1 s behind, and ok."""

    def parse(output: Any) -> Finding:
        raise AssertionError("the parser was called")

    operator = InvestigateInContainerOperator(
        task_id="t", image="alpine:3.23", command=command, network_mode="none", parser=parse, container_timeout=2
    )
    value = operator.execute(context())
    assert (value["verdict"], value["probe"], value["target"]) == ("unknown", "t", "")


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
@pytest.mark.parametrize(
    ("command", "fail_on", "fails"),
    [
        (["true"], ("fail",), False),
        (["false"], ("fail",), True),
        (["false"], (), False),
        (["no-such-program"], ("fail",), False),
        (["no-such-program"], ("fail", "unknown"), True),
    ],
)
def test_task_fails_on_the_verdicts_that_it_is_to_fail_on(
    context: Context, command: list[str], fail_on: tuple[str, ...], fails: bool
) -> None:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    options = {"image": "alpine:3.23", "command": command, "network_mode": "none", "fail_on": fail_on}
    given = context()
    if not fails:
        assert InvestigateInContainerOperator(task_id="t", **options).execute(given)
        return
    with pytest.raises(AirflowException) as raised:
        InvestigateInContainerOperator(task_id="t", **options).execute(given)
    assert not isinstance(raised.value, AirflowFailException)
    assert given["ti"].pushed["return_value"]["verdict"] in fail_on
    with pytest.raises(AirflowFailException):
        InvestigateInContainerOperator(task_id="t", retry_on_failure=False, **options).execute(given)


def test_verdict_to_fail_on_is_checked_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="'broken' is not a valid Verdict"):
        InvestigateInContainerOperator(task_id="t", image="alpine:3.23", fail_on=("broken",))
    with pytest.raises(ValueError, match=r'write \("fail",\)'):
        InvestigateInContainerOperator(task_id="t", image="alpine:3.23", fail_on="fail")


# --- what is done about errors ----------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "waited"), [(0.5, 0.5), (30.0, 30.0), (3600.0, MAX_RETRY_DELAY_S)])
def test_retry_waits_as_long_as_slack_asked_within_reason(asked: float, waited: float) -> None:
    decision = IncidentRetryPolicy().evaluate(SlackUnavailableError("busy", retry_after=asked), 1, 3)
    assert decision.retry_delay is not None
    assert decision.retry_delay.total_seconds() == waited


@pytest.mark.usefixtures("connected")
def test_slack_that_is_down_is_left_to_the_tasks_retries(context: Context, control: SandboxClient) -> None:
    control.add_fault(Fault(status=503, times=None))
    given = context()
    with pytest.raises(SlackUnavailableError):
        SetupSlackOperator(task_id="t").execute(given)
    assert "HTTP 503" in given["ti"].pushed["problem"]["problem"]["what"]


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize(
    "fault",
    [
        {"error": "ratelimited", "headers": {"Retry-After": "3600"}},
        {"status": 500},
        {"status": 404, "body": "<html>not here</html>"},
        {"error": "no_such_error"},
        {"delay_ms": 60_000},
    ],
    ids=["limited for an hour", "500", "404 HTML", "unknown error", "hangs"],
)
@pytest.mark.parametrize("method", ["users.lookupByEmail", "usergroups.list"])
def test_lookups_that_slack_does_not_answer_delay_nobody(
    context: Context, control: SandboxClient, method: str, fault: dict[str, Any]
) -> None:
    """The people who can be resolved are, within the budget; the others are reported and asked for later."""
    control.add_fault(Fault(method=method, times=None, **fault))
    began = time.monotonic()
    users = ["alice.ng@acme.example", "@sre-oncall"]
    found = ResolveSlackUsersOperator(task_id="t", users=users).execute(context())
    assert time.monotonic() - began < 20, "the budget of 3 s was not kept, even on a loaded machine"
    outcomes = dict(zip(("users.lookupByEmail", "usergroups.list"), found["resolutions"], strict=True))
    assert outcomes.pop(method)["outcome"] == "not_found"
    assert [other["outcome"] for other in outcomes.values()] == ["resolved"]
    assert {problem["step"] for problem in found["problems"]} == {"resolve_slack_users"}


@pytest.mark.usefixtures("connected")
def test_lookup_is_retried_only_if_slack_answers_nothing(context: Context, control: SandboxClient) -> None:
    control.add_fault(Fault(status=503, times=None))
    given = context()
    given["ti"].max_tries = 3
    workspace = {"mode": "live", "team_id": "T0"}
    with pytest.raises(SlackUnavailableError):
        ResolveSlackUsersOperator(task_id="t", users=["alice.ng@acme.example"], workspace=workspace).execute(given)


@pytest.mark.parametrize("fail_run", [True, False])
def test_summary_fails_the_run_by_default(
    context: Context, monkeypatch: pytest.MonkeyPatch, fail_run: bool
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    given = context()
    monkeypatch.setattr(given["ti"], "get_task_states", lambda **_: {"r": {"parse_incident_event": "failed"}})
    operator = FinalSummaryOperator(task_id="t", fail_run=fail_run)
    if not fail_run:
        assert operator.execute(given)["outcome"] == "failed"
        return
    with pytest.raises(AirflowFailException, match="parse_incident_event"):
        operator.execute(given)
    assert given["ti"].pushed["return_value"]["outcome"] == "failed", "it is kept all the same"
