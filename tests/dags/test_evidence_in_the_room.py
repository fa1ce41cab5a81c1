"""Evidence from Datadog in the room: facts, hypotheses, the graph, and runs without access to Datadog."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox import SandboxClient, SandboxServer
from incident_sandbox.datadog.payload import alert_payload
from incident_sandbox.datadog.story import Story, load_story

from airflow_incident_provider.evidence.model import Evidence
from airflow_incident_provider.models import RunOutcome, Verdict

from .conftest import Run

RunDag = Callable[..., Run]
PostedMessages = Callable[[str], list[dict[str, Any]]]
PlayStory = Callable[..., dict[str, Any]]


@pytest.fixture
def play_story(slack: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PlayStory:
    """Return a function that plays a story, connects Airflow to its Datadog, and returns the conf of its alert."""
    monkeypatch.setenv("AIRFLOW__INCIDENT__DATADOG_STATE_FOLDER", str(tmp_path / "datadog"))

    def play_story(story: Story | str, **extra: Any) -> dict[str, Any]:
        datadog = slack.workspace.datadog
        loaded = load_story(story) if isinstance(story, str) else story
        world = datadog.play(loaded, math.floor(time.time()) - 41)
        access = {"api_key": datadog.api_key, "app_key": datadog.app_key, "api_host": slack.datadog_url, **extra}
        connection = {"conn_type": "datadog", "extra": json.dumps(access)}
        monkeypatch.setenv("AIRFLOW_CONN_DATADOG_DEFAULT", json.dumps(connection))
        return {"datadog": alert_payload(world)}

    return play_story


def evidence_of(run: Run) -> Evidence:
    return Evidence.model_validate(run.xcom("collect_evidence"))


def thread(control: SandboxClient, run: Run) -> list[dict[str, Any]]:
    room = control.channel(run.room.channel_name)
    brief = next(each for each in room["messages"] if each["ts"] == run.room.brief_ts)
    return list(brief["replies"])


def test_bad_deployment_is_posted(
    run_dag: RunDag,
    connect: Callable[..., Any],
    control: SandboxClient,
    slack: SandboxServer,
    play_story: PlayStory,
) -> None:
    connect()
    run = run_dag(play_story("bad_deploy"))
    assert run.state == "success"
    replies = json.dumps(thread(control, run), ensure_ascii=False)
    for words in (
        "deployment of checkout 2.14.0",
        "NullPointerException",
        "Possible causes",
        "hypotheses, not facts",
    ):
        assert words in replies
    assert "▁" in replies
    known = [statement.text for statement in run.summary.known]
    assert any("first seen" in text and "2.14.0" in text for text in known)
    assert "2.14.0 may have caused it" in run.summary.hypotheses[0].text
    assert run.summary.hypotheses[0].probes
    assert not any("2.14.0 may have caused it" in text for text in known), "a hypothesis is not a fact"
    [picture] = slack.workspace.files.values()
    assert picture.content is not None
    assert picture.content.startswith(b"\x89PNG")
    assert "abnormal since" in picture.alt_text
    assert [reply for reply in thread(control, run) if reply.get("files")]


def test_datadog_keys_are_not_exposed(
    run_dag: RunDag,
    connect: Callable[..., Any],
    control: SandboxClient,
    slack: SandboxServer,
    play_story: PlayStory,
) -> None:
    connect()
    run = run_dag(play_story("bad_deploy"))
    seen = json.dumps([list(run.xcoms.values()), control.channel(run.room.channel_name)], default=str) + run.log
    for key in (slack.workspace.datadog.api_key, slack.workspace.datadog.app_key):
        assert key not in seen


def test_missing_connection_is_explained_in_the_room(
    run_dag: RunDag,
    connect: Callable[..., Any],
    control: SandboxClient,
    play_story: PlayStory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect()
    conf = play_story("bad_deploy")
    monkeypatch.delenv("AIRFLOW_CONN_DATADOG_DEFAULT")
    run = run_dag(conf)
    assert run.states["collect_evidence"] == "success"
    assert [finding.verdict for finding in evidence_of(run).findings] == [Verdict.SKIPPED]
    assert "no Datadog connection is configured" in json.dumps(thread(control, run))
    assert any("no Datadog connection is configured" in text for text in run.summary.unknown)
    assert run.summary.hypotheses == ()


@pytest.mark.parametrize("missing", ["app_key", "api_key"])
def test_missing_key_gives_unknown(
    run_dag: RunDag, connect: Callable[..., Any], play_story: PlayStory, missing: str
) -> None:
    connect()
    run = run_dag(play_story("bad_deploy", **{missing: ""}))
    assert run.states["collect_evidence"] == "success"
    [finding] = evidence_of(run).findings
    assert (finding.verdict, missing in finding.summary) == (Verdict.UNKNOWN, True)
    assert any(missing in text for text in run.summary.unknown)


def test_wrong_keys_give_unknown(run_dag: RunDag, connect: Callable[..., Any], play_story: PlayStory) -> None:
    connect()
    run = run_dag(play_story("bad_deploy", app_key="another"))
    verdicts = {finding.verdict for finding in evidence_of(run).findings}
    assert verdicts == {Verdict.UNKNOWN}
    assert run.summary.hypotheses == ()
    assert run.summary.outcome is not RunOutcome.FAILED


def test_missing_files_scope_falls_back_to_sparkline(
    run_dag: RunDag,
    connect: Callable[..., Any],
    control: SandboxClient,
    slack: SandboxServer,
    play_story: PlayStory,
) -> None:
    from incident_sandbox.seed import FULL_TOKEN

    granted = slack.workspace.tokens[FULL_TOKEN]
    granted.scopes = [scope for scope in granted.scopes if scope != "files:write"]
    connect()
    run = run_dag(play_story("bad_deploy"))
    assert slack.workspace.files == {}
    assert "▁" in json.dumps(thread(control, run), ensure_ascii=False)
    assert not [problem for problem in run.summary.problems if "picture" in problem.what]


def test_earlier_incident_is_shown(
    run_dag: RunDag, connect: Callable[..., Any], control: SandboxClient, play_story: PlayStory
) -> None:
    connect()
    first = run_dag(play_story("bad_deploy"))
    conf = play_story("bad_deploy")
    conf["datadog"]["alert"]["cycle_key"] = "another"
    second = run_dag(conf)
    past = evidence_of(second).past
    assert past[0].key == first.incident.key, "the latest first"
    assert past[0].same == ("monitor", "service", "findings")
    assert "Earlier incidents" in json.dumps(thread(control, second))


def test_operator_collects_evidence_of_a_service(slack: SandboxServer, play_story: PlayStory) -> None:
    from airflow_incident_provider.operators import CollectEvidenceOperator

    play_story("slow_dependency")
    query = "avg:trace.http.request{service:checkout,env:prod}"
    operator = CollectEvidenceOperator(task_id="collect", service="checkout", env="prod", query=query)
    evidence = Evidence.model_validate(operator.execute({}))  # type: ignore[arg-type]
    assert evidence.hypotheses[0].subject == "catalog"
    assert evidence.monitor_id is None
