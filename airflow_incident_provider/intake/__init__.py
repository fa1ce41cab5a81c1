"""
The outside world becomes an incident: a Datadog payload or a person's own words, and a routing table.

Pure functions: nothing here reads a file, a clock or a connection.
"""

from __future__ import annotations

from airflow_incident_provider.intake.conf import read_incident
from airflow_incident_provider.intake.datadog import payload_template
from airflow_incident_provider.intake.report_fields import trigger_form
from airflow_incident_provider.intake.routing_table import RoutingTable, load_routing_table

__all__ = ["RoutingTable", "load_routing_table", "payload_template", "read_incident", "trigger_form"]
