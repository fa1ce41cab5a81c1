"""The summary of a language model in a DAG run: it is posted last, and does not affect the state of the run."""

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
from incident_sandbox.datadog.story import load_story

from airflow_incident_provider.models import RunOutcome

from .conftest import Run

RunDag = Callable[..., Run]


@pytest.fixture
def use_model(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    def use(answer: Callable[..., Any]) -> None:
        from airflow.providers.common.ai.hooks.pydantic_ai import PydanticAIHook
        from pydantic_ai.models.function import FunctionModel

        connection = {"conn_type": "pydanticai", "extra": json.dumps({"model": "test"})}
        monkeypatch.setenv("AIRFLOW_CONN_MODEL", json.dumps(connection))
        monkeypatch.setenv("AIRFLOW__INCIDENT__AI_CONN_ID", "model")
        monkeypatch.setattr(PydanticAIHook, "get_conn", lambda _: FunctionModel(answer))

    return use


def restate(messages: list[Any], info: Any) -> Any:
    """Return two sentences that the metric finding supports, and one that no finding supports."""
    from pydantic_ai.messages import ModelResponse, ToolCallPart

    findings = json.loads(messages[0].parts[-1].content)
    first = next(each for each in findings if each["check"] == "metric")
    finding = first["finding"].partition(" (")[0]
    sentences = [
        {"text": f"The metric {finding}", "findings": [first["id"]]},
        {"text": f"On {first['target']}, the metric {finding}", "findings": [first["id"]]},
        {"text": "The database db-07 was attacked", "findings": [first["id"]]},
    ]
    return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"sentences": sentences})])


@pytest.fixture
def alert(slack: SandboxServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Return the alert of a story, and connect Airflow to its Datadog."""
    datadog = slack.workspace.datadog
    world = datadog.play(load_story("bad_deploy"), math.floor(time.time()) - 41)
    access = {"api_key": datadog.api_key, "app_key": datadog.app_key, "api_host": slack.datadog_url}
    monkeypatch.setenv("AIRFLOW_CONN_DATADOG_DEFAULT", json.dumps({"conn_type": "datadog", "extra": access}))
    monkeypatch.setenv("AIRFLOW__INCIDENT__DATADOG_STATE_FOLDER", str(tmp_path / "datadog"))
    return alert_payload(world)


def test_ai_summary_is_posted_after_summary_and_cites_findings(
    run_dag: RunDag,
    connect: Callable[..., Any],
    control: SandboxClient,
    use_model: Callable[..., None],
    alert: dict[str, Any],
) -> None:
    connect()
    use_model(restate)
    run = run_dag({"datadog": alert})
    assert (run.state, run.states["write_ai_summary"]) == ("success", "success"), run.log
    brief = next(m for m in control.channel(run.room.channel_name)["messages"] if m["ts"] == run.room.brief_ts)
    reply = brief["replies"][-1]
    assert float(reply["ts"]) > float(run.summary.posted_ts or 0)
    content = json.dumps(reply, ensure_ascii=False)
    assert "Written by a language model" in content
    assert "(`metric`)" in content
    assert "db-07" not in json.dumps(control.channel(run.room.channel_name))


def test_failing_model_does_not_affect_the_run(
    run_dag: RunDag, connect: Callable[..., Any], use_model: Callable[..., None], alert: dict[str, Any]
) -> None:
    called_at: list[float] = []

    def fail(messages: list[Any], info: Any) -> Any:
        called_at.append(time.time())
        raise RuntimeError("the model is down")

    connect()
    use_model(fail)
    run = run_dag({"datadog": alert})
    assert (run.state, run.states["write_ai_summary"]) == ("success", "skipped")
    assert run.summary.outcome is not RunOutcome.FAILED
    # The model is called only after the summary has been posted.
    assert called_at[0] >= float(run.summary.posted_ts or math.inf)


def test_failed_run_skips_ai_summary(
    run_dag: RunDag, connect: Callable[..., Any], payload: Callable[..., Any], use_model: Callable[..., None]
) -> None:
    connect(token="xoxb-revoked")
    use_model(restate)
    run = run_dag({"datadog": payload("01")})
    assert (run.state, run.states["final_summary"]) == ("failed", "failed")
    assert run.states["write_ai_summary"] == "skipped"
