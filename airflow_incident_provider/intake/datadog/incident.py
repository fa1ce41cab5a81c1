"""Parse a notification of Datadog's incident management."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from airflow_incident_provider.intake.datadog.event import body_links, description, event_time, log_samples
from airflow_incident_provider.intake.datadog.payload import (
    DatadogPayload,
    json_variable,
    object_variable,
    read_tags,
)
from airflow_incident_provider.intake.keys import FORMER_DIGITS, incident_key
from airflow_incident_provider.intake.limits import (
    MAX_FIELDS,
    MAX_NAME,
    MAX_TITLE,
    ParseWarnings,
    bounded_line,
    bounded_names,
)
from airflow_incident_provider.intake.lists import values_of
from airflow_incident_provider.intake.notification import FormerKeys, Notification
from airflow_incident_provider.intake.urls import distinct_links, make_link, safe_url
from airflow_incident_provider.intake.values import is_unset, read_severity
from airflow_incident_provider.models import Incident, Link, LinkKind, Severity, Source
from airflow_incident_provider.text import distinct, for_error

_ENDED = frozenset({"resolved", "completed"})
_STABLE = "stable"
"""The impact is over, the incident is not: no reason to call anybody who was not called while it lasted."""
_SLACK = 1
"""Datadog's ``integration_type`` of a Slack channel."""
_CHANNEL_ID = re.compile(r"[CG][A-Z0-9]{2,30}")

Fields = dict[str, tuple[str, ...]]


def is_datadog_incident(payload: DatadogPayload) -> bool:
    """Return whether a payload is about an incident: other variables can be set for a plain alert, too."""
    return bool(payload.incident_id or payload.incident_uuid)


def read_datadog_incident(
    payload: DatadogPayload, *, received_at: datetime, warnings: ParseWarnings
) -> Notification:
    """Return what a Datadog incident's notification states."""
    name = payload.incident_id or payload.incident_uuid or ""
    fields = _fields(payload.fields, warnings)
    status = payload.incident_status or next(iter(fields.get("state", ())), None)
    ended = status is not None and status.strip().casefold() in _ENDED
    tags = distinct((*read_tags(payload.tags, field="tags", warnings=warnings), *payload.labels))
    at = event_time(payload, received_at=received_at, warnings=warnings)
    severity = read_severity(payload.incident_severity)
    if severity is None:
        warnings.add("incident.severity", payload.incident_severity, "not understood: treated as high")
    incident = Incident(
        key=incident_key(name),
        id=bounded_line(name, MAX_NAME, field="incident.public_id", warnings=warnings) or "unknown",
        source=Source.DATADOG_INCIDENT,
        title=_title(payload, name, warnings),
        severity=severity or Severity.HIGH,
        occurred_at=at,
        event_at=at,
        received_at=received_at,
        description=description(payload, log_samples(payload, warnings=warnings), warnings=warnings),
        status=bounded_line(status, MAX_NAME, field="incident.status", warnings=warnings) if status else None,
        env=next(iter((*fields.get("env", ()), *values_of("env", tags))), None),
        services=_named("service", fields, tags, warnings),
        teams=_named("team", fields, tags, warnings),
        tags=tags,
        fields=fields,
        links=distinct_links(_links(payload, name, warnings), warnings=warnings),
        snapshot_url=safe_url(payload.snapshot, field="snapshot", warnings=warnings),
        commander=_commander(payload.commander, warnings),
        slack_channel_id=_slack_channel(payload.integrations, warnings),
        flags=warnings.as_tuple(),
    )
    quoted = for_error(name)
    headline = " ".join(filter(None, (payload.title, payload.incident_message)))
    former = incident_key(name, digits=FORMER_DIGITS)
    return Notification(
        incident=incident,
        group=incident.key,
        recovery_reason=f"Datadog incident {quoted} is {for_error(status)}: that opens no incident."
        if ended
        else None,
        may_open=not ended and (status or "").strip().casefold() != _STABLE,
        severity_stated=severity is not None,
        delivery_id=payload.id,
        is_identified=bool((payload.incident_title or payload.title) and status),
        key_inputs={"incident": incident.id},
        headline=bounded_line(headline, MAX_TITLE, field="title", warnings=ParseWarnings()),
        former_keys=FormerKeys(former, former) if former != incident.key else None,
    )


def _title(payload: DatadogPayload, name: str, warnings: ParseWarnings) -> str:
    title = bounded_line(
        payload.incident_title or payload.title or "", MAX_TITLE, field="incident.title", warnings=warnings
    )
    return title or bounded_line(f"Datadog incident {name}", 100, field="incident.title", warnings=warnings)


def _named(what: str, fields: Fields, tags: tuple[str, ...], warnings: ParseWarnings) -> tuple[str, ...]:
    """Return the services or teams, from the incident's fields (in the plural there) and its tags."""
    names = (*fields.get(f"{what}s", ()), *fields.get(what, ()), *values_of(what, tags))
    return bounded_names(names, field="incident.fields", warnings=warnings)


def _commander(variable: object, warnings: ParseWarnings) -> str | None:
    """Return who leads, by e-mail address if it is given, for that finds a person for sure."""
    if isinstance(variable, str) and variable.strip()[:1].isalpha() and not is_unset(variable):
        return bounded_line(variable, MAX_NAME, field="incident.commander", warnings=warnings) or None
    commander = object_variable(variable, field="incident.commander", warnings=warnings)
    for key in ("email", "handle", "name"):
        value = commander.get(key)
        if isinstance(value, str) and not is_unset(value):
            return bounded_line(value, MAX_NAME, field=f"incident.commander.{key}", warnings=warnings) or None
    return None


def _fields(variable: object, warnings: ParseWarnings) -> Fields:
    stated = object_variable(variable, field="incident.fields", warnings=warnings)
    fields: Fields = {}
    for key, value in stated.items():
        if len(fields) == MAX_FIELDS:
            warnings.add("incident.fields", stated, f"only the first {MAX_FIELDS} are kept")
            break
        name = bounded_line(str(key), MAX_NAME, field="incident.fields", warnings=warnings)
        values = bounded_names(_texts(value), field=f"incident.fields.{name}", warnings=warnings)
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


def _slack_channel(variable: object, warnings: ParseWarnings) -> str | None:
    """Return the id of the first Slack channel that Datadog's own integration made for this incident."""
    integrations = json_variable(variable, field="incident.integrations", warnings=warnings)
    for channel in _slack_channels(integrations):
        channel_id = channel.get("channel_id")
        if isinstance(channel_id, str) and _CHANNEL_ID.fullmatch(channel_id):
            return channel_id
        warnings.add("incident.integrations", channel_id, "left out: not the id of a Slack channel")
    return None


def _slack_channels(integrations: object) -> Iterator[dict[str, object]]:
    for integration in integrations if isinstance(integrations, list) else []:
        if not isinstance(integration, dict) or integration.get("integration_type") != _SLACK:
            continue
        metadata = integration.get("metadata")
        channels = metadata.get("channels") if isinstance(metadata, dict) else None
        if isinstance(channels, list):
            yield from (channel for channel in channels if isinstance(channel, dict))


def _links(payload: DatadogPayload, name: str, warnings: ParseWarnings) -> Iterator[Link | None]:
    label = f"Incident {name}"
    for url in (payload.incident_url, payload.link):
        if url is not None:
            yield make_link(url, label=label, kind=LinkKind.INCIDENT, field="incident.url", warnings=warnings)
    yield from body_links(payload, warnings=warnings)
