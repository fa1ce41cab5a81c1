"""Test the routing table file: the last valid table stays in use while an edit is invalid."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.routing_file import RoutingTableFile, active_routing_table, read_routing_table

VALID = "rules: [{name: payments, match: {team: payments}, responders: [dana@acme.example]}]"


@pytest.fixture
def routing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(tmp_path / "routing.yaml"))
    return tmp_path / "routing.yaml"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (VALID.replace("responders", "responder"), "did you mean responders?"),
        (VALID[:20], "is not YAML"),
        (f"{VALID}\n{VALID}\n", "written twice, first in line 1"),
        ("", "is empty, and was not"),
        ("# nothing yet\n", "is empty, and was not"),
        (None, "cannot be read"),
    ],
)
def test_last_valid_table_stays_in_use(routing_file: Path, content: str | None, reason: str) -> None:
    routing_file.write_text(VALID)
    table_file = RoutingTableFile()
    assert table_file.active().problem is None
    table_file.require_valid()
    if content is None:
        routing_file.unlink()
    else:
        routing_file.write_text(content)
    before = datetime.now(UTC)
    # In the same process, in a restarted one, and in a task.
    for active in (table_file.active(), RoutingTableFile().active(), active_routing_table()):
        assert [rule.name for rule in active.table.rules] == ["payments"]
        assert active.problem is not None
        assert reason in str(active.problem)
        assert "the last valid table, of 2" in str(active.problem)
        assert abs((active.problem.since - before).total_seconds()) < 60
    with pytest.raises(RoutingTableError, match="Invalid since"):
        table_file.require_valid()
    routing_file.write_text(VALID.replace("payments", "search"))
    assert [rule.name for rule in table_file.table().rules] == ["search"]
    table_file.require_valid()


def test_table_that_was_never_valid_is_empty(routing_file: Path) -> None:
    routing_file.write_text("rulez: []")
    active = active_routing_table()
    assert active.table.rules == ()
    assert active.problem is not None
    assert "no table is in use" in str(active.problem)
    with pytest.raises(RoutingTableError, match="rulez"):
        read_routing_table()


def test_empty_table_with_version_is_valid(routing_file: Path) -> None:
    routing_file.write_text(VALID)
    assert active_routing_table().table.rules
    routing_file.write_text("version: 1")
    assert active_routing_table().problem is None
    assert active_routing_table().table.rules == ()


def test_table_is_read_without_a_writable_folder(routing_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(routing_file))
    routing_file.write_text(VALID)
    assert active_routing_table().table.rules


def test_invalid_mapping_raises() -> None:
    with pytest.raises(RoutingTableError):
        active_routing_table({"rulez": []})
