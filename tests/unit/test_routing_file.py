"""An invalid edit of the routing table costs no alert: the last valid table stays in use, and says so."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_incident_provider.exceptions import RoutingTableError
from airflow_incident_provider.routing_file import RoutingTableFile, active_routing_table, read_routing_table

GOOD = "rules: [{name: payments, match: {team: payments}, responders: [dana@acme.example]}]"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AIRFLOW__INCIDENT__ROUTING_TABLE", str(tmp_path / "routing.yaml"))
    return tmp_path / "routing.yaml"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (GOOD.replace("responders", "responder"), "did you mean responders?"),
        (GOOD[:20], "is not YAML"),
        (f"{GOOD}\n{GOOD}\n", "written twice, first in line 1"),
        ("", "is empty, and was not"),
        ("# nothing yet\n", "is empty, and was not"),
        (None, "cannot be read"),
    ],
)
def test_the_last_valid_table_stays_in_use(file: Path, content: str | None, why: str) -> None:
    file.write_text(GOOD)
    watched = RoutingTableFile()
    assert watched.active().problem is None
    watched.require_valid()
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    before = datetime.now(UTC)
    # As the same process has it, as one that was restarted, and as a task.
    for active in (watched.active(), RoutingTableFile().active(), active_routing_table()):
        assert [rule.name for rule in active.table.rules] == ["payments"]
        assert active.problem is not None
        assert why in str(active.problem)
        assert "the last valid table, of 2" in str(active.problem)
        assert abs((active.problem.since - before).total_seconds()) < 60
    with pytest.raises(RoutingTableError, match="Invalid since"):
        watched.require_valid()
    file.write_text(GOOD.replace("payments", "search"))
    assert [rule.name for rule in watched.table().rules] == ["search"]
    watched.require_valid()


def test_a_table_that_was_never_valid_is_replaced_by_an_empty_one(file: Path) -> None:
    file.write_text("rulez: []")
    active = active_routing_table()
    assert active.table.rules == ()
    assert active.problem is not None
    assert "no table is in use" in str(active.problem)
    with pytest.raises(RoutingTableError, match="rulez"):
        read_routing_table()


def test_a_table_that_becomes_empty_on_purpose_says_its_version(file: Path) -> None:
    file.write_text(GOOD)
    assert active_routing_table().table.rules
    file.write_text("version: 1")
    assert active_routing_table().problem is None
    assert active_routing_table().table.rules == ()


def test_a_folder_that_cannot_be_written_costs_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(file))
    file.write_text(GOOD)
    assert active_routing_table().table.rules


def test_a_mapping_has_no_earlier_version() -> None:
    with pytest.raises(RoutingTableError):
        active_routing_table({"rulez": []})
