"""Actions find the incident of a channel, whether it began with an alert or with a report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_incident_provider.lifecycle.actions import Outcome
from airflow_incident_provider.lifecycle.coordination import ActionKind, Actor, ActorSource, IncidentAction
from airflow_incident_provider.lifecycle.decision import reported_record
from airflow_incident_provider.lifecycle.records import Room
from airflow_incident_provider.registry.actions import DatabaseIncidents
from airflow_incident_provider.registry.keys import REPORTS
from airflow_incident_provider.registry.records import StoredIncident
from airflow_incident_provider.registry.store import MAX_REPORTS

NOW = datetime.now(UTC)


def store_report(registry: Any, channel_id: str, id_: str = "INC-9") -> str:
    """Store a reported incident with its room as ``incident_response`` does; return its key."""
    conf = {"id": id_, "title": f"{id_}: Checkout is down"}
    incident = registry.pending(conf).signal.incident
    record = reported_record(conf, incident, registry.routing, dag_id="incident_response", run_id="manual__1")
    registry.write(record.key, StoredIncident(version=1, record=record).to_json(), asset=REPORTS.name)
    registry.write(f"room/{record.key}", Room(channel_id=channel_id))
    return record.key


def lead() -> IncidentAction:
    dana = Actor(name="dana.reyes", slack_id="U0DANAREYES", source=ActorSource.SLACK)
    return IncidentAction(id="1", kind=ActionKind.LEAD, at=NOW, actor=dana)


def test_reported_incident_is_found_by_channel(registry: Any) -> None:
    incidents = DatabaseIncidents(registry.runs)
    [alert] = registry.send(registry.alert())
    registry.write(f"room/{alert.decision.key}", Room(channel_id="C1"))
    key = store_report(registry, "C9")
    found = {channel: incidents.find(key=None, channel_id=channel) for channel in ("C1", "C9", "C5")}
    assert {channel: record.key for channel, record in found.items() if record} == {
        "C1": alert.decision.key,
        "C9": key,
    }


def test_latest_of_many_reports_is_found_and_updated(registry: Any) -> None:
    key = [store_report(registry, f"C{number}", f"INC-{number}") for number in range(MAX_REPORTS + 5)][-1]
    incidents = DatabaseIncidents(registry.runs)
    found = incidents.find(key=None, channel_id=f"C{MAX_REPORTS + 4}")
    assert found is not None
    assert found.key == key
    assert incidents.apply(key, lead(), registry.routing).outcome is Outcome.APPLIED


def test_action_moves_report_to_registry(registry: Any) -> None:
    key = store_report(registry, "C9")
    incidents = DatabaseIncidents(registry.runs)
    assert incidents.apply(key, lead(), registry.routing).outcome is Outcome.APPLIED
    record = incidents.find(key=None, channel_id="C9")
    assert record is not None
    assert (record.key, record.commander) == (key, "dana.reyes")
    assert registry.read(lambda r: r.reports()) == {}
