"""Recognise and parse Datadog's payloads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from pydantic import ValidationError

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.datadog.alert import read_alert
from airflow_incident_provider.intake.datadog.incident import is_datadog_incident, read_datadog_incident
from airflow_incident_provider.intake.datadog.payload import SCHEMA, DatadogPayload
from airflow_incident_provider.intake.limits import ParseWarnings
from airflow_incident_provider.intake.notification import Notification
from airflow_incident_provider.intake.validation import path_of, reasons
from airflow_incident_provider.text import for_error

_FIX = "Use the payload template that `airflow incident setup datadog` prints."
_SCHEMA_FAMILY = SCHEMA.partition("/")[0] + "/"
_DEFAULT_PAYLOAD = {"event_type", "title", "body"}


def looks_like_datadog(conf: Mapping[str, object]) -> bool:
    """Return whether a conf is itself a payload of Datadog's: our template's, or the default one."""
    schema = conf.get("schema")
    if isinstance(schema, str) and schema.startswith(_SCHEMA_FAMILY):
        return True
    alert, incident = conf.get("alert"), conf.get("incident")
    return isinstance(alert, dict) or isinstance(incident, dict) or conf.keys() >= _DEFAULT_PAYLOAD


def read_datadog(payload: object, *, received_at: datetime) -> Notification:
    """Return what a payload of Datadog's tells; text is read as JSON.

    :raises InvalidPayloadError: if it cannot be read, with the field and the reason.
    """
    told = _parsed(payload)
    warnings = ParseWarnings()
    if told.schema_name is not None and told.schema_name != SCHEMA:
        warnings.add("schema", told.schema_name, f"not known: read as {SCHEMA}")
    read = read_datadog_incident if is_datadog_incident(told.incident) else read_alert
    return read(told, received_at=received_at, warnings=warnings)


def _parsed(payload: object) -> DatadogPayload:
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError):
            raise InvalidPayloadError(
                f"datadog: {for_error(payload)} is not JSON.",
                fix="Pass the payload as an object or as JSON text.",
            ) from None
    if not isinstance(payload, Mapping):
        raise InvalidPayloadError(f"datadog: {for_error(payload)} is not an object.", fix=_FIX)
    try:
        return DatadogPayload.model_validate(dict(payload))
    except ValidationError as error:
        location, _, reason = next(iter(reasons(error)))
        raise InvalidPayloadError(f"{path_of(('datadog', *location))}: {reason}.", fix=_FIX) from None
