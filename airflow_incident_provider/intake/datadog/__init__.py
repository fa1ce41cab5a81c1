"""Datadog's webhook payloads become incidents: alerts, incidents, and alerts in the default payload."""

from __future__ import annotations

from airflow_incident_provider.intake.datadog.payload import payload_template
from airflow_incident_provider.intake.datadog.reading import looks_like_datadog, read_datadog

__all__ = ["looks_like_datadog", "payload_template", "read_datadog"]
