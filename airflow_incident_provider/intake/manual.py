"""
An incident that somebody reported: in the trigger form, on the command line, over REST or the generic webhook.

Notifications of other monitoring systems are read as reports, too. Which fields there are, and how each of them is
read, is in :mod:`.report_fields`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake.keys import FORMER_DIGITS, report_fingerprint, report_key, slug
from airflow_incident_provider.intake.limits import (
    MAX_DESCRIPTION,
    MAX_HOST,
    MAX_HOSTS,
    MAX_NAME,
    MAX_RESPONDERS,
    MAX_TARGETS,
    MAX_TITLE,
    ParseWarnings,
    bounded_line,
    bounded_names,
    bounded_paragraphs,
)
from airflow_incident_provider.intake.lists import MAX_ITEMS, values_of
from airflow_incident_provider.intake.notification import FormerKeys, Notification
from airflow_incident_provider.intake.report_fields import Report
from airflow_incident_provider.intake.states import TitleState, is_ended, read_title_state
from airflow_incident_provider.intake.times import settle_time
from airflow_incident_provider.intake.urls import distinct_links, make_link
from airflow_incident_provider.intake.values import is_unset
from airflow_incident_provider.models import Incident, Link, LinkKind, Severity, Source, Target
from airflow_incident_provider.text import distinct, for_error, one_line, redact


def read_report(
    report: Report, *, received_at: datetime, warnings: ParseWarnings, sender: str | None = None
) -> Notification:
    """Return what a report states.

    :param sender: the system that sent it, if it was none of people: its ids are apart from those of others.

    Without an id the key derives from the second of arrival, the title and the places, so that a run that is tried
    again finds its room again; the id that people see is the time of day.

    :raises InvalidPayloadError: if there is neither a title nor a description to take one from.
    """
    title, state = _title(report, warnings)
    arrived = received_at.astimezone(UTC)
    given_id = one_line(report.id or "")
    places = _places(report)
    fingerprint = report_fingerprint(state.name, places.values())
    derived_id = "-".join(filter(None, (f"{arrived:%Y%m%d-%H%M%S}", slug(title.lower(), 40), fingerprint)))
    namespace = f"{sender.lower()}:" if sender else ""
    key = report_key(namespace + (given_id or derived_id))
    former = report_key(given_id, digits=FORMER_DIGITS) if given_id and not sender else key
    stated = report.status or ("resolved" if state.is_end else "")
    status = bounded_line(stated, MAX_NAME, field="status", warnings=warnings)
    incident = Incident(
        key=key,
        id=bounded_line(given_id or f"{arrived:%H%M%S}", MAX_NAME, field="id", warnings=warnings),
        source=Source.ALERT if sender else Source.MANUAL,
        title=title,
        severity=_severity_or_high(report.severity, warnings),
        occurred_at=_started_at(report.started_at, received_at, warnings),
        event_at=received_at,
        received_at=received_at,
        description=bounded_paragraphs(
            report.description or "", MAX_DESCRIPTION, field="description", warnings=warnings
        )
        or None,
        status=status or None,
        env=bounded_line(next(iter(places["env"]), ""), MAX_NAME, field="env", warnings=warnings) or None,
        services=bounded_names(places["service"], field="services", warnings=warnings),
        hosts=bounded_names(places["host"], field="hosts", warnings=warnings, count=MAX_HOSTS, limit=MAX_HOST),
        teams=bounded_names(places["team"], field="teams", warnings=warnings),
        tags=bounded_names(
            (*(report.tags or ()), *(f"env:{name}" for name in places["env"][1:])),
            field="tags",
            warnings=warnings,
            count=MAX_ITEMS,
        ),
        links=report_links(report, warnings),
        targets=report_targets(report, warnings),
        flags=warnings.as_tuple(),
    )
    ended = is_ended(status)
    group = key if given_id else report_key(namespace + fingerprint)
    return Notification(
        incident=incident,
        group=group,
        recovery_reason=f"{for_error(title)} is reported as {status}: no incident is opened." if ended else None,
        may_open=not ended,
        severity_stated=report.severity is not None,
        is_identified=bool(given_id and report.title and status),
        key_inputs={"id": incident.id},
        former_keys=FormerKeys(former, former) if former != key else None,
    )


def report_users(report: Report, warnings: ParseWarnings) -> tuple[str, ...]:
    """Return the people who were asked for."""
    return bounded_names(report.users or (), field="users", warnings=warnings, count=MAX_RESPONDERS)


def report_targets(report: Report, warnings: ParseWarnings) -> tuple[Target, ...]:
    """Return the targets. They are not trusted: triggering a DAG does not imply access to the network."""
    targets = report.targets or ()
    if len(targets) > MAX_TARGETS:
        warnings.add("targets", targets, f"only the first {MAX_TARGETS} are kept")
    return targets[:MAX_TARGETS]


def report_links(report: Report, warnings: ParseWarnings) -> tuple[Link, ...]:
    """Return the links of a report; an unsafe one is left out and reported."""
    return distinct_links((_link(item, warnings) for item in report.links or ()), warnings=warnings)


def _link(item: object, warnings: ParseWarnings) -> Link | None:
    if isinstance(item, str):
        return make_link(item, field="links", warnings=warnings)
    if not isinstance(item, dict):
        return None
    kind, label = item.get("kind"), item.get("label")
    known = next((known for known in LinkKind if known == kind), None)
    if kind is not None and known is None:
        warnings.add("links", kind, f"not a kind of link ({', '.join(LinkKind)}): recognised by its URL")
    label = label if isinstance(label, str) else None
    return make_link(item["url"], label=label, kind=known, field="links", warnings=warnings)


def _title(report: Report, warnings: ParseWarnings) -> tuple[str, TitleState]:
    """Return the title as it is shown, and what it states besides."""
    state = read_title_state(redact(one_line(report.title or "")))
    title = bounded_line(state.shown, MAX_TITLE, field="title", warnings=warnings)
    if not is_unset(title):
        return title, state
    first_line = next((line for line in (report.description or "").splitlines() if one_line(line)), "")
    state = read_title_state(redact(one_line(first_line)))
    source, text = ("description", first_line) if first_line else ("id", f"Report {report.id}" if report.id else "")
    instead = bounded_line(text, 100, field=source, warnings=ParseWarnings())
    if instead:
        warnings.add("title", report.title, f"missing: the {source} was taken instead")
    elif not title:
        raise InvalidPayloadError(
            "title: missing; an incident needs a title.",
            fix='Give one, such as {"title": "Checkout fails", "severity": "high", "users": ["dana@example.com"]}.',
        )
    return instead or title, replace(state, name=instead or title)


def _places(report: Report) -> dict[str, tuple[str, ...]]:
    """Return where it happens: what the fields state, and what the tags add to them."""
    stated = {
        "env": report.env or (),
        "service": report.services or (),
        "host": report.hosts or (),
        "team": report.teams or (),
    }
    return {key: distinct((*names, *values_of(key, report.tags or ()))) for key, names in stated.items()}


def _severity_or_high(severity: Severity | None, warnings: ParseWarnings) -> Severity:
    if severity is None:
        warnings.add("severity", severity, "not given or not understood: treated as high")
    return severity or Severity.HIGH


def _started_at(stated: datetime | None, received_at: datetime, warnings: ParseWarnings) -> datetime:
    if stated is None:
        return received_at
    moment, note = settle_time(stated, received_at=received_at)
    if note is not None:
        warnings.add("started_at", stated.isoformat(), note)
    return moment
