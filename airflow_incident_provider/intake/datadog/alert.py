"""Parse a notification of a Datadog monitor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.datadog.payload import DatadogPayload, read_tags, values_of
from airflow_incident_provider.intake.datadog.text import (
    MonitorReference,
    Title,
    known_transition,
    links_in,
    monitor_reference,
    plain_text,
    read_measurement,
    read_title,
)
from airflow_incident_provider.intake.keys import alert_key
from airflow_incident_provider.intake.limits import (
    MAX_DESCRIPTION,
    MAX_HOST,
    MAX_HOSTS,
    MAX_NAME,
    MAX_TITLE,
    ParseWarnings,
    bounded_line,
    bounded_names,
    bounded_paragraphs,
)
from airflow_incident_provider.intake.notification import Notification
from airflow_incident_provider.intake.urls import distinct_links, make_link, origin, safe_url
from airflow_incident_provider.intake.values import is_plausible, read_moment, read_severity
from airflow_incident_provider.models import Incident, Link, LinkKind, Severity, Source
from airflow_incident_provider.text import for_error, one_line, shorten

_BY_ALERT_TYPE = {"error": Severity.HIGH, "warning": Severity.MEDIUM}
_MAX_SCOPE = 500


def read_alert(payload: DatadogPayload, *, received_at: datetime, warnings: ParseWarnings) -> Notification:
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
    incident = _incident(payload, subject, received_at=received_at, warnings=warnings)
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


def _incident(
    payload: DatadogPayload, subject: _Subject, *, received_at: datetime, warnings: ParseWarnings
) -> Incident:
    alert, title, monitor_id, scope = payload.alert, subject.title, subject.monitor_id, subject.scope
    transition = _transition(payload, title, warnings)
    if alert.cycle_key is None:
        warnings.add("alert.cycle_key", None, "not in the payload: each notification counts as a new incident")
    tags = read_tags(payload.tags, field="tags", warnings=warnings)
    # Tags come in no sure order: what is taken of them must not change with it.
    labels = (*sorted(tags), *sorted(read_tags(scope, field="alert.scope", warnings=warnings)))
    measurement = read_measurement(
        alert.metric, alert.query, plain_text(alert.status or payload.text or payload.body or ""), warnings=warnings
    )
    return Incident(
        key=alert_key(monitor_id, alert.cycle_key, payload.id, _groups(scope), title.name),
        id=bounded_line(monitor_id or payload.id or "", MAX_NAME, field="alert.id", warnings=warnings) or "unknown",
        source=Source.DATADOG_ALERT,
        title=_name(title, monitor_id, warnings),
        severity=_severity(payload, title, warnings),
        occurred_at=occurred_at(payload, received_at=received_at, warnings=warnings),
        received_at=received_at,
        description=description(payload.text or payload.body, warnings=warnings),
        transition=transition,
        env=_env(labels, warnings),
        services=bounded_names(values_of("service", labels), field="tags", warnings=warnings),
        hosts=_hosts(payload.hostname, labels, warnings),
        teams=bounded_names(values_of("team", labels), field="tags", warnings=warnings),
        monitor_ids=bounded_names([monitor_id or ""], field="alert.id", warnings=warnings),
        metrics=(measurement,) if measurement else (),
        scope=bounded_line(scope, _MAX_SCOPE, field="alert.scope", warnings=warnings) or None,
        tags=tags,
        links=distinct_links(_links(payload, monitor_id, subject.reference, warnings), warnings=warnings),
        snapshot_url=safe_url(payload.snapshot, field="snapshot", warnings=warnings),
        flags=warnings.as_tuple(),
    )


def _transition(payload: DatadogPayload, title: Title, warnings: ParseWarnings) -> str | None:
    said = payload.alert.transition
    if said is None:
        return title.transition
    known = known_transition(said)
    if known is not None:
        return known
    warnings.add("alert.transition", said, "not a transition that Datadog documents: kept as it is")
    return bounded_line(said, MAX_NAME, field="alert.transition", warnings=warnings) or None


def _is_recovery(transition: str | None, alert_type: str | None) -> bool:
    """Return whether the monitor is well again: by its transition, or without one by the event's type.

    Any transition that ends in "recovered" counts, so that one which Datadog adds opens no room for good news.
    """
    if transition is None:
        return alert_type is not None and alert_type.casefold() == "success"
    return transition.casefold().endswith("recovered")


def _name(title: Title, monitor_id: str | None, warnings: ParseWarnings) -> str:
    name = bounded_line(title.name, MAX_TITLE, field="title", warnings=warnings)
    if not name:
        warnings.add("title", title.name, "no title: named after the monitor or the source")
        name = bounded_line(
            f"Monitor {monitor_id}" if monitor_id else "Datadog alert", 100, field="title", warnings=warnings
        )
    if title.is_test:
        warnings.add("title", "[TEST]", "a test notification that somebody sent from Datadog")
        return f"[TEST] {name}"[:MAX_TITLE]
    return name


def _severity(payload: DatadogPayload, title: Title, warnings: ParseWarnings) -> Severity:
    """Return the severity of the priority; without one, of the alert's type; high when neither is understood."""
    priority = payload.alert.priority or title.priority
    if priority is not None:
        severity = read_severity(priority)
        if severity is None:
            warnings.add("alert.priority", priority, "not understood: treated as high")
        return severity or Severity.HIGH
    alert_type = payload.alert.type
    severity = _BY_ALERT_TYPE.get((alert_type or "").casefold())
    if severity is None:
        warnings.add("alert.priority", priority, "neither a priority nor a type that tells: treated as high")
    return severity or Severity.HIGH


def _env(labels: tuple[str, ...], warnings: ParseWarnings) -> str | None:
    found = values_of("env", labels)
    if len(found) > 1:
        warnings.add("tags", ", ".join(found), "more than one env: the first was taken")
    return found[0] if found else None


def _hosts(hostname: str | None, labels: tuple[str, ...], warnings: ParseWarnings) -> tuple[str, ...]:
    names = [*([hostname] if hostname else []), *values_of("host", labels)]
    return bounded_names(names, field="hostname", warnings=warnings, count=MAX_HOSTS, limit=MAX_HOST)


def _groups(scope: str) -> list[str]:
    """Return the parts of a scope for the key: whole, because a part that is cut might equal another."""
    return [part.strip() for part in scope.split(",") if part.strip()]


def _links(
    payload: DatadogPayload, monitor_id: str | None, reference: MonitorReference | None, warnings: ParseWarnings
) -> Iterator[Link | None]:
    event = safe_url(payload.link, field="link", warnings=warnings)
    site = event or safe_url(reference.url if reference else None, field="body", warnings=warnings)
    if monitor_id and monitor_id.isascii() and monitor_id.isdigit() and site:
        label = f"Monitor {monitor_id}"
        yield make_link(
            f"{origin(site)}/monitors/{monitor_id}",
            label=label,
            kind=LinkKind.MONITOR,
            field="link",
            warnings=warnings,
        )
    if event:
        yield make_link(event, label="Event", kind=LinkKind.EVENT, field="link", warnings=warnings)
    yield from body_links(payload, warnings=warnings)


def occurred_at(payload: DatadogPayload, *, received_at: datetime, warnings: ParseWarnings) -> datetime:
    """Return when the event was, in UTC; the time of its arrival (flagged) when the payload does not say."""
    said = payload.date or payload.last_updated
    moment = read_moment(said)
    if moment is not None and moment.tzinfo is None:
        warnings.add("date", said, "no time zone given: read as UTC")
        moment = moment.replace(tzinfo=UTC)
    if moment is None or not is_plausible(moment, received_at=received_at):
        warnings.add("date", said, "not a time that can be right: the time of arrival was taken")
        return received_at
    return moment


def description(text: str | None, *, warnings: ParseWarnings) -> str | None:
    """Return an event's text as plain paragraphs, or nothing if nothing is left of it."""
    if text is None:
        return None
    return bounded_paragraphs(plain_text(text), MAX_DESCRIPTION, field="text", warnings=warnings) or None


def body_links(payload: DatadogPayload, *, warnings: ParseWarnings) -> Iterator[Link]:
    """Yield the links in the body but for those to monitors: the one monitor has a link of its own."""
    for label, url in links_in(payload.body or payload.text or ""):
        link = make_link(url, label=label, field="body", warnings=warnings)
        if link is not None and link.kind is not LinkKind.MONITOR:
            yield link
