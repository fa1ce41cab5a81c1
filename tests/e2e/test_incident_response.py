"""From a call of Airflow's REST API to the room with its evidence: real scheduler, real containers, real HTTP."""

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

from .conftest import DAGS, SECRET_OF_THE_WORKER, House  # isort: skip

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


def ours(channel: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for each in channel["messages"] if each["user"] == BOT and each.get("subtype") is None]


# --- Datadog's payloads -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAYLOADS)
def test_payload_becomes_a_staffed_room(house: House, payload: Callable[[str], dict[str, Any]], name: str) -> None:
    house.control.reset()
    recorded = payload(name)
    run_id = house.start(recorded.get("conf", {"datadog": recorded}), run_id=recorded.get("dag_run_id"))
    assert house.finish(run_id) == "success"
    channel, severity, people, monitor = PAYLOADS[name]
    incident = Incident.model_validate(house.value(run_id, "parse_incident_event"))
    room = house.control.channel(channel)
    assert (incident.severity, set(room["members"])) == (severity, people | {BOT})
    assert monitor in {bookmark["link"].partition("?")[0] for bookmark in room["bookmarks"]}
    assert any(house.airflow.url in bookmark["link"] for bookmark in room["bookmarks"])
    brief, *rest = ours(room)
    assert room["pins"] == [brief["ts"]]
    text = json.dumps(brief["blocks"])
    assert all(link.url.replace("&", "&amp;") in text for link in incident.links)
    assert rest[-1]["text"].startswith("First look")
    summary = IncidentSummary.model_validate(house.value(run_id, "final_summary"))
    assert summary.here == summary.invited == len(people)


def test_recovery_opens_nothing(house: House, payload: Callable[[str], dict[str, Any]]) -> None:
    house.control.reset()
    run_id = house.start({"datadog": payload("03")})
    assert house.finish(run_id) == "success"
    assert house.value(run_id, "final_summary")["outcome"] == "not_raised"
    assert house.control.calls("conversations.create") == []


def test_alert_that_is_delivered_twice_at_once(house: House, payload: Callable[[str], dict[str, Any]]) -> None:
    """Two runs for one incident, side by side: one room, one brief."""
    house.control.reset()
    runs = [house.start({"datadog": payload("01")}) for _ in range(2)]
    assert [house.finish(run_id) for run_id in runs] == ["success", "success"]
    first, second = (WarRoom.model_validate(house.value(run_id, "create_war_room")) for run_id in runs)
    assert first.channel_id == second.channel_id
    room = house.control.channel(str(first.channel_id))
    keys = [each["metadata"]["event_payload"]["key"] for each in ours(room)]
    assert len([key for key in keys if key.endswith("/brief")]) == 1
    assert len(room["pins"]) == 1


def test_conf_without_a_payload_in_it_is_refused_before_there_is_a_run(house: House) -> None:
    with pytest.raises(AirflowApiError, match=r"400: .*Invalid input for param"):
        house.start({"datadog": [1]})


def test_mistake_in_a_field_is_left_out_and_costs_no_room(house: House) -> None:
    confs: list[tuple[dict[str, Any], str, set[str]]] = [
        ({"title": 7}, "7", {"severity"}),
        ({"title": "What is worse?", "severity": "apocalyptic"}, "What is worse?", {"severity"}),
        ({"title": "Who comes?", "severity": "low", "users": {"a": 1}}, "Who comes?", {"users"}),
    ]
    runs = [house.start(conf) for conf, _, _ in confs]
    for run_id, (_, title, fields) in zip(runs, confs, strict=True):
        assert house.finish(run_id) == "success"
        incident = Incident.model_validate(house.value(run_id, "parse_incident_event"))
        assert (incident.title, {flag.field for flag in incident.flags}) == (title, fields)
        assert house.value(run_id, "create_war_room")["channel_id"]


def test_secrets_stay_secret(house: House) -> None:
    """Neither in what Airflow's API returns for a run, nor in any file that it left, nor in the workspace."""
    title = "{{ conn.slack_api_default.password }} $SECRET_OF_THE_WORKER"
    run_id = house.start({"title": title, "users": ["José García", "nobody"], "description": title})
    assert house.finish(run_id) == "success"
    kept = [json.dumps(house.control.state(everybody=True)), json.dumps(house.control.calls())]
    for task in house.airflow.api.task_instances("incident_response", run_id):
        name, index = task["task_id"], task["map_index"]
        kept.append(json.dumps(task))
        kept.append(house.airflow.api.logs("incident_response", run_id, name, map_index=index))
        kept.append(json.dumps(house.value(run_id, name, index)))
    logs = [path for path in house.airflow.home.logs.rglob("*") if path.is_file()]
    assert any(run_id in str(path) for path in logs)
    kept += [path.read_text(errors="replace") for path in logs]
    for secret in (house.slack.token, SECRET_OF_THE_WORKER):
        assert not any(secret in text for text in kept)


# --- what the containers see ------------------------------------------------------------------------

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
def looked(house: House) -> dict[str, tuple[list[Finding], str]]:
    """What was found of each target, and the thread of its room; all at once, as in a bad night."""
    house.control.reset()
    runs = {
        case: house.start({"id": f"look-{number}", "title": f"Look at {case}", "targets": [target]})
        for number, (case, target) in enumerate(targets(house.service).items())
    }
    seen = {}
    for case, run_id in runs.items():
        assert house.finish(run_id) == "success"
        planned = house.value(run_id, "plan_investigation")
        findings = [
            Finding.model_validate(house.value(run_id, "investigate", index)) for index in range(len(planned))
        ]
        room = house.control.channel(house.value(run_id, "create_war_room")["channel_id"])
        seen[case] = findings, json.dumps(ours(room)[0]["replies"])
    return seen


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
def test_a_finding_is_right_and_posted_with_its_evidence(
    looked: dict[str, tuple[list[Finding], str]], case: str, probe: str, verdict: Verdict, words: str
) -> None:
    findings, thread = looked[case]
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
def there_before(docker_engine: Any) -> set[str]:
    """The containers that others left on this engine: another session's are not ours to judge."""
    return probes_on(docker_engine)


def probes_on(engine: Any) -> set[str]:
    return {
        found.id
        for found in engine.containers.list(
            all=True, filters={"label": "airflow_incident_provider"}, ignore_removed=True
        )
    }


def test_control_says_that_our_own_network_is_fine(looked: dict[str, tuple[list[Finding], str]]) -> None:
    controls = [each for findings, _ in looked.values() for each in findings if each.probe == "control"]
    assert len(controls) == len(looked)
    assert Verdict.UNKNOWN not in {each.verdict for each in controls}


def test_no_container_is_left(looked: object, docker_engine: Any, there_before: set[str]) -> None:
    assert probes_on(docker_engine) - there_before == set()


# --- order ------------------------------------------------------------------------------------------


def test_brief_does_not_wait_for_the_investigation(house: House) -> None:
    run_id = house.start({"title": "Brief first", "targets": [house.service.url("/failing")]})
    assert house.finish(run_id) == "success"
    brief = float(house.value(run_id, "create_war_room")["brief_ts"])
    updates = house.value(run_id, "post_investigation_updates")
    assert brief < min(float(message["ts"]) for message in updates["messages"])
    assert brief < float(house.value(run_id, "final_summary")["posted_ts"])


# --- a project that has only installed the package --------------------------------------------------


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, airflow_home: Path) -> tuple[Path, dict[str, str]]:
    """A folder with the copied DAG, and the environment of a person who works in it."""
    folder = tmp_path_factory.mktemp("their project")
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
        # No engine: what the probes see is another test's matter.
        "DOCKER_HOST": f"unix://{folder}/none.sock",
    }
    return folder, environment


def airflow(project: tuple[Path, dict[str, str]], *arguments: str, **variables: str) -> str:
    folder, environment = project
    done = subprocess.run(
        [sys.executable, "-m", "airflow", *arguments],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dags_test_with_a_payload(
    project: tuple[Path, dict[str, str]], house: House, payload: Callable[[str], dict[str, Any]]
) -> None:
    house.control.reset()
    connection = {
        "conn_type": "slack",
        "password": house.slack.token,
        "extra": {"base_url": house.slack.slack_base_url},
    }
    said = airflow(
        project,
        *("dags", "test", "incident_response", "--conf", json.dumps({"datadog": payload("09a")})),
        AIRFLOW_CONN_SLACK_API_DEFAULT=json.dumps(connection),
    )
    assert "state=success" in said or "successful" in said
    [room] = [each["name"] for each in house.control.state()["channels"] if each["creator"] == BOT]
    assert room == "inc-20261123-disk-above-90-266154777"
    assert house.slack.token not in said


def test_dags_test_without_slack_shows_what_it_would_post(
    project: tuple[Path, dict[str, str]], payload: Callable[[str], dict[str, Any]]
) -> None:
    said = airflow(project, "dags", "test", "incident_response", "--conf", json.dumps({"datadog": payload("09a")}))
    assert "DRY-RUN: would post to #inc-20261123-disk-above-90-266154777" in said


def test_provider_shows_in_airflows_lists(project: tuple[Path, dict[str, str]]) -> None:
    assert "airflow-incident-provider" in airflow(project, "providers", "list")
    assert "airflow-incident-provider" in airflow(project, "providers", "get", "airflow-incident-provider")
    assert "sandbox" in airflow(project, "incident", "--help")
