"""The rules by which alerts are decided on: the sections of a routing table that are about an incident's life."""

from __future__ import annotations

from typing import Self

from airflow_incident_provider.intake.policies import Correlation, Lifecycle, Storm, Triage
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.models import Model


class LifecycleRules(Model):
    """What joins an incident, what a storm is, where incidents show, and the times of their lives."""

    correlation: Correlation = Correlation()
    storm: Storm = Storm()
    triage: Triage = Triage()
    lifecycle: Lifecycle = Lifecycle()

    @classmethod
    def of(cls, table: RoutingTable) -> Self:
        """Return the rules that a routing table holds."""
        return cls(correlation=table.correlation, storm=table.storm, triage=table.triage, lifecycle=table.lifecycle)
