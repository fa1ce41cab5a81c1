"""Each operator in an unrelated DAG, with its input from its arguments."""

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
    ProbeRun,
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


# --- single operators ---------------------------------------------------------------------------------


def test_parse_accepts_payload_argument(context: Context) -> None:
    payload = {"title": "Orders are late", "severity": "high", "users": ["dana@acme.example"]}
    value = ParseIncidentOperator(task_id="t", payload=payload).execute(context())
    incident = Incident.model_validate(value)
    assert (incident.title, incident.responders) == ("Orders are late", ("dana@acme.example",))
    assert incident.timing is not None


def test_parse_flags_invalid_value(context: Context) -> None:
    value = ParseIncidentOperator(task_id="t").execute(context({"title": "x", "severity": "apocalyptic"}))
    incident = Incident.model_validate(value)
    assert any(flag.field == "severity" and "apocalyptic" in str(flag.value) for flag in incident.flags)


def test_parse_fails_on_empty_payload_and_pushes_problem(
    context: Context,
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    task_context = context({"datadog": {}})
    with pytest.raises(AirflowFailException):
        ParseIncidentOperator(task_id="t").execute(task_context)
    assert task_context["ti"].pushed["problem"]["problem"]["what"]


def test_parse_skips_recovery(context: Context, payload: Callable[[str], dict[str, Any]]) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException):
        ParseIncidentOperator(task_id="t").execute(context({"datadog": payload("03")}))


@pytest.mark.usefixtures("connected")
def test_setup_returns_workspace(context: Context) -> None:
    value = SetupSlackOperator(task_id="t").execute(context())
    workspace = SlackWorkspace.model_validate(value)
    assert (workspace.mode, workspace.team, workspace.bot_user_id) == (Mode.LIVE, "Acme Retail", BOT)
    assert "xoxb" not in json.dumps(value)


@pytest.mark.usefixtures("connected")
def test_dry_run_writes_nothing(context: Context, control: SandboxClient) -> None:
    value = SetupSlackOperator(task_id="t", dry_run=True).execute(context())
    assert value["mode"] == "dry_run"
    assert {call["method"] for call in control.calls()} <= {"auth.test"}, "a dry run must not write"


@pytest.mark.usefixtures("connected")
def test_resolve_accepts_users_argument(context: Context) -> None:
    value = ResolveSlackUsersOperator(task_id="t", users=["alice.ng@acme.example", "Chris"]).execute(context())
    alice, chris = UserResolution.model_validate(value).resolutions
    assert (alice.outcome, chris.outcome) == (ResolutionOutcome.RESOLVED, ResolutionOutcome.AMBIGUOUS)
    assert "@acme.example" not in json.dumps([alice.users[0].model_dump(), chris.model_dump()])


@pytest.mark.usefixtures("connected")
def test_room_accepts_name_and_members(context: Context, control: SandboxClient) -> None:
    operator = CreateWarRoomOperator(
        task_id="t", name="orders-late", title="Orders are late", members=["alice.ng@acme.example", "nobody at all"]
    )
    room = WarRoom.model_validate(operator.execute(context()))
    assert (room.channel_name, room.created) == ("orders-late", True)
    assert [invitation.user.id for invitation in room.invited] == [ALICE]
    assert [each.query for each in room.not_invited] == ["nobody at all"]
    assert set(control.channel("orders-late")["members"]) == {ALICE, BOT}


@pytest.mark.parametrize("name", ["Orders", "orders late", "#orders", "x" * 81, "", "caf\u00e9", "a.b"])
def test_room_refuses_invalid_name(context: Context, name: str) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="name"):
        CreateWarRoomOperator(task_id="t", name=name).execute(context())


@pytest.mark.usefixtures("connected")
def test_room_with_same_name_is_reused(context: Context, store: dict[str, Any]) -> None:
    first = CreateWarRoomOperator(task_id="t", name="orders-late").execute(context())
    store.clear()
    second = CreateWarRoomOperator(task_id="t", name="orders-late").execute(context())
    assert (second["channel_id"], second["brief_ts"]) == (first["channel_id"], first["brief_ts"])
    assert (first["created"], second["created"]) == (True, False)


@pytest.mark.usefixtures("connected")
def test_room_of_other_creator_is_not_used(context: Context, control: SandboxClient) -> None:
    control.add_channel("orders-late", members=[BOT])
    room = CreateWarRoomOperator(task_id="t", name="orders-late").execute(context())
    assert room["channel_name"] == "orders-late-2"
    assert not any(
        each["user"] == BOT and not each.get("subtype") for each in control.channel("orders-late")["messages"]
    )


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize("state", ["archived", "deleted"])
def test_cleared_task_opens_new_room_if_channel_is_gone(
    context: Context, control: SandboxClient, slack: Any, state: str
) -> None:
    first = CreateWarRoomOperator(task_id="t", name="orders-late").execute(context())
    if state == "archived":
        slack.workspace.channels[first["channel_id"]].archived = True
    else:
        slack.workspace.rename_channel(slack.workspace.channels.pop(first["channel_id"]), "deleted")
    second = CreateWarRoomOperator(task_id="t", name="orders-late").execute(context())
    assert second["channel_id"] != first["channel_id"]
    assert len(control.channel(second["channel_id"])["pins"]) == 1


@pytest.mark.usefixtures("connected")
def test_cleared_task_reuses_stored_results(context: Context, control: SandboxClient) -> None:
    """Reuse the results that the task state store keeps."""
    operator = CreateWarRoomOperator(task_id="t", name="orders-late", members=["alice.ng@acme.example"])
    first = operator.execute(context())
    before = control.channel("orders-late")
    assert operator.execute(context())["brief_ts"] == first["brief_ts"]
    after = control.channel("orders-late")
    timestamps = [[each["ts"] for each in seen["messages"]] for seen in (before, after)]
    assert timestamps[0] == timestamps[1], "the topic must not be set again"
    assert before["bookmarks"] == after["bookmarks"]


@pytest.mark.usefixtures("connected")
def test_thread_accepts_text_and_room(context: Context, control: SandboxClient) -> None:
    room = CreateWarRoomOperator(task_id="t", name="orders-late").execute(context())
    operator = PostThreadUpdateOperator(task_id="t", room=room, text="All is well <!channel> & done")
    updates = ThreadUpdates.model_validate(operator.execute(context()))
    operator.execute(context())
    [reply] = next(each for each in control.channel("orders-late")["messages"] if each["replies"])["replies"]
    assert (reply["ts"], reply["notifies"]["mass"]) == (updates.messages[0].ts, [])
    assert "&lt;!channel&gt; &amp; done" in json.dumps(reply["blocks"])


@pytest.mark.usefixtures("connected")
def test_cleared_task_without_state_finds_posted_message(
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
def test_thread_accepts_findings(context: Context, control: SandboxClient) -> None:
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


def test_tasks_without_input_are_skipped(context: Context) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    with pytest.raises(AirflowSkipException, match="no room"):
        PostThreadUpdateOperator(task_id="t").execute(context())
    with pytest.raises(AirflowSkipException, match="no incident"):
        PlanInvestigationOperator(task_id="t").execute(context())
    with pytest.raises(AirflowSkipException, match="no incident"):
        CreateWarRoomOperator(task_id="t").execute(context())


# --- containers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"image": "alpine:3.23", "probe": {"probe": "dns"}}])
def test_investigation_requires_probe_or_image(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either a probe of the catalogue or an image"):
        InvestigateInContainerOperator(task_id="t", **options)


@pytest.mark.parametrize("network", ["host", "container:slack"])
def test_investigation_refuses_shared_network(network: str) -> None:
    with pytest.raises(ValueError, match="would leave the container"):
        InvestigateInContainerOperator(task_id="t", image="alpine:3.23", network_mode=network)


def test_investigation_without_docker_engine(context: Context, tmp_path: Path) -> None:
    from airflow_incident_provider.containers import EngineError

    options = {"image": "alpine:3.23", "command": ["true"], "docker_url": f"unix://{tmp_path}/none.sock"}
    value = InvestigateInContainerOperator(task_id="t", **options).execute(context())
    assert value["verdict"] == "unknown"
    assert "no Docker Engine answers" in value["summary"]
    with pytest.raises(EngineError, match="no Docker Engine answers"):
        InvestigateInContainerOperator(task_id="t", if_unavailable="fail", **options).execute(context())


def test_refused_target_is_skipped_without_engine(context: Context, tmp_path: Path) -> None:
    probe = {"probe": "http", "target": {"url": "http://169.254.169.254/"}, "refused": "metadata may not be probed"}
    operator = InvestigateInContainerOperator(task_id="t", probe=probe, docker_url=f"unix://{tmp_path}/none.sock")
    value = operator.execute(context())
    assert value["verdict"] == "skipped"
    assert "metadata may not be probed" in value["summary"]


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
@pytest.mark.parametrize(("command", "verdict"), [(["true"], "ok"), (["sh", "-c", "echo no; exit 4"], "fail")])
def test_custom_image_verdict(context: Context, command: list[str], verdict: str) -> None:
    operator = InvestigateInContainerOperator(
        task_id="t", image="alpine:3.23", command=command, network_mode="none", pull="never"
    )
    value = operator.execute(context())
    assert (value["verdict"], value["exit_code"]) == (verdict, 0 if verdict == "ok" else 4)
    assert value["image_digest"].startswith("sha256:")


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_custom_parser(context: Context) -> None:
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
    ("options", "message"),
    [
        ({"command": ["sleep", "60"], "container_timeout": 1}, "did not end in time"),
        ({"command": ["true"], "image": "127.0.0.1:1/nope:1"}, "is not on this engine"),
        ({"command": ["no-such-program"]}, "could not run"),
    ],
    ids=["timeout", "missing image", "missing program"],
)
def test_failed_container_verdict_is_unknown(context: Context, options: dict[str, Any], message: str) -> None:
    arguments = {"image": "alpine:3.23", "network_mode": "none"} | options
    value = InvestigateInContainerOperator(task_id="t", **arguments).execute(context())
    assert value["verdict"] == "unknown"
    assert message in value["summary"]


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
@pytest.mark.parametrize(
    "command", [["sleep", "60"], ["sh", "-c", "exit 137"], ["sh", "-c", "yes | head -c 2000000"]]
)
def test_parser_is_not_called_for_aborted_container(context: Context, command: list[str]) -> None:
    """A naive parser reads truncated output as an ok result."""

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
def test_fail_on_verdicts(context: Context, command: list[str], fail_on: tuple[str, ...], fails: bool) -> None:
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    options = {"image": "alpine:3.23", "command": command, "network_mode": "none", "fail_on": fail_on}
    task_context = context()
    if not fails:
        assert InvestigateInContainerOperator(task_id="t", **options).execute(task_context)
        return
    with pytest.raises(AirflowException) as exc_info:
        InvestigateInContainerOperator(task_id="t", **options).execute(task_context)
    assert not isinstance(exc_info.value, AirflowFailException)
    assert task_context["ti"].pushed["return_value"]["verdict"] in fail_on
    with pytest.raises(AirflowFailException):
        InvestigateInContainerOperator(task_id="t", retry_on_failure=False, **options).execute(task_context)


def test_invalid_fail_on_is_refused_at_parse_time() -> None:
    with pytest.raises(ValueError, match="'broken' is not a valid Verdict"):
        InvestigateInContainerOperator(task_id="t", image="alpine:3.23", fail_on=("broken",))
    with pytest.raises(ValueError, match=r'write \("fail",\)'):
        InvestigateInContainerOperator(task_id="t", image="alpine:3.23", fail_on="fail")


# --- errors ----------------------------------------------------------------------


@pytest.mark.parametrize(("retry_after", "expected"), [(0.5, 0.5), (30.0, 30.0), (3600.0, MAX_RETRY_DELAY_S)])
def test_retry_delay_follows_retry_after_within_limit(retry_after: float, expected: float) -> None:
    decision = IncidentRetryPolicy().evaluate(SlackUnavailableError("busy", retry_after=retry_after), 1, 3)
    assert decision.retry_delay is not None
    assert decision.retry_delay.total_seconds() == expected


@pytest.mark.usefixtures("connected")
def test_slack_outage_raises_for_retry(context: Context, control: SandboxClient) -> None:
    control.add_fault(Fault(status=503, times=None))
    task_context = context()
    with pytest.raises(SlackUnavailableError):
        SetupSlackOperator(task_id="t").execute(task_context)
    assert "HTTP 503" in task_context["ti"].pushed["problem"]["problem"]["what"]


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
    ids=["rate limited", "500", "404 HTML", "unknown error", "hangs"],
)
@pytest.mark.parametrize("method", ["users.lookupByEmail", "usergroups.list"])
def test_failed_lookups_do_not_delay_others(
    context: Context, control: SandboxClient, method: str, fault: dict[str, Any]
) -> None:
    """Resolve the remaining people within the budget and report the others."""
    control.add_fault(Fault(method=method, times=None, **fault))
    started_at = time.monotonic()
    users = ["alice.ng@acme.example", "@sre-oncall"]
    result = ResolveSlackUsersOperator(task_id="t", users=users).execute(context())
    assert time.monotonic() - started_at < 20, "the budget of 3 s was exceeded, even allowing for a loaded machine"
    outcomes = dict(zip(("users.lookupByEmail", "usergroups.list"), result["resolutions"], strict=True))
    assert outcomes.pop(method)["outcome"] == "not_found"
    assert [other["outcome"] for other in outcomes.values()] == ["resolved"]
    assert {problem["step"] for problem in result["problems"]} == {"resolve_slack_users"}


@pytest.mark.usefixtures("connected")
def test_lookup_is_retried_if_slack_does_not_respond(context: Context, control: SandboxClient) -> None:
    control.add_fault(Fault(status=503, times=None))
    task_context = context()
    task_context["ti"].max_tries = 3
    workspace = {"mode": "live", "team_id": "T0"}
    with pytest.raises(SlackUnavailableError):
        ResolveSlackUsersOperator(task_id="t", users=["alice.ng@acme.example"], workspace=workspace).execute(
            task_context
        )


@pytest.mark.parametrize("fail_run", [True, False])
def test_summary_fails_run_by_default(context: Context, monkeypatch: pytest.MonkeyPatch, fail_run: bool) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    task_context = context()
    monkeypatch.setattr(
        task_context["ti"], "get_task_states", lambda **_: {"r": {"parse_incident_event": "failed"}}
    )
    operator = FinalSummaryOperator(task_id="t", fail_run=fail_run)
    if not fail_run:
        assert operator.execute(task_context)["outcome"] == "failed"
        return
    with pytest.raises(AirflowFailException, match="parse_incident_event"):
        operator.execute(task_context)
    assert task_context["ti"].pushed["return_value"]["outcome"] == "failed", (
        "the value must be pushed although the task fails"
    )


def test_summary_of_steps_under_other_ids_is_refused(context: Context) -> None:
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG, TaskGroup
    from airflow.sdk.exceptions import AirflowFailException

    with DAG("grouped") as dag, TaskGroup("first"):
        EmptyOperator(task_id="parse_incident_event")
        summary = FinalSummaryOperator(task_id="final_summary")
    given = {**context(), "dag": dag}
    given["ti"].task_id = summary.task_id
    with pytest.raises(AirflowFailException, match="prefix_group_id=False"):
        summary.execute(given)


@pytest.mark.parametrize("severity", ["apocalyptic", "{{ params.severity }}"])
def test_severity_that_is_none_is_refused_when_the_dag_is_parsed(severity: str) -> None:
    with pytest.raises(ValueError, match=r"severity: .* use critical, high"):
        CreateWarRoomOperator(task_id="t", name="a", severity=severity)


def test_command_as_one_text_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="list of arguments"):
        InvestigateInContainerOperator(task_id="t", image="alpine:3.23", command="nc -z db 5432")


def test_ca_bundle_may_have_comments_in_any_charset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_incident_provider.containers import ProbeSettingsError, probe_settings

    block = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(
        f"# NetLock Arany Főtanúsítvány\n{block}\n# Bürger-CA\n{block}\n".encode("iso8859-2", "replace")
    )
    monkeypatch.setenv("AIRFLOW__INCIDENT__PROBE_CA_FILE", str(bundle))
    assert probe_settings(ProbeRun(probe="control")).ca_pem == f"{block}\n{block}\n"
    bundle.write_bytes(b"\x30\x82\x01")
    with pytest.raises(ProbeSettingsError, match="no certificate in PEM"):
        probe_settings(ProbeRun(probe="control"))


@pytest.mark.usefixtures("connected")
@pytest.mark.parametrize(
    ("value", "mode"),
    [
        (True, "dry_run"),
        ("true", "dry_run"),
        ("Yes", "dry_run"),
        (1, "dry_run"),
        ("false", "live"),
        ("maybe", "live"),
    ],
)
def test_conf_requests_dry_run_in_any_words_for_yes(context: Context, value: object, mode: str) -> None:
    conf = {"title": "Orders are late", "severity": "high", "dry_run": value}
    assert SetupSlackOperator(task_id="t").execute(context(conf))["mode"] == mode
    flags = Incident.model_validate(ParseIncidentOperator(task_id="t").execute(context(conf))).flags
    assert [flag.field for flag in flags] == (["dry_run"] if value == "maybe" else [])
