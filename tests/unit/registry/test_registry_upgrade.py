"""Incidents stored by version 0.1.0 are matched after an upgrade."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_incident_provider.lifecycle.records import Status
from airflow_incident_provider.registry import upgrade

STORED = json.loads(Path(__file__).with_name("stored_by_0_1_0.json").read_text())
KEYS = STORED["keys"]
TABLE = """
rules: [{name: customer data, match: {tag: 'data:customer'}, private: true}]
triage: {channel: '#triage'}
"""


def shift_to_now(stored: dict[str, Any]) -> dict[str, Any]:
    """Shift the timestamps of a stored incident to a few minutes ago."""
    shift = datetime.now(UTC) - datetime(2026, 11, 23, 10, 30, tzinfo=UTC)

    def shifted(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shifted(item) for key, item in value.items()}
        if isinstance(value, list):
            return [shifted(item) for item in value]
        try:
            return (datetime.fromisoformat(value) + shift).isoformat() if "T" in value else value
        except (TypeError, ValueError):
            return value

    result: dict[str, Any] = shifted(stored)
    return result


@pytest.fixture
def upgraded(make_registry: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    harness = make_registry(TABLE)
    for key, stored in STORED["stored"].items():
        shifted = shift_to_now(stored)
        shifted["record"]["last_signal_at"] = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
        harness.write(f"record/{key}", shifted)
        harness.write(f"transition/{key}", {"as_of": 0, "status": "open"})
    confs = {("incident_response", key): conf for key, conf in STORED["confs"].items()}
    monkeypatch.setattr(upgrade, "run_confs", lambda *_: confs)
    return harness


def test_open_alerts_are_matched(upgraded: Any) -> None:
    send, alert = upgraded.send, upgraded.alert
    scope = "host:web-1,service:checkout"
    [repeated] = send(alert(101, "Re-Triggered", cycle="c9", scope=scope))
    assert (repeated.decision.action, repeated.decision.key) == ("update", KEYS["open"])
    # Version 0.1.0 counted two cycles of one group as two alerts; now they are one.
    assert upgraded[KEYS["open"]].record.firing_count == 2
    assert send(alert(101, "Recovered", cycle="c9", scope=scope))[0].decision.action == "update"
    [last] = send(alert(102, "Recovered", cycle="c2", scope="host:web-2,service:checkout"))
    assert (last.decision.action, last.decision.key) == ("recover", KEYS["open"])


def test_recovered_incident_reopens_and_correlated_alert_joins(upgraded: Any) -> None:
    send, alert = upgraded.send, upgraded.alert
    assert send(alert(201, cycle="c2", service="search", scope="host:s-1"))[0].decision.action == "reopen"
    joined = send(alert(202, service="checkout", scope="host:web-3"))[0].decision
    assert (joined.action, joined.key) == ("update", KEYS["open"])


def test_privacy_is_read_from_run_conf(upgraded: Any) -> None:
    send, alert = upgraded.send, upgraded.alert
    [private] = send(alert(402, service="vault", scope="host:v-2", tags=",data:customer"))
    assert private.decision.key == KEYS["private"]
    assert upgraded[KEYS["private"]].record.private is True
    assert send(alert(403, service="vault", scope="host:v-3"))[0].decision.action == "open"
    assert [upgraded[KEYS[name]].record.private for name in ("open", "thread")] == [False, False]


def test_condensed_alerts_recover(upgraded: Any) -> None:
    key = KEYS["large"]
    for number in range(120):
        scope = f"host:ip-10-0-{number}.ec2.internal,az:eu-central-1{'x' * 60}"
        [outcome] = upgraded.send(upgraded.alert(9000 + number, "Recovered", service="fleet", scope=scope))
        assert outcome.decision.key == key, number
    assert upgraded[key].record.status is Status.RECOVERED


def test_report_with_id_is_matched(upgraded: Any) -> None:
    [outcome] = upgraded.send({"id": "INC-7", "title": "Payments fail", "severity": "critical"})
    assert (outcome.decision.action, outcome.decision.key) == ("update", KEYS["manual"])


def test_incidents_are_listed_after_first_alert(upgraded: Any) -> None:
    upgraded.send(upgraded.alert(999, service="other"))
    listed = upgraded.read(lambda registry: registry.listed())
    assert set(STORED["stored"]) < set(listed)
    assert timedelta() < datetime.now(UTC) - listed[KEYS["open"]].opened_at < timedelta(hours=2)
