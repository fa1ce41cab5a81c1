"""One incident as its run and the registry tell it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from airflow_incident_provider.commands.access.airflow import Airflow, Run
from airflow_incident_provider.commands.watch.command import value_of
from airflow_incident_provider.config import TaskId
from airflow_incident_provider.lifecycle.records import IncidentRecord, Room
from airflow_incident_provider.models import Finding, Incident, IncidentSummary, Verdict, WarRoom
from airflow_incident_provider.registry.keys import Kind
from airflow_incident_provider.registry.records import StoredIncident, Transition


@dataclass(frozen=True, kw_only=True)
class RecordedIncident:
    """What is known of an incident; ``record`` only if its alert came through the webhook."""

    run: Run
    incident: Incident | None
    room: WarRoom | None
    summary: IncidentSummary | None
    record: IncidentRecord | None
    findings: Mapping[Verdict, int] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """How far it has come: by the registry, else by how the run ended, else the run's state."""
        if self.record is not None:
            return str(self.record.status)
        return str(self.summary.outcome) if self.summary is not None else self.run.state


def recorded(airflow: Airflow, run: Run) -> RecordedIncident:
    """Return what a run left, and what the registry remembers of its incident."""
    incident = value_of(Incident, airflow, run, TaskId.PARSE_INCIDENT)
    summary = value_of(IncidentSummary, airflow, run, TaskId.FINAL_SUMMARY)
    counted = summary.findings if summary else Counter(each.verdict for each in findings(airflow, run))
    return RecordedIncident(
        run=run,
        incident=incident,
        room=value_of(WarRoom, airflow, run, TaskId.CREATE_WAR_ROOM),
        summary=summary,
        record=record_of(airflow, incident.key) if incident is not None else None,
        findings=counted,
    )


def findings(airflow: Airflow, run: Run) -> list[Finding]:
    """Return what the probes found, as far as they have ended, the worst first."""
    found = []
    for step in airflow.steps(run.dag_id, run.run_id):
        if step.task_id == TaskId.INVESTIGATE and step.state == "success":
            value = airflow.value(run.dag_id, run.run_id, TaskId.INVESTIGATE, map_index=step.map_index)
            try:
                found.append(Finding.model_validate(value))
            except ValidationError:
                continue
    worst_first = list(Verdict)
    return sorted(found, key=lambda finding: worst_first.index(finding.verdict))


def record_of(airflow: Airflow, key: str) -> IncidentRecord | None:
    """Return what the registry remembers of an incident, if it does."""
    value = airflow.registry_value(Kind.RECORD.key(key)) or airflow.registry_value(Kind.ARCHIVE.key(key))
    try:
        if value is None:
            return None
        room = airflow.registry_value(Kind.ROOM.key(key))
        transition = airflow.registry_value(Kind.TRANSITION.key(key))
        stored = StoredIncident.model_validate(value)
        return stored.with_reports(
            Room.model_validate(room) if room else None,
            Transition.model_validate(transition) if transition else None,
        ).record
    except ValidationError:
        return None
