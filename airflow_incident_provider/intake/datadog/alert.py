"""Parse a notification of a Datadog monitor: an alert that fires, or its recovery."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.datadog.event import (
    SyntheticTest,
    body_links,
    description,
    event_time,
    log_samples,
    synthetic_test,
)
from airflow_incident_provider.intake.datadog.payload import DatadogPayload, read_tags
from airflow_incident_provider.intake.datadog.text import (
    NO_DATA,
    REPEATS,
    MonitorReference,
    Title,
    is_recovery,
    known_transition,
    monitor_reference,
    plain_text,
    read_measurement,
    read_title,
    reference_of_link,
    states_firing,
)
from airflow_incident_provider.intake.keys import FORMER_DIGITS, alert_key
from airflow_incident_provider.intake.limits import (
    MAX_HOST,
    MAX_HOSTS,
    MAX_NAME,
    MAX_TITLE,
    ParseWarnings,
    bounded_line,
    bounded_names,
)
from airflow_incident_provider.intake.lists import values_of
from airflow_incident_provider.intake.notification import FormerKeys, Notification
from airflow_incident_provider.intake.urls import distinct_links, make_link, origin, safe_url
from airflow_incident_provider.intake.values import is_unset, read_severity
from airflow_incident_provider.models import Incident, Link, LinkKind, Severity, Source
from airflow_incident_provider.text import distinct, for_error, one_line, redact, shorten

_BY_ALERT_TYPE = {"error": Severity.HIGH, "warning": Severity.MEDIUM}
_MAX_SCOPE = 500


@dataclass(frozen=True)
class _Subject:
    """What a notification is about: each part from whichever place of the payload states it."""

    title: Title
    reference: MonitorReference | None
    monitor_id: str | None
    scope: str
    instead: str | None

    @property
    def groups(self) -> list[str]:
        """The parts of the scope: whole, because a part that is cut might equal another.

        Where no scope is stated, the host or the aggregation key distinguishes the alerts of a monitor.
        """
        parts = (part.strip().casefold() for part in (self.scope or self.instead or "").split(","))
        return [part for part in parts if part and part != "*"]


def read_alert(payload: DatadogPayload, *, received_at: datetime, warnings: ParseWarnings) -> Notification:
    """Return what a monitor's notification states.

    :raises InvalidPayloadError: if it holds neither a title, nor a text, nor an id.
    """
    subject = _subject(payload, warnings)
    severity = _severity(payload, subject.title, warnings)
    incident = _incident(payload, subject, severity, received_at=received_at, warnings=warnings)
    recovered = is_recovery(incident.transition, payload.alert_type)
    title, name = subject.title, for_error(subject.title.name)
    return Notification(
        incident=incident,
        group=alert_key(subject.monitor_id, None, None if title.name else payload.id, subject.groups, title.name),
        has_cycle=payload.cycle_key is not None,
        recovery_reason=f"{name} recovered: that opens no incident." if recovered else None,
        may_open=not recovered,
        severity_stated=severity is not None,
        delivery_id=payload.id,
        is_identified=_is_identified(payload, subject, incident.transition),
        states_labels=payload.states_labels,
        scope_unknown=not subject.scope and (payload.is_incomplete or payload.scope is subject.instead is None),
        key_inputs=_key_inputs(payload, subject),
        former_keys=_former_keys(payload, subject),
    )


def _is_identified(payload: DatadogPayload, subject: _Subject, transition: str | None) -> bool:
    """Return whether a payload states its monitor, title and transition.

    The transition of a title counts only where the alert has no fields of its own, as in the default payload.
    """
    stated = payload.transition if payload.alert_id else transition
    return bool(subject.monitor_id and subject.title.name and stated)


def _subject(payload: DatadogPayload, warnings: ParseWarnings) -> _Subject:
    """Return what the notification is about.

    Only without a monitor id of its own are the text and the link asked for the monitor and its group: a text
    quotes anything.
    """
    title = _title(payload)
    reference = None
    if payload.alert_id is None:
        reference = monitor_reference(payload.body or "") or reference_of_link(payload.link or "")
    monitor_id = payload.alert_id or (reference.id if reference else None)
    scope = payload.scope or (reference.scope if reference else None) or title.scope or ""
    if not (title.name or monitor_id or payload.id):
        first_line = next(
            (line for line in plain_text(payload.text or payload.body or "").splitlines() if line), ""
        )
        if not one_line(first_line):
            raise InvalidPayloadError(
                "The Datadog payload holds neither a title nor an id.",
                fix="Use the payload template that `airflow incident setup datadog` prints.",
            )
        warnings.add("title", payload.title, "missing: the beginning of the text was taken")
        title = Title(name=first_line[:MAX_TITLE])
    return _Subject(title, reference, monitor_id, scope, _instead_of_scope(payload))


def _instead_of_scope(payload: DatadogPayload) -> str | None:
    """Return what distinguishes groups if a template leaves the scope out: the one host, or the aggregation key."""
    if payload.scope is not None:
        return None
    named = values_of("host", read_tags(payload.tags, field="tags", warnings=ParseWarnings()))
    hosts = distinct([payload.hostname] if payload.hostname else named)
    if len(hosts) == 1:
        return f"host:{hosts[0]}"
    return f"aggregation key:{payload.aggregation_key}" if payload.aggregation_key else None


def _title(payload: DatadogPayload) -> Title:
    """Return the monitor's name, with what either title states: the monitor's own, or the event's."""
    is_state_known = payload.transition is not None or states_firing(payload.alert_type)
    texts = (payload.alert_title, payload.title)
    titles = [read_title(text, is_state_known=is_state_known) for text in texts if text]
    if not titles:
        return Title(name=payload.incident_title or "")
    # What the other title states counts only where nothing else tells.
    own = titles[0].transition
    transition = (
        next((each.transition for each in titles if each.transition), None) if not payload.alert_type else own
    )
    scopes = [each.scope for each in titles if each is titles[0] or payload.is_incomplete or payload.scope is None]
    return replace(
        titles[0],
        transition=transition,
        scope=next(filter(None, scopes), None),
        is_test=any(each.is_test for each in titles),
    )


def _key_inputs(payload: DatadogPayload, subject: _Subject) -> dict[str, str]:
    """Return what the key is made of, for people to read."""
    inputs = {
        "monitor": subject.monitor_id,
        "cycle": payload.cycle_key,
        "event": None if payload.cycle_key else payload.id,
        "scope": ",".join(sorted(set(subject.groups))),
    }
    if not any((subject.monitor_id, payload.cycle_key, payload.id)):
        inputs["title"] = subject.title.name
    return {name: shorten(redact(one_line(value[:2000])), MAX_NAME) for name, value in inputs.items() if value}


def _former_keys(payload: DatadogPayload, subject: _Subject) -> FormerKeys:
    """Return the keys of version 0.1.0, which counted the scope ``*`` as a group."""
    groups = [part.strip() for part in subject.scope.split(",") if part.strip()]
    title, monitor_id = subject.title.name, subject.monitor_id
    return FormerKeys(
        key=alert_key(monitor_id, payload.cycle_key, payload.id, groups, title, digits=FORMER_DIGITS),
        group=alert_key(monitor_id, None, None, groups, title, digits=FORMER_DIGITS),
    )


def _incident(
    payload: DatadogPayload,
    subject: _Subject,
    severity: Severity | None,
    *,
    received_at: datetime,
    warnings: ParseWarnings,
) -> Incident:
    title, monitor_id, scope = subject.title, subject.monitor_id, subject.scope
    transition = _transition(payload, title, warnings)
    if payload.cycle_key is None:
        warnings.add("alert.cycle_key", None, "not in the payload: each notification counts as a new incident")
    tags = distinct((*read_tags(payload.tags, field="tags", warnings=warnings), *payload.labels))
    # Tags come in no sure order: what is taken of them must not change with it.
    labels = (*sorted(tags), *sorted(read_tags(scope, field="alert.scope", warnings=warnings)))
    test = synthetic_test(payload, warnings=warnings)
    at = event_time(payload, received_at=received_at, warnings=warnings)
    measurement = read_measurement(
        payload.metric,
        payload.query,
        plain_text(payload.status or payload.text or payload.body or ""),
        no_data=transition in NO_DATA,
        warnings=warnings,
    )
    return Incident(
        key=alert_key(monitor_id, payload.cycle_key, payload.id, subject.groups, title.name),
        id=bounded_line(monitor_id or payload.id or "", MAX_NAME, field="alert.id", warnings=warnings) or "unknown",
        source=Source.DATADOG_ALERT,
        title=_name(title, monitor_id, warnings),
        severity=severity or Severity.HIGH,
        occurred_at=at,
        event_at=at,
        received_at=received_at,
        description=description(
            payload, (*test.details, *log_samples(payload, warnings=warnings)), warnings=warnings
        ),
        transition=transition,
        env=_env(labels, warnings),
        services=bounded_names(values_of("service", labels), field="tags", warnings=warnings),
        hosts=_hosts(payload.hostname, labels, warnings),
        teams=bounded_names(values_of("team", labels), field="tags", warnings=warnings),
        monitor_ids=bounded_names([monitor_id or ""], field="alert.id", warnings=warnings),
        metrics=(measurement,) if measurement else (),
        scope=bounded_line(scope, _MAX_SCOPE, field="alert.scope", warnings=warnings) or None,
        tags=tags,
        links=distinct_links(_links(payload, subject, test, warnings), warnings=warnings),
        snapshot_url=safe_url(payload.snapshot, field="snapshot", warnings=warnings),
        targets=test.targets,
        flags=warnings.as_tuple(),
    )


def _transition(payload: DatadogPayload, title: Title, warnings: ParseWarnings) -> str | None:
    stated = payload.transition
    if stated is None:
        return title.transition
    known = known_transition(stated)
    if known in REPEATS:
        warnings.add("date", known, "a repetition: the alert began before this notification")
    if known is not None:
        return known
    warnings.add("alert.transition", stated, "not a transition that Datadog documents: kept as it is")
    return bounded_line(stated, MAX_NAME, field="alert.transition", warnings=warnings) or None


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


def _severity(payload: DatadogPayload, title: Title, warnings: ParseWarnings) -> Severity | None:
    """Return the severity of the priority, or without one of the alert's type; ``None`` if it is not understood."""
    priority = payload.priority or title.priority
    if priority is not None:
        severity = read_severity(priority)
        if severity is None:
            warnings.add("alert.priority", priority, "not understood: treated as high")
        return severity
    severity = _BY_ALERT_TYPE.get((payload.alert_type or "").casefold())
    if severity is None:
        warnings.add("alert.priority", priority, "neither a priority nor a type that states it: treated as high")
    return severity


def _env(labels: tuple[str, ...], warnings: ParseWarnings) -> str | None:
    found = values_of("env", labels)
    if len(found) > 1:
        warnings.add("tags", ", ".join(found), "more than one env: the first was taken")
    return bounded_line(found[0], MAX_NAME, field="tags", warnings=warnings) if found else None


def _hosts(hostname: str | None, labels: tuple[str, ...], warnings: ParseWarnings) -> tuple[str, ...]:
    names = [*([hostname] if hostname and not is_unset(hostname) else []), *values_of("host", labels)]
    return bounded_names(names, field="hostname", warnings=warnings, count=MAX_HOSTS, limit=MAX_HOST)


def _links(
    payload: DatadogPayload, subject: _Subject, test: SyntheticTest, warnings: ParseWarnings
) -> Iterator[Link | None]:
    event = safe_url(payload.link, field="link", warnings=warnings)
    reference, monitor_id = subject.reference, subject.monitor_id
    site = event or safe_url(reference.url if reference else None, field="body", warnings=warnings)
    if monitor_id and monitor_id.isascii() and monitor_id.isdigit() and site:
        label = f"Monitor {monitor_id}"
        url = f"{origin(site)}/monitors/{monitor_id}"
        yield make_link(url, label=label, kind=LinkKind.MONITOR, field="link", warnings=warnings)
    if event:
        yield make_link(event, label="Event", kind=LinkKind.EVENT, field="link", warnings=warnings)
    yield from test.links
    yield from body_links(payload, warnings=warnings)
