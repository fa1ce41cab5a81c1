"""A Datadog incident becomes ours: with its commander, its fields, and the Slack channel it may already have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from airflow_incident_provider.intake.bounds import (
    MAX_FIELDS,
    MAX_NAME,
    MAX_TITLE,
    bounded_line,
    bounded_names,
)
from airflow_incident_provider.intake.datadog.event import body_links, description, occurred_at
from airflow_incident_provider.intake.datadog.payload import DatadogPayload, IncidentSection
from airflow_incident_provider.intake.datadog.tags import read_tags, values_of
from airflow_incident_provider.intake.datadog.variables import is_unset, json_variable
from airflow_incident_provider.intake.flags import Flags
from airflow_incident_provider.intake.identity import incident_key
from airflow_incident_provider.intake.notification import Notification
from airflow_incident_provider.intake.severity import read_severity
from airflow_incident_provider.intake.web import distinct_links, make_link, safe_url
from airflow_incident_provider.models import Incident, Link, LinkKind, Severity, Source
from airflow_incident_provider.text import for_error

_OVER = frozenset({"resolved", "completed"})
_SLACK = 1
"""Datadog's ``integration_type`` of a Slack channel."""
_CHANNEL_ID = re.compile(r"[CG][A-Z0-9]{2,30}")

Fields = dict[str, tuple[str, ...]]


def is_datadog_incident(section: IncidentSection) -> bool:
    """Return whether a payload tells of an incident: other variables can be set for a plain alert too."""
    return bool(section.public_id or section.uuid)


def read_datadog_incident(payload: DatadogPayload, *, received_at: datetime, flags: Flags) -> Notification:
    """Return what a Datadog incident's notification tells."""
    told = payload.incident
    name = told.public_id or told.uuid or ""
    fields = _fields(told.fields, flags)
    status = told.status or next(iter(fields.get("state", ())), None)
    over = status is not None and status.strip().casefold() in _OVER
    tags = read_tags(payload.tags, field="tags", flags=flags)
    commander = _commander(told.commander, flags)
    incident = Incident(
        key=incident_key(name),
        id=bounded_line(name, MAX_NAME, field="incident.public_id", flags=flags) or "unknown",
        source=Source.DATADOG_INCIDENT,
        title=_title(payload, name, flags),
        severity=_severity(told.severity, flags),
        occurred_at=occurred_at(payload, received_at=received_at, flags=flags),
        received_at=received_at,
        description=description(payload.text or payload.body or told.message, flags=flags),
        status=bounded_line(status, MAX_NAME, field="incident.status", flags=flags) if status else None,
        env=next(iter((*fields.get("env", ()), *values_of("env", tags))), None),
        services=_named("service", fields, tags, flags),
        teams=_named("team", fields, tags, flags),
        tags=tags,
        fields=fields,
        links=distinct_links(_links(payload, name, flags), flags=flags),
        snapshot_url=safe_url(payload.snapshot, field="snapshot", flags=flags),
        commander=commander,
        slack_channel_id=_slack_channel(told.integrations, flags),
        flags=flags.as_tuple(),
    )
    return Notification(
        incident=incident,
        group=incident.key,
        over=f"Datadog incident {for_error(name)} is {for_error(status)}: that opens no incident."
        if over
        else None,
        delivery_id=payload.id,
        key_inputs={"incident": incident.id},
        headline=bounded_line(
            " ".join(filter(None, (payload.title, told.message))), MAX_TITLE, field="title", flags=Flags()
        ),
    )


def _title(payload: DatadogPayload, name: str, flags: Flags) -> str:
    told = payload.incident.title or payload.title or ""
    title = bounded_line(told, MAX_TITLE, field="incident.title", flags=flags)
    return title or bounded_line(f"Datadog incident {name}", 100, field="incident.title", flags=flags)


def _severity(told: str | None, flags: Flags) -> Severity:
    severity = read_severity(told)
    if severity is None:
        flags.add("incident.severity", told, "not understood: treated as high")
    return severity or Severity.HIGH


def _named(what: str, fields: Fields, tags: tuple[str, ...], flags: Flags) -> tuple[str, ...]:
    """Return the services or teams, from the incident's fields (in the plural there) and its tags."""
    names = (*fields.get(f"{what}s", ()), *fields.get(what, ()), *values_of(what, tags))
    return bounded_names(names, field="incident.fields", flags=flags)


def _commander(variable: object, flags: Flags) -> str | None:
    """Return who leads, by e-mail address if it is told, for that finds a person for sure."""
    told = json_variable(variable, field="incident.commander", flags=flags)
    if not isinstance(told, dict):
        return None
    for key in ("email", "handle", "name"):
        value = told.get(key)
        if isinstance(value, str) and not is_unset(value):
            return bounded_line(value, MAX_NAME, field=f"incident.commander.{key}", flags=flags) or None
    return None


def _fields(variable: object, flags: Flags) -> Fields:
    told = json_variable(variable, field="incident.fields", flags=flags)
    if not isinstance(told, dict):
        return {}
    fields: Fields = {}
    for key, value in told.items():
        if len(fields) == MAX_FIELDS:
            flags.add("incident.fields", told, f"only the first {MAX_FIELDS} are kept")
            break
        name = bounded_line(str(key), MAX_NAME, field="incident.fields", flags=flags)
        values = bounded_names(_texts(value), field=f"incident.fields.{name}", flags=flags)
        if name and values:
            fields[name] = values
    return fields


def _texts(value: object) -> Iterator[str]:
    """Yield the texts of a field: one, a list of them, or either under ``value``, as Datadog's API has it."""
    if isinstance(value, dict):
        value = value.get("value")
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str) and not is_unset(item):
            yield item


def _slack_channel(variable: object, flags: Flags) -> str | None:
    """Return the id of the first Slack channel that Datadog's own integration made for this incident."""
    told = json_variable(variable, field="incident.integrations", flags=flags)
    for channel in _slack_channels(told):
        channel_id = channel.get("channel_id")
        if isinstance(channel_id, str) and _CHANNEL_ID.fullmatch(channel_id):
            return channel_id
        flags.add("incident.integrations", channel_id, "left out: not the id of a Slack channel")
    return None


def _slack_channels(integrations: object) -> Iterator[dict[str, object]]:
    for integration in integrations if isinstance(integrations, list) else []:
        if not isinstance(integration, dict) or integration.get("integration_type") != _SLACK:
            continue
        metadata = integration.get("metadata")
        channels = metadata.get("channels") if isinstance(metadata, dict) else None
        if isinstance(channels, list):
            yield from (channel for channel in channels if isinstance(channel, dict))


def _links(payload: DatadogPayload, name: str, flags: Flags) -> Iterator[Link | None]:
    label = f"Incident {name}"
    for url in (payload.incident.url, payload.link):
        if url is not None:
            yield make_link(url, label=label, kind=LinkKind.INCIDENT, field="incident.url", flags=flags)
    yield from body_links(payload, flags=flags)
