"""Datadog's webhook payloads: monitors' alerts and incidents, in our template and in other people's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.datadog.alert import read_alert
from airflow_incident_provider.intake.datadog.incident import is_datadog_incident, read_datadog_incident
from airflow_incident_provider.intake.datadog.payload import (
    SCHEMA,
    looks_like_datadog,
    payload_schema,
    payload_template,
    read_payload,
)
from airflow_incident_provider.intake.limits import ParseWarnings
from airflow_incident_provider.intake.notification import Notification
from airflow_incident_provider.text import for_error

__all__ = ["looks_like_datadog", "payload_schema", "payload_template", "read_datadog"]

_MAX_ENCODINGS = 4
"""How often a payload may have been encoded as text."""
_FIX = "Use the payload template that `airflow incident setup datadog` prints."


def read_datadog(payload: object, *, received_at: datetime) -> Notification:
    """Return what a payload of Datadog's states; text is parsed as JSON.

    :raises InvalidPayloadError: if it is no object, or nothing in it identifies an alert.
    """
    warnings = ParseWarnings()
    variables = read_payload(_object(payload), warnings)
    if variables.schema_name is not None and variables.schema_name != SCHEMA:
        warnings.add("schema", variables.schema_name, f"not known: read as {SCHEMA}")
    read = read_datadog_incident if is_datadog_incident(variables) else read_alert
    return read(variables, received_at=received_at, warnings=warnings)


def _object(payload: object) -> Mapping[str, object]:
    for _ in range(_MAX_ENCODINGS):
        if not isinstance(payload, str):
            break
        try:
            payload = json.loads(payload, strict=False)
        except (ValueError, RecursionError):
            raise InvalidPayloadError(
                f"datadog: {for_error(payload)} is not JSON.", fix="Pass the payload as an object or as JSON text."
            ) from None
    if isinstance(payload, list) and len(payload) == 1:
        payload = payload[0]
    if not isinstance(payload, Mapping):
        raise InvalidPayloadError(f"datadog: {for_error(payload)} is not an object.", fix=_FIX)
    return payload
