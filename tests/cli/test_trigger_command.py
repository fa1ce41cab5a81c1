"""Test ``airflow incident trigger``: runs that start, and input that is rejected."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_incident_provider.cli.run import ExitCode
from airflow_incident_provider.models import Severity

from .conftest import DAG_ID, CommandResult
from .terminal import Terminal

Run = Callable[..., CommandResult]


def conf_of(run_id: str) -> dict[str, Any]:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return dict(session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one().conf)


def number_of_runs() -> int:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    with create_session() as session:
        return int(session.scalar(select(func.count()).where(DagRun.dag_id == DAG_ID)) or 0)


def test_every_option_is_in_the_conf(incident: Run, deployed: Any) -> None:
    result = incident(
        "trigger", "--title", "Checkout is down", "--incident-id", "OPS-7", "--severity", "SEV-1",
        "--description", "Carts are empty", "--started-at", "2026-11-23T10:35:00+01:00", "--env", "prod",
        "--users", "dana@acme.example,@sre-oncall", "--users", "Alice Ng", "--service", "checkout",
        "--host", "web-03", "--team", "payments", "--tag", "tier:1", "--private", "--dry-run",
        "--target", "https://checkout.acme.example/healthz", "--link", "https://wiki.acme.example/a,b",
        "--output", "json",
    )  # fmt: skip
    assert result.code == ExitCode.OK, result.err
    [row] = result.json
    assert (row["run_id"], row["state"], row["severity"]) == ("man.OPS-7", "started", "critical")
    assert conf_of("man.OPS-7") == {
        "title": "Checkout is down",
        "id": "OPS-7",
        "severity": "critical",
        "description": "Carts are empty",
        "started_at": "2026-11-23T09:35:00Z",
        "users": ["dana@acme.example", "@sre-oncall", "Alice Ng"],
        "services": ["checkout"],
        "hosts": ["web-03"],
        "teams": ["payments"],
        "tags": ["tier:1"],
        "env": "prod",
        "targets": ["https://checkout.acme.example/healthz"],
        "links": ["https://wiki.acme.example/a,b"],
        "private": True,
        "dry_run": True,
    }


def test_repeated_trigger_starts_one_run(incident: Run, deployed: Any) -> None:
    arguments = ["trigger", "--title", "T", "--incident-id", "OPS-8", "--output", "json"]
    assert incident(*arguments).json[0]["state"] == "started"
    second = incident(*arguments)
    assert (second.code, second.json[0]["state"]) == (ExitCode.OK, "known already")
    assert number_of_runs() == 1


def test_local_user_name_is_not_an_email_address(incident: Run, deployed: Any) -> None:
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import select

    incident("trigger", "--title", "T", "--incident-id", "who")
    with create_session() as session:
        user = session.scalar(select(DagRun.triggering_user_name).where(DagRun.run_id == "man.who"))
    assert user
    assert "@" not in user


def test_run_url_is_not_wrapped_in_a_narrow_terminal(deployed: Any) -> None:
    environment = {"COLUMNS": "40", "AIRFLOW__API__BASE_URL": "https://airflow.acme.example"}
    with Terminal("trigger", "--title", "T", "--incident-id", "narrow", environment=environment) as tty:
        code, output = tty.end()
    assert code == ExitCode.OK, output
    assert "https://airflow.acme.example/dags/incident_response/runs/man.narrow" in output.splitlines()


def test_trigger_without_an_id_always_starts_an_incident(incident: Run, deployed: Any) -> None:
    for _ in range(2):
        assert incident("trigger", "--title", "The same words", "--severity", "low").code == ExitCode.OK
    assert number_of_runs() == 2


def test_datadog_payload_is_recognized(
    incident: Run, deployed: Any, payload: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "alert.json").write_text(json.dumps(payload("01")))
    result = incident("trigger", "--from-file", str(tmp_path / "alert.json"), "--users", "Dana", "-o", "json")
    assert result.code == ExitCode.OK, result.err
    run_id = result.json[0]["run_id"]
    assert run_id.startswith("dd.148275309.")
    assert conf_of(run_id) == {"datadog": payload("01"), "users": ["Dana"]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fields.json", '{"title": "T", "severity": "P2", "id": 12}'),
        ("fields.yaml", "title: T\nseverity: P2\nid: 12\nstarted_at: 2026-11-23T09:35:00Z\n"),
    ],
)
def test_files_are_json_or_yaml_and_options_override_them(
    incident: Run, deployed: Any, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    result = incident("trigger", "--from-file", str(tmp_path / name), "--severity", "low", "-o", "json")
    assert result.code == ExitCode.OK, result.err
    conf = conf_of("man.12")
    assert (conf["title"], conf["severity"], conf["id"]) == ("T", Severity.LOW, "12")


def test_standard_input_is_read(incident: Run, deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"title": "Piped", "id": "p-1"}'))
    assert incident("trigger", "--from-file", "-").code == ExitCode.OK
    assert conf_of("man.p-1")["title"] == "Piped"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give --title, or --from-file."),
        (["--title", "T", "--severity", "purple"], "severity: 'purple' is not a severity"),
        (["--title", "T", "--target", "ftp://x"], "target"),
        (["--title", "T", "--started-at", "yesterday"], "started_at: 'yesterday' is not a time"),
        (["--from-file", "/nowhere/at-all.json"], "cannot be read: No such file"),
        (["--interactive"], "which needs a terminal"),
        (["--interactive", "--from-file", "-"], "both read standard input"),
    ],
)
def test_invalid_arguments_start_nothing(incident: Run, deployed: Any, arguments: list[str], message: str) -> None:
    result = incident("trigger", *arguments)
    assert result.code == ExitCode.USAGE
    assert message in result.err
    assert number_of_runs() == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "does not hold an object"),
        ("{", "neither JSON nor YAML"),
        ("\x00\x01", "neither JSON nor YAML"),
        ("[" * 100_000, "--from-file"),
        ("x" * 1_000_001, "more than 1,000,000"),
        ("!!python/object/apply:os.system ['true']", "neither JSON nor YAML"),
    ],
)
def test_file_without_an_incident_is_rejected(
    incident: Run, deployed: Any, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "file").write_text(text)
    result = incident("trigger", "--from-file", str(tmp_path / "file"))
    assert result.code == ExitCode.USAGE
    assert message in result.err
    assert "Traceback" not in result.err


def test_recovery_starts_no_incident(
    incident: Run, deployed: Any, payload: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "recovery.json").write_text(json.dumps(payload("03")))
    result = incident("trigger", "--from-file", str(tmp_path / "recovery.json"))
    assert (result.code, number_of_runs()) == (ExitCode.USAGE, 0)
    assert "opens no incident" in result.err


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"is_paused": True}, "is paused"),
        ({"has_import_errors": True}, "has import errors"),
        ({"is_stale": True}, "is missing"),
    ],
)
def test_dag_that_cannot_run_is_reported(
    incident: Run, deployed: Callable[..., None], state: dict[str, bool], message: str
) -> None:
    deployed(**state)
    result = incident("trigger", "--title", "T")
    assert (result.code, number_of_runs()) == (ExitCode.UNAVAILABLE, 0)
    assert message in result.err


def test_title_cannot_inject_terminal_sequences_or_markup(incident: Run, deployed: Any) -> None:
    result = incident("trigger", "--title", "\x1b[2J[/red] [bold]boo[/bold] \u202egnp", "--severity", "low")
    assert result.code == ExitCode.OK
    assert "\x1b" not in result.out
    assert "\u202e" not in result.out
    assert "[/red] [bold]boo[/bold]" in result.out


class TestRemote:
    def test_missing_token_error_names_the_variable(self, incident: Run) -> None:
        result = incident("trigger", "--title", "T", "--api-url", "https://airflow.acme.example")
        assert result.code == ExitCode.USAGE
        assert "AIRFLOW_CLI_TOKEN" in result.err

    def test_url_without_a_scheme_is_rejected(self, incident: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CLI_TOKEN", "token")
        result = incident("trigger", "--title", "T", "--api-url", "airflow.acme.example")
        assert result.code == ExitCode.USAGE
        assert "https://" in result.err

    def test_unreachable_server_is_reported(
        self, incident: Run, unused_port: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CLI_TOKEN", "token-that-stays-secret")
        result = incident("trigger", "--title", "T", "--api-url", f"http://127.0.0.1:{unused_port}")
        assert result.code == ExitCode.UNAVAILABLE
        assert "did not answer: ConnectError" in result.err
        assert "token-that-stays-secret" not in result.err + result.out

    def test_other_server_at_the_url_is_reported(self, incident: Run, slack: Any, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("a-token\n")
        result = incident(
            "trigger", "--title", "T", "--api-url", slack.url, "--token-file", str(tmp_path / "token")
        )
        assert result.code == ExitCode.UNAVAILABLE
        assert "The DAG incident_response is missing" in result.err

    def test_missing_token_file_is_rejected(self, incident: Run) -> None:
        result = incident("list", "--api-url", "https://airflow.acme.example", "--token-file", "/nowhere")
        assert result.code == ExitCode.USAGE
        assert "--token-file /nowhere cannot be read" in result.err


def test_invalid_routing_table_does_not_prevent_a_start(
    incident: Run, deployed: Any, route_by: Callable[..., None]
) -> None:
    route_by("rules: [\n")
    result = incident("trigger", "--title", "T")
    assert result.code == ExitCode.OK, result.err
    assert "The routing table is not YAML" in result.err
    assert "no table is in use" in result.err


@pytest.fixture
def team_with_own_dag(deployed: Any, route_by: Callable[..., None]) -> Iterator[None]:
    """Configure a routing table that names an example DAG."""
    route_by({"rules": [{"name": "payments", "match": {"team": "payments"}, "dag": "payments_incident"}]})
    yield
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    with create_session() as session:
        session.execute(delete(DagRun).where(DagRun.dag_id == "payments_incident"))


@pytest.mark.usefixtures("team_with_own_dag")
@pytest.mark.parametrize(
    ("options", "dag_id"),
    [
        (("--team", "payments"), "payments_incident"),
        (("--team", "shop"), DAG_ID),
        (("--team", "payments", "--dag-id", DAG_ID), DAG_ID),
    ],
)
def test_routing_table_selects_the_dag_unless_an_option_does(
    incident: Run, options: tuple[str, ...], dag_id: str
) -> None:
    result = incident("trigger", "--title", "T", "--output", "json", *options)
    assert result.code == ExitCode.OK, result.err
    assert result.json[0]["dag_id"] == dag_id
