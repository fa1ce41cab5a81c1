"""``airflow incident explain``: output and errors."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.cli.cli_parser import AirflowHelpFormatter, DefaultHelpParser

from airflow_incident_provider.cli.commands import get_cli_commands

pytestmark = pytest.mark.usefixtures("airflow_home")

PAYLOADS = Path(__file__).parents[2] / "payloads"


def run(*arguments: str) -> int:
    """Run the command with parsed arguments and return its exit code."""
    (group,) = get_cli_commands()
    command = next(command for command in group.subcommands if command.name == "explain")
    parser = DefaultHelpParser(formatter_class=AirflowHelpFormatter)
    for argument in command.args:
        argument.add_to_parser(parser)
    with pytest.raises(SystemExit) as exc_info:
        command.func(parser.parse_args(arguments))
    return int(str(exc_info.value.code))


def test_explains_decision_and_reasons(capsys: Any) -> None:
    run(str(PAYLOADS / "01_metric_triggered.json"), "--no-records")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "OPEN dd.148275309.7716548234011230001.1c1990a1e485f49b"
    output = "\n".join(lines)
    assert "monitor 148275309, cycle 7716548234011230001, scope env:prod,service:checkout" in output
    assert "start incident_response as dd.148275309.7716548234011230001.1c1990a1e485f49b now" in output
    assert "; 1 of 1 alert firing, fired 1x\n" in output
    assert "  redelivery: no, " in output
    assert "within 60 s; a storm begins with 10" in output


def test_default_payload_is_recorded_alert(capsys: Any) -> None:
    assert run("--no-records") == 0
    assert capsys.readouterr().out.startswith("OPEN dd.")


PRIVATE = """version: 1
rules:
  - {name: open, match: {service: checkout}, private: false}
  - {name: secret, match: {service: checkout}, private: true}
"""


def test_private_room_names_its_rule(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "routing.yaml").write_text(PRIVATE)
    payload = str(PAYLOADS / "01_metric_triggered.json")
    assert run(payload, "--no-records", "--routing-table", str(tmp_path / "routing.yaml")) == 0
    assert "private (rule 'secret')" in capsys.readouterr().out


def test_invalid_table_falls_back_to_table_in_use(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "routing.yaml").write_text("rules: [\n")
    monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(tmp_path / "routing.yaml"))
    assert run("--no-records") == 0
    output = capsys.readouterr()
    assert output.out.startswith("OPEN")
    assert "The routing table is not YAML" in output.err
    assert "no table is in use" in output.err


def test_binary_standard_input_is_an_error(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8"))
    assert run("-", "--no-records") == 2
    assert "cannot be read" in capsys.readouterr().err


def test_reads_standard_input_and_records(capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run(str(PAYLOADS / "01_metric_triggered.json"), "--no-records", "-o", "json")
    opened = json.loads(capsys.readouterr().out)
    records = tmp_path / "records.json"
    records.write_text(json.dumps([opened["record"]]))
    recovered = (PAYLOADS / "03_metric_recovered.json").read_text()
    monkeypatch.setattr("sys.stdin", io.StringIO(recovered))
    run("-", "--records", str(records), "--output", "json")
    output = json.loads(capsys.readouterr().out)
    assert (output["action"], output["key"]) == ("recover", opened["key"])
    assert output["record"]["status"] == "recovered"
    assert "conf" not in output["runs"][0]


def test_applies_routing_table(capsys: Any, tmp_path: Path) -> None:
    table = tmp_path / "routing.yaml"
    table.write_text("triage: {rules: [{name: nobody, presence: record}]}")
    run(str(PAYLOADS / "01_metric_triggered.json"), "--no-records", "--routing-table", str(table))
    output = capsys.readouterr().out
    assert "shown as record (nobody)" in output
    assert "  no run\n" in output


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


def test_lists_responders_and_probes_with_their_rules(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "routing.yaml").write_text(ROUTED)
    payload = str(PAYLOADS / "01_metric_triggered.json")
    assert run(payload, "--no-records", "--routing-table", str(tmp_path / "routing.yaml")) == 0
    output = capsys.readouterr().out
    handling = output[output.index("How it would be handled") :].splitlines()
    assert "  rules: payments" in handling
    assert "  DAG: payments_incident (rule 'payments')" in handling
    assert any(line.startswith("  room: #pay-") and line.endswith("prefix: rule 'payments'") for line in handling)
    assert "    dana@acme.example (rule 'payments')" in handling
    assert "    @sre-oncall (defaults)" in handling
    assert "    http https://checkout.acme.example:443/healthz" in handling
    assert any("169.254.169.254" in line and "not run" in line for line in handling)
    assert "  runbook: https://wiki.acme.example/runbooks/payments" in handling


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "payload.json cannot be read: No such file or directory."),
        ("{", "The body is not JSON"),
        ("[1]", "is not an object"),
        ('[{"title": "a"}, {"title": "b"}]', "payload.json holds 2 alerts. The webhook decides on each by itself"),
        ("{}", "The conf is empty."),
        ('{"alert": {"type": "error"}}', "neither a title nor an id"),
    ],
)
def test_unreadable_payload_is_an_error(
    content: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "payload.json"
    if content is not None:
        file.write_text(content)
    assert run(str(file)) != 0
    assert message in capsys.readouterr().err


def test_invalid_records_and_tables_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    invalid_file = tmp_path / "wrong"
    invalid_file.write_text('[{"key": "a b"}]')
    assert run(str(PAYLOADS / "01_metric_triggered.json"), "--records", str(invalid_file)) != 0
    assert "The records cannot be read: 0.key" in capsys.readouterr().err
    assert run(str(PAYLOADS / "01_metric_triggered.json"), "--routing-table", str(invalid_file)) != 0
    assert "The routing table is" in capsys.readouterr().err


def test_control_characters_are_removed_from_output(capsys: Any, tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_text(
        json.dumps({"alert": {"id": "1", "title": "x\x1b[2J", "scope": "a:\x1b[31mred", "priority": "P1"}})
    )
    run(str(file))
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbf{"title": "T", "severity": "high"}',
        '{"title": "T", "severity": "high"}'.encode("utf-16"),
        b'[{"title": "T", "severity": "high"}]',
        b"title=T&severity=high",
        b"{'title': 'T', 'severity': 'high',}",
    ],
)
def test_payload_is_read_as_the_webhook_reads_a_body(content: bytes, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "payload"
    file.write_bytes(content)
    assert run(str(file), "--no-records") == 0
    assert capsys.readouterr().out.startswith("OPEN man.")


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_documents_contain_the_handling(output: str, capsys: Any) -> None:
    assert run("--no-records", "--output", output) == 0
    assert yaml.safe_load(capsys.readouterr().out)["handling"]["dag_id"] == "incident_response"
