"""The operators in the example DAGs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
from incident_sandbox import SandboxClient

from airflow_incident_provider.models import Finding, Verdict, WarRoom

from .conftest import BOT, Run

FILE = "examples/data_quality.py"


@pytest.fixture
def with_engine(no_engine: None, monkeypatch: pytest.MonkeyPatch, docker_engine: Any) -> None:
    """Use the engine of this machine."""
    monkeypatch.delenv("DOCKER_HOST")


@pytest.mark.docker
@pytest.mark.usefixtures("with_engine")
def test_missing_data_opens_room(
    run_dag: Callable[..., Run],
    connect: Callable[..., Any],
    control: SandboxClient,
    room_names: Callable[[], list[str]],
    posted_messages: Callable[[str], list[dict[str, Any]]],
) -> None:
    connect()
    run = run_dag({"orders": 12, "expected": 1000}, file=FILE)
    assert run.state == "success"
    finding = Finding.model_validate(run.xcom("check_orders"))
    assert (finding.verdict, finding.exit_code) == (Verdict.FAIL, 1)
    assert "12 of 1000 orders arrived" in finding.evidence
    [name] = room_names()
    assert re.fullmatch(r"data-\d{8}t\d{6}", name)
    room = WarRoom.model_validate(run.xcom("open_room"))
    assert {invitation.user.id for invitation in room.invited} == {"U0DANAREYES", "U0ZOEMS0001"}
    assert set(control.channel(name)["members"]) == {BOT, "U0DANAREYES", "U0ZOEMS0001"}
    brief, update = posted_messages(name)
    assert "Orders are missing" in json.dumps(brief["blocks"])
    assert "12 of 1000 orders arrived" in json.dumps(update["blocks"])
    assert update["thread_ts"] == brief["ts"]


@pytest.mark.docker
@pytest.mark.usefixtures("with_engine")
def test_complete_data_opens_no_room(
    run_dag: Callable[..., Run], connect: Callable[..., Any], room_names: Callable[[], list[str]]
) -> None:
    connect()
    run = run_dag({"orders": 1000, "expected": 1000}, file=FILE)
    assert (run.state, run.states["open_room"], room_names()) == ("success", "skipped", [])


def test_unavailable_engine_fails_the_check(
    run_dag: Callable[..., Run], connect: Callable[..., Any], room_names: Callable[[], list[str]]
) -> None:
    connect()
    run = run_dag({"orders": 12}, file=FILE)
    assert (run.state, run.states["check_orders"], room_names()) == ("failed", "failed", [])
    assert "no Docker Engine answers" in run.log


@pytest.mark.docker
@pytest.mark.usefixtures("with_engine")
def test_without_connection_room_is_logged_as_dry_run(run_dag: Callable[..., Run], control: SandboxClient) -> None:
    run = run_dag({"orders": 12}, file=FILE)
    assert (run.state, control.calls()) == ("success", [])
    assert "DRY-RUN: would create the public channel #data-2" in run.log
    assert "12 of 1000 orders arrived" in run.xcom("tell_people")["would_post"][0]


OPERATORS = """
from airflow.sdk import DAG, TaskGroup, task, task_group
from airflow_incident_provider.operators import (
    CreateWarRoomOperator,
    InvestigateInContainerOperator,
    ParseIncidentOperator,
    PlanInvestigationOperator,
    PostThreadUpdateOperator,
    ResolveSlackUsersOperator,
    SetupSlackOperator,
)
"""
REPORT = '{"title": "Orders are {{ late }}", "severity": "high", "users": ["dana@acme.example"]}'


@pytest.fixture
def run_text(run_dag: Callable[..., Run], connect: Callable[..., Any], tmp_path: Path) -> Callable[..., Run]:
    """Return a function that runs a DAG that somebody wrote with these operators."""
    connect()

    def run_text(text: str, **options: Any) -> Run:
        (tmp_path / "somebody.py").write_text(f"{OPERATORS}\n{dedent(text)}", encoding="utf-8")
        return run_dag(file=str(tmp_path / "somebody.py"), **options)

    return run_text


def test_outputs_of_tasks_under_any_id_are_passed_as_arguments(run_text: Callable[..., Run]) -> None:
    run = run_text(f"""
        with DAG("d", schedule=None):
            report = task(lambda: {REPORT}, task_id="report")()
            parsed = ParseIncidentOperator(task_id="read", payload=report)
            slack = SetupSlackOperator(task_id="slack")
            who = ResolveSlackUsersOperator(task_id="who", incident=parsed.output, workspace=slack.output)
            room = CreateWarRoomOperator(
                task_id="room", incident=parsed.output, workspace=slack.output, people=who.output
            )
            PostThreadUpdateOperator(
                task_id="post", room=room.output, workspace=slack.output, incident=parsed.output, text="hello"
            )
            PlanInvestigationOperator(task_id="plan", incident=parsed.output)
    """)
    assert run.state == "success"
    assert run.xcom("read")["title"] == "Orders are {{ late }}", "text of an alert is no template"
    assert [each["user"]["id"] for each in run.xcom("room")["invited"]] == ["U0DANAREYES"]
    assert run.xcom("post")["channel_id"] == run.xcom("room")["channel_id"]


def test_steps_in_task_groups_read_those_of_their_group(
    run_text: Callable[..., Run], room_names: Callable[[], list[str]]
) -> None:
    run = run_text("""
        with DAG("d", schedule=None):
            with TaskGroup("incident"):
                parsed = ParseIncidentOperator(task_id="parse_incident_event", payload={"title": "T"})
                parsed >> CreateWarRoomOperator(task_id="create_war_room")

            @task_group
            def own(name):
                room = CreateWarRoomOperator(task_id="create_war_room", name=name)
                room >> PostThreadUpdateOperator(task_id="post", text="hello")

            own.expand(name=["room-a", "room-b"])
    """)
    assert run.state == "success"
    assert len(room_names()) == 3
    for index, name in enumerate(("room-a", "room-b")):
        posted_to = run.xcom("own.post", index)["channel_id"]
        assert (run.xcom("own.create_war_room", index)["channel_name"], posted_to) == (
            name,
            run.xcom("own.create_war_room", index)["channel_id"],
        )


@pytest.mark.parametrize(
    ("operators", "fix"),
    [
        ('CreateWarRoomOperator(task_id="room")', "Pass incident="),
        (
            'CreateWarRoomOperator(task_id="room", name="a") >> PostThreadUpdateOperator(task_id="p", text="x")',
            "room=",
        ),
        ('PlanInvestigationOperator(task_id="plan")', "Pass incident="),
    ],
)
def test_input_that_no_task_can_give_fails_instead_of_being_skipped(
    run_text: Callable[..., Run], operators: str, fix: str
) -> None:
    run = run_text(f'with DAG("d", schedule=None):\n    {operators}')
    assert run.state == "failed"
    assert fix in run.log


def test_argument_that_a_skipped_task_left_empty_is_not_replaced_by_another_one(
    run_text: Callable[..., Run], room_names: Callable[[], list[str]]
) -> None:
    run = run_text("""
        with DAG("d", schedule=None):
            everybody = CreateWarRoomOperator(task_id="create_war_room", name="everybody")
            small = task.short_circuit(lambda: False, task_id="nothing_secret")()
            secret = CreateWarRoomOperator(task_id="secret_room", name="few", private=True)
            post = PostThreadUpdateOperator(
                task_id="post", room=secret.output, text="for few", trigger_rule="none_failed"
            )
            small >> secret
            everybody >> post
    """)
    assert (run.states["create_war_room"], run.states["post"], room_names()) == (
        "success",
        "skipped",
        ["everybody"],
    )


@pytest.mark.parametrize("members", ["None", "''", "'dana@acme.example; @nobody'", "'{{ params.who }}'"])
def test_values_that_templates_render_natively_are_read(run_text: Callable[..., Run], members: str) -> None:
    run = run_text(f"""
        who = ["dana@acme.example"]
        with DAG("d", schedule=None, render_template_as_native_obj=True, params={{"n": 7, "who": who}}):
            room = CreateWarRoomOperator(
                task_id="room", name="{{{{ params.n }}}}", title="{{{{ params.n }}}}", text="{{{{ none }}}}",
                members={members}, severity="P1",
            )
            check = InvestigateInContainerOperator.partial(task_id="check", image="alpine:3.23").expand(
                command=[["true"], ["false"]]
            )
            one = InvestigateInContainerOperator(
                task_id="one", image="alpine:3.23", command=task(lambda: ["true"], task_id="command")()
            )
            PostThreadUpdateOperator(task_id="number", room=room.output, text="{{{{ params.n }}}}")
            PostThreadUpdateOperator(task_id="single", room=room.output, findings=one.output)
            PostThreadUpdateOperator(task_id="nested", room=room.output, findings=[one.output, check.output])
    """)
    assert run.state == "success"
    assert run.xcom("room")["channel_name"] == "7"
    assert len(run.xcom("room")["invited"]) == ("dana" in members or "params" in members)
    assert [run.xcom(each)["counts"] for each in ("single", "nested")] == [{"unknown": 1}, {"unknown": 3}]


def test_example_of_the_room_in_its_docstring_runs(run_text: Callable[..., Run]) -> None:
    from airflow_incident_provider.operators import CreateWarRoomOperator

    example = dedent(str(CreateWarRoomOperator.__doc__).partition(".. code-block:: python")[2])
    run = run_text(f'with DAG("d", schedule=None):\n{indent(example, "    ")}')
    assert run.state == "success"
    assert str(run.xcom("open_room")["channel_name"]).startswith("orders-late-")
