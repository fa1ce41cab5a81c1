"""The payload of our template, which contains Datadog's default payload: what is read of it, and as what."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from airflow_incident_provider.intake.datadog.variables import is_unset, text_variable
from airflow_incident_provider.text import for_error


def _section(value: object) -> object:
    """Return a part of the payload as an object, also when it is unset or came as text."""
    if is_unset(value):
        return {}
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"{for_error(value)} is not a JSON object") from None
    if not isinstance(value, dict):
        raise ValueError(f"{for_error(value)} is not an object")
    return value


Text = Annotated[str | None, BeforeValidator(text_variable)]


class _Section(BaseModel):
    """A part of the payload; keys that we do not know are none of our business."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class AlertSection(_Section):
    """What the ``$ALERT_*`` variables held."""

    id: Text = None
    cycle_key: Text = None
    title: Text = None
    transition: Text = None
    type: Text = None
    priority: Text = None
    metric: Text = None
    metric_namespace: Text = None
    query: Text = None
    scope: Text = None
    status: Text = None


class IncidentSection(_Section):
    """What the ``$INCIDENT_*`` variables held; commander, fields and integrations hold JSON."""

    public_id: Text = None
    uuid: Text = None
    title: Text = None
    severity: Text = None
    status: Text = None
    url: Text = None
    message: Text = None
    commander: object = None
    fields: object = None
    integrations: object = None


class DatadogPayload(_Section):
    """One notification. The default payload has only id, event_type, title, body, date, last_updated and org."""

    schema_name: Text = Field(default=None, alias="schema")
    id: Text = None
    event_type: Text = None
    title: Text = None
    body: Text = None
    text: Text = None
    date: Text = None
    last_updated: Text = None
    link: Text = None
    snapshot: Text = None
    hostname: Text = None
    tags: object = None
    alert: Annotated[AlertSection, BeforeValidator(_section)] = AlertSection()
    incident: Annotated[IncidentSection, BeforeValidator(_section)] = IncidentSection()
