"""``airflow incident explain``: what it prints, and how it refuses."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.cli.cli_parser import AirflowHelpFormatter, DefaultHelpParser

from airflow_incident_provider.cli.commands import get_cli_commands

pytestmark = pytest.mark.usefixtures("airflow_home")

PAYLOADS = Path(__file__).parents[2] / "payloads"


def run(*arguments: str) -> int:
    """Run the command with the arguments that it declares, and return its exit code."""
    (group,) = get_cli_commands()
    command = next(command for command in group.subcommands if command.name == "explain")
    parser = DefaultHelpParser(formatter_class=AirflowHelpFormatter)
    for argument in command.args:
        argument.add_to_parser(parser)
    with pytest.raises(SystemExit) as exited:
        command.func(parser.parse_args(arguments))
    return int(str(exited.value.code))


def test_it_says_what_an_alert_is_and_why(capsys: Any) -> None:
    run(str(PAYLOADS / "01_metric_triggered.json"), "--no-records")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "OPEN dd.148275309.7716548234011230001.1c1990a1e485f49b"
    printed = "\n".join(lines)
    assert "monitor 148275309, cycle 7716548234011230001, scope env:prod,service:checkout" in printed
    assert "start incident_response as dd.148275309.7716548234011230001.1c1990a1e485f49b now" in printed
    assert "; 1 of 1 alert firing, fired 1x\n" in printed
    assert "  redelivery: no, " in printed
    assert "within 60 s; a storm begins with 10" in printed


def test_without_a_file_it_explains_a_recorded_alert(capsys: Any) -> None:
    assert run("--no-records") == 0
    assert capsys.readouterr().out.startswith("OPEN dd.")


PRIVATE = """version: 1
rules:
  - {name: open, match: {service: checkout}, private: false}
  - {name: secret, match: {service: checkout}, private: true}
"""


def test_private_room_names_the_rule_that_makes_it_private(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "routing.yaml").write_text(PRIVATE)
    payload = str(PAYLOADS / "01_metric_triggered.json")
    assert run(payload, "--no-records", "--routing-table", str(tmp_path / "routing.yaml")) == 0
    assert "private (rule 'secret')" in capsys.readouterr().out


def test_while_the_table_is_invalid_it_decides_with_the_one_in_use(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "routing.yaml").write_text("rules: [\n")
    monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(tmp_path / "routing.yaml"))
    assert run("--no-records") == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("OPEN")
    assert "The routing table is not YAML" in printed.err
    assert "no table is in use" in printed.err


def test_standard_input_that_is_no_text(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))
    assert run("-", "--no-records") == 2
    assert "cannot be read" in capsys.readouterr().err


def test_it_reads_standard_input_and_the_incidents_that_there_are(
    capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(str(PAYLOADS / "01_metric_triggered.json"), "--no-records", "-o", "json")
    opened = json.loads(capsys.readouterr().out)
    records = tmp_path / "records.json"
    records.write_text(json.dumps([opened["record"]]))
    recovered = (PAYLOADS / "03_metric_recovered.json").read_text()
    monkeypatch.setattr("sys.stdin", io.StringIO(recovered))
    run("-", "--records", str(records), "--output", "json")
    printed = json.loads(capsys.readouterr().out)
    assert (printed["action"], printed["key"]) == ("recover", opened["key"])
    assert printed["record"]["status"] == "recovered"
    assert "conf" not in printed["runs"][0]


def test_it_goes_by_the_routing_table(capsys: Any, tmp_path: Path) -> None:
    table = tmp_path / "routing.yaml"
    table.write_text("triage: {rules: [{name: nobody, presence: record}]}")
    run(str(PAYLOADS / "01_metric_triggered.json"), "--no-records", "--routing-table", str(table))
    printed = capsys.readouterr().out
    assert "shown as record (nobody)" in printed
    assert "  no run\n" in printed


ROUTED = """version: 1
defaults: {responders: ["@sre-oncall"]}
rules:
  - name: payments
    match: {service: checkout}
    responders: [dana@acme.example]
    channel_prefix: pay
    dag: payments_incident
    targets: ["https://checkout.acme.example/healthz", "http://169.254.169.254/"]
    runbook: https://wiki.acme.example/runbooks/payments
"""


def test_it_says_who_would_be_invited_and_what_probed_and_by_which_rule(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "routing.yaml").write_text(ROUTED)
    payload = str(PAYLOADS / "01_metric_triggered.json")
    assert run(payload, "--no-records", "--routing-table", str(tmp_path / "routing.yaml")) == 0
    printed = capsys.readouterr().out
    handling = printed[printed.index("How it would be handled") :].splitlines()
    assert "  rules: payments" in handling
    assert "  DAG: payments_incident (rule 'payments')" in handling
    assert any(line.startswith("  room: #pay-") and line.endswith("prefix: rule 'payments'") for line in handling)
    assert "    dana@acme.example (rule 'payments')" in handling
    assert "    @sre-oncall (defaults)" in handling
    assert "    http https://checkout.acme.example:443/healthz" in handling
    assert any("169.254.169.254" in line and "not run" in line for line in handling)
    assert "  runbook: https://wiki.acme.example/runbooks/payments" in handling


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "payload.json cannot be read: No such file or directory."),
        ("{", "The payload cannot be read as JSON"),
        ("[1]", "The payload is not a JSON object."),
        ("{}", "The conf is empty."),
        ('{"alert": {"type": "error"}}', "neither a title nor an id"),
    ],
)
def test_an_unreadable_payload_is_an_error(
    content: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "payload.json"
    if content is not None:
        file.write_text(content)
    assert run(str(file)) != 0
    assert words in capsys.readouterr().err


def test_invalid_records_and_tables_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text('[{"key": "a b"}]')
    assert run(str(PAYLOADS / "01_metric_triggered.json"), "--records", str(wrong)) != 0
    assert "The records cannot be read: 0.key" in capsys.readouterr().err
    assert run(str(PAYLOADS / "01_metric_triggered.json"), "--routing-table", str(wrong)) != 0
    assert "The routing table is" in capsys.readouterr().err


def test_a_terminal_is_not_moved_by_what_an_alert_holds(capsys: Any, tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_text(
        json.dumps({"alert": {"id": "1", "title": "x\x1b[2J", "scope": "a:\x1b[31mred", "priority": "P1"}})
    )
    run(str(file))
    assert "\x1b" not in capsys.readouterr().out
