"""A monitor's notification is read: what fires, or what recovered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.bounds import (
    MAX_HOST,
    MAX_HOSTS,
    MAX_NAME,
    MAX_TITLE,
    bounded_line,
    bounded_names,
)
from airflow_incident_provider.intake.datadog.body import MonitorReference, monitor_reference, plain_text
from airflow_incident_provider.intake.datadog.event import body_links, description, occurred_at
from airflow_incident_provider.intake.datadog.measurement import read_measurement
from airflow_incident_provider.intake.datadog.payload import DatadogPayload
from airflow_incident_provider.intake.datadog.tags import read_tags, values_of
from airflow_incident_provider.intake.datadog.titles import Title, known_transition, read_title
from airflow_incident_provider.intake.flags import Flags
from airflow_incident_provider.intake.identity import alert_key
from airflow_incident_provider.intake.notification import Notification
from airflow_incident_provider.intake.severity import read_severity
from airflow_incident_provider.intake.web import distinct_links, make_link, origin, safe_url
from airflow_incident_provider.models import Incident, Link, LinkKind, Severity, Source
from airflow_incident_provider.text import for_error, one_line, shorten

_BY_ALERT_TYPE = {"error": Severity.HIGH, "warning": Severity.MEDIUM}
_MAX_SCOPE = 500


def read_alert(payload: DatadogPayload, *, received_at: datetime, flags: Flags) -> Notification:
    """Return what a monitor's notification tells.

    :raises InvalidPayloadError: if there is neither a title nor an id, so that nobody could say what it is about.
    """
    alert = payload.alert
    title = read_title(alert.title or payload.title or "")
    reference = monitor_reference(payload.body or "")
    monitor_id = alert.id or (reference.id if reference else None)
    scope = alert.scope or (reference.scope if reference else None) or title.scope or ""
    if not (title.name or monitor_id or payload.id):
        raise InvalidPayloadError(
            "The Datadog payload holds neither a title nor an id.",
            fix="Use the payload template that `airflow incident setup datadog` prints.",
        )
    subject = _Subject(title, reference, monitor_id, scope)
    incident = _incident(payload, subject, received_at=received_at, flags=flags)
    over = _is_recovery(incident.transition, alert.type)
    return Notification(
        incident=incident,
        group=alert_key(monitor_id, None, None, _groups(scope), title.name),
        has_cycle=alert.cycle_key is not None,
        over=f"{for_error(title.name)} recovered: that opens no incident." if over else None,
        delivery_id=payload.id,
        key_inputs=_key_inputs(payload, subject),
    )


@dataclass(frozen=True)
class _Subject:
    """What a notification is about: each part from whichever place of the payload tells it."""

    title: Title
    reference: MonitorReference | None
    monitor_id: str | None
    scope: str


def _key_inputs(payload: DatadogPayload, subject: _Subject) -> dict[str, str]:
    """Return what the key is made of, for people to read."""
    inputs = {
        "monitor": subject.monitor_id,
        "cycle": payload.alert.cycle_key,
        "event": None if payload.alert.cycle_key else payload.id,
        "scope": ",".join(sorted(set(_groups(subject.scope)))),
    }
    if not any((subject.monitor_id, payload.alert.cycle_key, payload.id)):
        inputs["title"] = subject.title.name
    return {name: shorten(one_line(value), MAX_NAME) for name, value in inputs.items() if value}


def _incident(payload: DatadogPayload, subject: _Subject, *, received_at: datetime, flags: Flags) -> Incident:
    alert, title, monitor_id, scope = payload.alert, subject.title, subject.monitor_id, subject.scope
    transition = _transition(payload, title, flags)
    if alert.cycle_key is None:
        flags.add("alert.cycle_key", None, "not in the payload: each notification counts as a new incident")
    tags = read_tags(payload.tags, field="tags", flags=flags)
    # Tags come in no sure order: what is taken of them must not change with it.
    labels = (*sorted(tags), *sorted(read_tags(scope, field="alert.scope", flags=flags)))
    measurement = read_measurement(
        alert.metric, alert.query, plain_text(alert.status or payload.text or payload.body or ""), flags=flags
    )
    return Incident(
        key=alert_key(monitor_id, alert.cycle_key, payload.id, _groups(scope), title.name),
        id=bounded_line(monitor_id or payload.id or "", MAX_NAME, field="alert.id", flags=flags) or "unknown",
        source=Source.DATADOG_ALERT,
        title=_name(title, monitor_id, flags),
        severity=_severity(payload, title, flags),
        occurred_at=occurred_at(payload, received_at=received_at, flags=flags),
        received_at=received_at,
        description=description(payload.text or payload.body, flags=flags),
        transition=transition,
        env=_env(labels, flags),
        services=bounded_names(values_of("service", labels), field="tags", flags=flags),
        hosts=_hosts(payload.hostname, labels, flags),
        teams=bounded_names(values_of("team", labels), field="tags", flags=flags),
        monitor_ids=bounded_names([monitor_id or ""], field="alert.id", flags=flags),
        metrics=(measurement,) if measurement else (),
        scope=bounded_line(scope, _MAX_SCOPE, field="alert.scope", flags=flags) or None,
        tags=tags,
        links=distinct_links(_links(payload, monitor_id, subject.reference, flags), flags=flags),
        snapshot_url=safe_url(payload.snapshot, field="snapshot", flags=flags),
        flags=flags.as_tuple(),
    )


def _transition(payload: DatadogPayload, title: Title, flags: Flags) -> str | None:
    said = payload.alert.transition
    if said is None:
        return title.transition
    known = known_transition(said)
    if known is not None:
        return known
    flags.add("alert.transition", said, "not a transition that Datadog documents: kept as it is")
    return bounded_line(said, MAX_NAME, field="alert.transition", flags=flags) or None


def _is_recovery(transition: str | None, alert_type: str | None) -> bool:
    """Return whether the monitor is well again: by its transition, or without one by the event's type.

    Any transition that ends in "recovered" counts, so that one which Datadog adds opens no room for good news.
    """
    if transition is None:
        return alert_type is not None and alert_type.casefold() == "success"
    return transition.casefold().endswith("recovered")


def _name(title: Title, monitor_id: str | None, flags: Flags) -> str:
    name = bounded_line(title.name, MAX_TITLE, field="title", flags=flags)
    if not name:
        flags.add("title", title.name, "no title: named after the monitor or the source")
        name = bounded_line(
            f"Monitor {monitor_id}" if monitor_id else "Datadog alert", 100, field="title", flags=flags
        )
    if title.is_test:
        flags.add("title", "[TEST]", "a test notification that somebody sent from Datadog")
        return f"[TEST] {name}"[:MAX_TITLE]
    return name


def _severity(payload: DatadogPayload, title: Title, flags: Flags) -> Severity:
    """Return the severity of the priority; without one, of the alert's type; high when neither is understood."""
    priority = payload.alert.priority or title.priority
    if priority is not None:
        severity = read_severity(priority)
        if severity is None:
            flags.add("alert.priority", priority, "not understood: treated as high")
        return severity or Severity.HIGH
    alert_type = payload.alert.type
    severity = _BY_ALERT_TYPE.get((alert_type or "").casefold())
    if severity is None:
        flags.add("alert.priority", priority, "neither a priority nor a type that tells: treated as high")
    return severity or Severity.HIGH


def _env(labels: tuple[str, ...], flags: Flags) -> str | None:
    found = values_of("env", labels)
    if len(found) > 1:
        flags.add("tags", ", ".join(found), "more than one env: the first was taken")
    return found[0] if found else None


def _hosts(hostname: str | None, labels: tuple[str, ...], flags: Flags) -> tuple[str, ...]:
    names = [*([hostname] if hostname else []), *values_of("host", labels)]
    return bounded_names(names, field="hostname", flags=flags, count=MAX_HOSTS, limit=MAX_HOST)


def _groups(scope: str) -> list[str]:
    """Return the parts of a scope for the key: whole, because a part that is cut might equal another."""
    return [part.strip() for part in scope.split(",") if part.strip()]


def _links(
    payload: DatadogPayload, monitor_id: str | None, reference: MonitorReference | None, flags: Flags
) -> Iterator[Link | None]:
    event = safe_url(payload.link, field="link", flags=flags)
    site = event or safe_url(reference.url if reference else None, field="body", flags=flags)
    if monitor_id and monitor_id.isascii() and monitor_id.isdigit() and site:
        label = f"Monitor {monitor_id}"
        yield make_link(
            f"{origin(site)}/monitors/{monitor_id}", label=label, kind=LinkKind.MONITOR, field="link", flags=flags
        )
    if event:
        yield make_link(event, label="Event", kind=LinkKind.EVENT, field="link", flags=flags)
    yield from body_links(payload, flags=flags)
