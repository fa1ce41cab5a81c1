"""The workflow from a REST API call to the room with evidence, with a real scheduler and real containers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from incident_sandbox.demo.broken_service import DOMAIN, BrokenService, Certificate

from airflow_incident_provider.cli.airflow_api import AirflowApiError
from airflow_incident_provider.models import Finding, Incident, IncidentSummary, Verdict, WarRoom

from .conftest import DAGS, WORKER_SECRET, Deployment

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

BOT = "U0WARROOM01"
DANA, ALICE, JOSE, PRIYA = "U0DANAREYES", "U0ALICENG01", "U0JOSEGARC1", "U0PRIYAIYER"
LUKASZ, SAM, ZOE = "U0LUKASZN01", "U0SAMWONG01", "U0ZOEMS0001"
PAYMENTS, SRE, PLATFORM = {DANA, ALICE, JOSE}, {PRIYA, LUKASZ, SAM}, {DANA, ZOE}
MONITOR = "https://app.datadoghq.com/monitors/148275309"
PAYLOADS = {
    "01": ("inc-20261123-checkout-5xx-ratio-above-2-148275309", "critical", PAYMENTS | SRE, MONITOR),
    "05": ("inc-20261123-checkout-5xx-ratio-above-2-148275309", "medium", PAYMENTS, MONITOR),
    "06": (
        "inc-20261123-checkout-payments-failing-in-eu1-118",
        "high",
        {DANA},
        "https://app.datadoghq.com/incidents/118",
    ),
    "09a": (
        "inc-20261123-disk-above-90-266154777",
        "high",
        PLATFORM,
        "https://app.datadoghq.com/monitors/266154777",
    ),
    "09b": (
        "inc-20261123-disk-above-90-266154777",
        "high",
        PLATFORM,
        "https://app.datadoghq.com/monitors/266154777",
    ),
    "11": ("inc-20261123-checkout-5xx-ratio-above-2-148275309", "critical", SRE, MONITOR),
    "20": ("inc-20261123-checkout-5xx-ratio-above-2-148275309", "critical", PAYMENTS | SRE, MONITOR),
}


def app_messages(channel: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in channel["messages"] if each["user"] == BOT and each.get("subtype") is None]


# --- Datadog's payloads -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAYLOADS)
def test_payload_opens_room_with_responders(
    deployment: Deployment, payload: Callable[[str], dict[str, Any]], name: str
) -> None:
    deployment.control.reset()
    recorded = payload(name)
    run_id = deployment.start(recorded.get("conf", {"datadog": recorded}), run_id=recorded.get("dag_run_id"))
    assert deployment.wait_for_run(run_id) == "success"
    channel, severity, people, monitor = PAYLOADS[name]
    incident = Incident.model_validate(deployment.xcom(run_id, "parse_incident_event"))
    room = deployment.control.channel(channel)
    assert (incident.severity, set(room["members"])) == (severity, people | {BOT})
    assert monitor in {bookmark["link"].partition("?")[0] for bookmark in room["bookmarks"]}
    assert any(deployment.airflow.url in bookmark["link"] for bookmark in room["bookmarks"])
    brief, *rest = app_messages(room)
    assert room["pins"] == [brief["ts"]]
    text = json.dumps(brief["blocks"])
    assert all(link.url.replace("&", "&amp;") in text for link in incident.links)
    assert rest[-1]["text"].startswith("First look")
    summary = IncidentSummary.model_validate(deployment.xcom(run_id, "final_summary"))
    assert summary.here == summary.invited == len(people)


def test_recovery_opens_no_room(deployment: Deployment, payload: Callable[[str], dict[str, Any]]) -> None:
    deployment.control.reset()
    run_id = deployment.start({"datadog": payload("03")})
    assert deployment.wait_for_run(run_id) == "success"
    assert deployment.xcom(run_id, "final_summary")["outcome"] == "not_raised"
    assert deployment.control.calls("conversations.create") == []


def test_concurrent_deliveries_share_one_room(
    deployment: Deployment, payload: Callable[[str], dict[str, Any]]
) -> None:
    deployment.control.reset()
    runs = [deployment.start({"datadog": payload("01")}) for _ in range(2)]
    assert [deployment.wait_for_run(run_id) for run_id in runs] == ["success", "success"]
    first, second = (WarRoom.model_validate(deployment.xcom(run_id, "create_war_room")) for run_id in runs)
    assert first.channel_id == second.channel_id
    room = deployment.control.channel(str(first.channel_id))
    keys = [each["metadata"]["event_payload"]["key"] for each in app_messages(room)]
    assert len([key for key in keys if key.endswith("/brief")]) == 1
    assert len(room["pins"]) == 1


def test_invalid_conf_is_rejected_by_the_api(deployment: Deployment) -> None:
    with pytest.raises(AirflowApiError, match=r"400: .*Invalid input for param"):
        deployment.start({"datadog": [1]})


def test_invalid_field_is_ignored_and_flagged(deployment: Deployment) -> None:
    confs: list[tuple[dict[str, Any], str, set[str]]] = [
        ({"title": 7}, "7", {"severity"}),
        ({"title": "What is worse?", "severity": "apocalyptic"}, "What is worse?", {"severity"}),
        ({"title": "Who comes?", "severity": "low", "users": {"a": 1}}, "Who comes?", {"users"}),
    ]
    runs = [deployment.start(conf) for conf, _, _ in confs]
    for run_id, (_, title, fields) in zip(runs, confs, strict=True):
        assert deployment.wait_for_run(run_id) == "success"
        incident = Incident.model_validate(deployment.xcom(run_id, "parse_incident_event"))
        assert (incident.title, {flag.field for flag in incident.flags}) == (title, fields)
        assert deployment.xcom(run_id, "create_war_room")["channel_id"]


def test_secrets_are_not_exposed(deployment: Deployment) -> None:
    """Search the responses of Airflow's API, the log files and the workspace."""
    title = "{{ conn.slack_api_default.password }} $SECRET_OF_THE_WORKER"
    run_id = deployment.start({"title": title, "users": ["José García", "nobody"], "description": title})
    assert deployment.wait_for_run(run_id) == "success"
    texts = [json.dumps(deployment.control.state(everybody=True)), json.dumps(deployment.control.calls())]
    for task in deployment.airflow.api.task_instances("incident_response", run_id):
        name, index = task["task_id"], task["map_index"]
        texts.append(json.dumps(task))
        texts.append(deployment.airflow.api.logs("incident_response", run_id, name, map_index=index))
        texts.append(json.dumps(deployment.xcom(run_id, name, index)))
    logs = [path for path in deployment.airflow.home.logs.rglob("*") if path.is_file()]
    assert any(run_id in str(path) for path in logs)
    texts += [path.read_text(errors="replace") for path in logs]
    for secret in (deployment.slack.token, WORKER_SECRET):
        assert not any(secret in text for text in texts)


# --- findings ----------------------------------------------------------------------------------------

CHECKOUT = f"checkout.{DOMAIN}"


def targets(service: BrokenService) -> dict[str, str]:
    return {
        "healthy": service.url("/healthy"),
        "failing": service.url("/failing"),
        "expiring": service.url("/healthy", certificate=Certificate.EXPIRING),
        "expired": service.url("/healthy", certificate=Certificate.EXPIRED),
        "refused": f"{CHECKOUT}:{service.refused_port}",
        "unknown name": f"nowhere.{DOMAIN}",
        "metadata": "http://169.254.169.254/latest/meta-data/",
    }


@pytest.fixture(scope="module")
def results(deployment: Deployment) -> dict[str, tuple[list[Finding], str]]:
    """Return the findings of each target and the thread of its room, from concurrent incidents."""
    deployment.control.reset()
    runs = {
        case: deployment.start({"id": f"check-{number}", "title": f"Check {case}", "targets": [target]})
        for number, (case, target) in enumerate(targets(deployment.service).items())
    }
    found = {}
    for case, run_id in runs.items():
        assert deployment.wait_for_run(run_id) == "success"
        planned = deployment.xcom(run_id, "plan_investigation")
        findings = [
            Finding.model_validate(deployment.xcom(run_id, "investigate", index)) for index in range(len(planned))
        ]
        room = deployment.control.channel(deployment.xcom(run_id, "create_war_room")["channel_id"])
        found[case] = findings, json.dumps(app_messages(room)[0]["replies"])
    return found


@pytest.mark.parametrize(
    ("case", "probe", "verdict", "words"),
    [
        ("healthy", "http", Verdict.OK, "HTTP 200"),
        ("failing", "http", Verdict.FAIL, "HTTP 503"),
        ("expiring", "http", Verdict.WARN, "certificate expires in 6 days"),
        ("expired", "http", Verdict.FAIL, "certificate expired 3 days ago"),
        ("refused", "tcp", Verdict.FAIL, "connection refused"),
        ("unknown name", "dns", Verdict.FAIL, "NXDOMAIN"),
        ("metadata", "http", Verdict.SKIPPED, "169.254.169.254"),
    ],
)
def test_finding_is_posted_with_evidence(
    results: dict[str, tuple[list[Finding], str]], case: str, probe: str, verdict: Verdict, words: str
) -> None:
    findings, thread = results[case]
    [finding] = [each for each in findings if each.probe == probe]
    assert finding.verdict is verdict
    assert words in finding.summary
    assert words in thread
    if verdict in {Verdict.FAIL, Verdict.WARN}:
        assert finding.evidence
        assert finding.command
        assert finding.evidence.splitlines()[0].replace("&", "&amp;")[:30] in thread
    if verdict is not Verdict.SKIPPED:
        assert (finding.image_digest or "").startswith("sha256:")


@pytest.fixture(scope="module", autouse=True)
def existing_containers(docker_engine: Any) -> set[str]:
    """Return the probe containers of other sessions on this engine."""
    return probe_containers(docker_engine)


def probe_containers(engine: Any) -> set[str]:
    return {
        container.id
        for container in engine.containers.list(
            all=True, filters={"label": "airflow_incident_provider"}, ignore_removed=True
        )
    }


def test_control_probe_has_a_verdict_in_every_run(results: dict[str, tuple[list[Finding], str]]) -> None:
    controls = [each for findings, _ in results.values() for each in findings if each.probe == "control"]
    assert len(controls) == len(results)
    assert Verdict.UNKNOWN not in {each.verdict for each in controls}


def test_containers_are_removed(results: object, docker_engine: Any, existing_containers: set[str]) -> None:
    assert probe_containers(docker_engine) - existing_containers == set()


# --- order ------------------------------------------------------------------------------------------


def test_brief_is_posted_before_the_findings(deployment: Deployment) -> None:
    run_id = deployment.start({"title": "Brief first", "targets": [deployment.service.url("/failing")]})
    assert deployment.wait_for_run(run_id) == "success"
    brief = float(deployment.xcom(run_id, "create_war_room")["brief_ts"])
    updates = deployment.xcom(run_id, "post_investigation_updates")
    assert brief < min(float(message["ts"]) for message in updates["messages"])
    assert brief < float(deployment.xcom(run_id, "final_summary")["posted_ts"])


# --- a project with the installed package ------------------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, airflow_home: Path) -> tuple[Path, dict[str, str]]:
    """A project folder with a copy of the DAG, and its environment variables."""
    folder = tmp_path_factory.mktemp("user project")
    (folder / "dags").mkdir()
    (folder / "home").mkdir()
    shutil.copy(DAGS / "incident_response.py", folder / "dags")
    shutil.copy(airflow_home / "airflow.db", folder / "home")
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder / "home"),
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "COLUMNS": "250",
        # Probes are tested above.
        "DOCKER_HOST": f"unix://{folder}/none.sock",
    }
    return folder, environment


def airflow(project: tuple[Path, dict[str, str]], *arguments: str, **variables: str) -> str:
    folder, environment = project
    completed = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed.stdout


def test_dags_test_opens_room(
    project: tuple[Path, dict[str, str]], deployment: Deployment, payload: Callable[[str], dict[str, Any]]
) -> None:
    deployment.control.reset()
    connection = {
        "conn_type": "slack",
        "password": deployment.slack.token,
        "extra": {"base_url": deployment.slack.slack_base_url},
    }
    output = airflow(
        project,
        *("dags", "test", "incident_response", "--conf", json.dumps({"datadog": payload("09a")})),
        AIRFLOW_CONN_SLACK_API_DEFAULT=json.dumps(connection),
    )
    assert "state=success" in output or "successful" in output
    [room] = [each["name"] for each in deployment.control.state()["channels"] if each["creator"] == BOT]
    assert room == "inc-20261123-disk-above-90-266154777"
    assert deployment.slack.token not in output


def test_dags_test_without_slack_connection_is_a_dry_run(
    project: tuple[Path, dict[str, str]], payload: Callable[[str], dict[str, Any]]
) -> None:
    output = airflow(
        project, "dags", "test", "incident_response", "--conf", json.dumps({"datadog": payload("09a")})
    )
    assert "DRY-RUN: would post to #inc-20261123-disk-above-90-266154777" in output


def test_provider_is_listed_by_airflow(project: tuple[Path, dict[str, str]]) -> None:
    assert "airflow-incident-provider" in airflow(project, "providers", "list")
    assert "airflow-incident-provider" in airflow(project, "providers", "get", "airflow-incident-provider")
    assert "sandbox" in airflow(project, "incident", "--help")
