"""A run's conf becomes an incident: recognised by its shape, parsed, and completed from the routing table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from airflow_incident_provider.config import DRILL_TAG, ConfKey
from airflow_incident_provider.exceptions import InvalidPayloadError, NotAnIncidentError
from airflow_incident_provider.intake.alert_formats import ForeignAlert, read_foreign
from airflow_incident_provider.intake.datadog import looks_like_datadog, read_datadog
from airflow_incident_provider.intake.limits import (
    MAX_NAMES,
    MAX_RESPONDERS,
    ParseWarnings,
    bounded_names,
    fit_incident,
)
from airflow_incident_provider.intake.lists import merged_fields
from airflow_incident_provider.intake.manual import read_report, report_links, report_targets, report_users
from airflow_incident_provider.intake.notification import Notification
from airflow_incident_provider.intake.report_fields import (
    ADDITIONS,
    FIELDS,
    Report,
    is_empty,
    names_title,
    parse_report,
    require_valid,
    unknown_names,
    warn_of_misspelt,
    warn_of_rejected,
)
from airflow_incident_provider.intake.request_body import LOST_KEY, REPAIRS_KEY
from airflow_incident_provider.intake.routing_table import RoutingTable
from airflow_incident_provider.intake.times import read_time, settle_time
from airflow_incident_provider.intake.urls import distinct_links, make_link
from airflow_incident_provider.intake.values import plain_name, read_yes_or_no
from airflow_incident_provider.models import Incident, Link, LinkKind, Route, Source
from airflow_incident_provider.text import distinct, for_error, one_line, shorten

_DATADOG = "datadog"
_ENVELOPES = (
    "conf", _DATADOG, "payload", "detail", "data", "attributes", "body", "event", "incident", "issue", "problem",
    "alert_group", "item", "fault",
)  # fmt: skip
"""Names under which an envelope holds the conf itself, or a payload of Datadog's."""
_ALERTS = "alerts"
_ADDITION_NAMES = {**{name: name for name in ADDITIONS}, "isprivate": "private", "confidential": "private"}
"""The fields that add to a payload, by the plain names under which they may stand in it."""
_NOTES = frozenset({REPAIRS_KEY, LOST_KEY})
_TEST = re.compile(r"\[TEST\]", re.IGNORECASE)
"""How the titles of Datadog's "Test Notifications" begin, and those of people who try something out."""
_LONGEST_NOTE = 300
_WHAT_A_CONF_HOLDS = (
    'A conf holds either {"datadog": {...}} with the payload that Datadog sent, or the fields of an incident: at'
    ' least "title", best with "severity" and "users".'
)


def read_incident(conf: Mapping[str, object], *, received_at: datetime, routing: RoutingTable) -> Incident:
    """Return the incident that a run's conf describes.

    The shape of the conf determines how it is parsed: a Datadog payload under ``datadog``, to which ``users``,
    ``targets``, ``links`` and ``private`` may be added; a Datadog payload without that key; a notification of
    another system; or the fields of a report.

    :param conf: the conf, or the merged parameters, of the run; fields that are empty count as not given.
    :param received_at: when the conf reached us (aware); the same again when a run is tried again.
    :param routing: who comes and what is looked at; an empty table adds nothing.
    :raises InvalidPayloadError: if nothing in the conf identifies an incident.
    :raises NotAnIncidentError: if it reports the end of one, or no more than news of one.
    """
    notification = read_notification(conf, received_at=received_at, routing=routing)
    if notification.recovery_reason is not None:
        raise NotAnIncidentError(notification.recovery_reason)
    if not notification.may_open:
        status = notification.incident.status or notification.incident.transition
        raise NotAnIncidentError(
            f"{for_error(notification.incident.title)} is {for_error(status)}: that opens no incident."
        )
    return notification.incident


def read_notification(conf: Mapping[str, object], *, received_at: datetime, routing: RoutingTable) -> Notification:
    """Return what a conf states: as :func:`read_incident`, but also a recovery.

    :raises InvalidPayloadError: if nothing in the conf identifies an incident; nothing else is ever raised.
    """
    if not isinstance(conf, Mapping):
        raise InvalidPayloadError(f"The conf is {for_error(conf)}, not an object.", fix=_WHAT_A_CONF_HOLDS)
    given = {key: value for key, value in conf.items() if key not in _NOTES and not is_empty(value)}
    if all(value is False for value in given.values()):  # Airflow adds the form's defaults: an unticked box.
        raise InvalidPayloadError("The conf is empty.", fix=_WHAT_A_CONF_HOLDS)
    repairs, lost = _notes(conf, REPAIRS_KEY), _notes(conf, LOST_KEY)
    notification, report = _read(given, received_at)
    if lost is not None:
        _require_identified(notification, lost)
    notification = _with_body_warnings(notification, repairs or (), lost)
    notification = _with_dry_run_warning(notification, given)
    notification = _as_drill(notification) if _TEST.match(notification.incident.title) else notification
    routed = _routed(notification.incident, report, routing)
    if lost is not None and not routed.route.private:
        assumed = _may_be_private(notification, routed, report, routing)
        notification = replace(notification, privacy_assumed=assumed)
        routed = _as_private(routed) if assumed else routed
    stated = notification.severity_stated or routed.severity is not notification.incident.severity
    return replace(notification, incident=fit_incident(routed), severity_stated=stated)


def requests_dry_run(conf: Mapping[str, object]) -> bool:
    """Return whether a conf asks for a dry run, in any words for yes.

    What is neither yes nor no asks for none: an alert must not be lost. The brief names it.
    """
    try:
        return read_yes_or_no(conf.get(ConfKey.DRY_RUN)) is True
    except ValueError:
        return False


def _with_dry_run_warning(notification: Notification, conf: Mapping[str, object]) -> Notification:
    try:
        read_yes_or_no(conf.get(ConfKey.DRY_RUN))
    except ValueError as error:
        warnings = ParseWarnings(notification.incident.flags)
        warnings.add(ConfKey.DRY_RUN.value, conf[ConfKey.DRY_RUN], f"{error}: this is no dry run")
        incident = notification.incident.model_copy(update={"flags": warnings.as_tuple()})
        return replace(notification, incident=incident)
    return notification


def checked_conf(conf: Mapping[str, object], *, received_at: datetime) -> dict[str, object]:
    """Return a conf that a person wrote, with scalar values in the words of the trigger form.

    It is strict, for a person can correct a mistake at once; and a time such as ``15 min ago`` is settled here.

    :raises InvalidPayloadError: naming every value that :func:`read_incident` would leave out.
    """
    try:
        read_yes_or_no(conf.get(ConfKey.DRY_RUN))
    except ValueError as error:
        raise InvalidPayloadError(f"{ConfKey.DRY_RUN}: {error}.", fix="Use true or false.") from None
    if _DATADOG in conf:
        require_valid({name: conf[name] for name in conf if name in ADDITIONS}, received_at=received_at)
        return dict(conf)
    if read_foreign(conf) is not None or looks_like_datadog(conf):
        return dict(conf)
    report = require_valid(conf, received_at=received_at)
    stated: dict[str, object] = {
        "id": report.id,
        "title": report.title,
        "severity": report.severity.value if report.severity else None,
        "private": report.private,
        "started_at": report.started_at.isoformat().replace("+00:00", "Z") if report.started_at else None,
    }
    return {**conf, **{name: value for name, value in stated.items() if name in conf}}


def reading_notes(conf: Mapping[str, object], incident: Incident) -> tuple[str, ...]:
    """Return what was left out, replaced or repaired when a conf was read, each with its field and the reason.

    :param incident: what :func:`read_notification` made of the conf.
    """
    notes = [f"{flag.field}: {flag.note}" for flag in incident.flags]
    noted = {flag.field for flag in incident.flags}
    unknown = _unknown_fields(conf, incident)
    notes += [f"{name}: not a field, so it was ignored" for name in unknown if name not in noted]
    return tuple(one_line(shorten(note, _LONGEST_NOTE)) for note in notes)


def _unknown_fields(conf: Mapping[str, object], incident: Incident) -> list[str]:
    """Return the names in a report that nothing reads; other systems' formats have names of their own."""
    if incident.source is not Source.MANUAL or _DATADOG in conf or _enclosed(conf) is not None:
        return []
    return [name for name in unknown_names(conf) if name not in _NOTES]


def _notes(conf: Mapping[str, object], key: str) -> list[str] | None:
    """Return what was noted about the request's body; ``None`` if nothing was."""
    payload = conf.get(_DATADOG)
    stated = conf.get(key)
    if stated is None and isinstance(payload, Mapping):
        stated = payload.get(key)
    return [note for note in stated if isinstance(note, str)] if isinstance(stated, list) else None


def _require_identified(notification: Notification, lost: Sequence[str]) -> None:
    """Refuse what is left of a body if it does not say which alert it is about, and what became of it.

    :raises InvalidPayloadError: it does not.
    """
    # Of a group that ends with the last of its alerts, the one that still fires may be missing.
    is_partial = notification.recovery_reason is not None and _ALERTS in lost
    if is_partial or not notification.is_identified:
        raise InvalidPayloadError(
            "The body's JSON was cut off or damaged, and what is left does not identify an alert: its id, its title"
            " and its state are needed.",
            fix="Send the whole body; one of at most 256 KB is accepted.",
        )


def _with_body_warnings(
    notification: Notification, repairs: Sequence[str], lost: Sequence[str] | None
) -> Notification:
    warnings = ParseWarnings(notification.incident.flags)
    for repair in repairs:
        warnings.add("request body", "repaired", repair)
    if lost is not None:
        names = f": missing or not whole are {', '.join(map(for_error, lost))}, and what came after" if lost else ""
        warnings.add("request body", "incomplete", f"it was cut off or damaged{names}")
    incident = notification.incident.model_copy(update={"flags": warnings.as_tuple()})
    return replace(notification, incident=incident)


def _may_be_private(notification: Notification, incident: Incident, report: Report, routing: RoutingTable) -> bool:
    """Return whether what is missing of an incident could make it private."""
    if incident.source is Source.MANUAL and report.private is None:
        return True
    return routing.may_be_private(incident, labels_known=notification.states_labels)


def _as_private(incident: Incident) -> Incident:
    warnings = ParseWarnings(incident.flags)
    warnings.add("private", True, "what is missing could make it private, so that the room is private")
    route = incident.route.model_copy(update={"private": True})
    return incident.model_copy(update={"route": route, "flags": warnings.as_tuple()})


def _read(given: Mapping[str, object], received_at: datetime) -> tuple[Notification, Report]:
    """Return what the source states, and the report fields that stand beside it."""
    payload = given.get(_DATADOG)
    foreign = read_foreign(payload if isinstance(payload, Mapping) else given)
    if foreign is not None:
        return _read_foreign(foreign, {**_additions(payload), **_additions(given)}, received_at)
    inner = _enclosed(payload if isinstance(payload, Mapping) else given)
    if inner is not None:
        beside = {**_additions(payload), **_additions(given)}
        if payload is None and _DATADOG not in inner:
            beside = {name: given[name] for name in FIELDS if name in given}
        return _read(merged_fields(beside, inner), received_at)
    if payload is not None:
        return _read_datadog(payload, given, received_at)
    if looks_like_datadog(given):
        return _read_datadog(given, {}, received_at)
    warnings = ParseWarnings()
    warn_of_misspelt(given, warnings)
    report, rejected = parse_report(given, received_at=received_at)
    warn_of_rejected(rejected, warnings)
    return read_report(report, received_at=received_at, warnings=warnings), report


def _enclosed(outer: Mapping[str, object]) -> Mapping[str, object] | None:
    """Return the conf within an envelope, such as a request to Airflow's API, or an event of a bus."""
    if looks_like_datadog(outer) or names_title(outer):
        return None
    inner = next((inner for name in _ENVELOPES if _holds_conf(inner := outer.get(name))), None)
    if not isinstance(inner, dict):
        return None
    return {_DATADOG: inner} if looks_like_datadog(inner) else inner


def _holds_conf(inner: object) -> bool:
    """Return whether a part of a conf is one itself, also within a further envelope."""
    for _ in range(len(_ENVELOPES)):
        if not isinstance(inner, dict):
            return False
        if looks_like_datadog(inner) or names_title(inner) or _is_foreign(inner):
            return True
        inner = next((inner[name] for name in _ENVELOPES if isinstance(inner.get(name), dict)), None)
    return False


def _is_foreign(conf: Mapping[str, object]) -> bool:
    try:
        return read_foreign(conf) is not None
    except InvalidPayloadError:
        return True


def _additions(payload: object) -> dict[str, object]:
    """Return what adds to a payload: also where a template has it within the payload itself."""
    found: dict[str, object] = {}
    for key, value in payload.items() if isinstance(payload, Mapping) else ():
        name = _ADDITION_NAMES.get(plain_name(key))
        if name is not None and not is_empty(value):
            found = merged_fields(found, {name: value})
    return found


def _read_datadog(
    payload: object, given: Mapping[str, object], received_at: datetime
) -> tuple[Notification, Report]:
    notification = read_datadog(payload, received_at=received_at)
    added = {**_additions(payload), **_additions(given)}
    additions, rejected = parse_report(added, received_at=received_at)
    incident = notification.incident
    warnings = ParseWarnings(incident.flags)
    warn_of_rejected(rejected, warnings)
    for name in FIELDS:
        if name in given and name not in ADDITIONS:
            warnings.add(name, given[name], "ignored: the Datadog payload beside it states this")
    links = distinct_links((*incident.links, *report_links(additions, warnings)), warnings=warnings)
    targets = tuple(dict.fromkeys((*report_targets(additions, warnings), *incident.targets)))
    update = {"links": links, "targets": targets, "flags": warnings.as_tuple()}
    return replace(notification, incident=incident.model_copy(update=update)), additions


def _read_foreign(
    foreign: ForeignAlert, added: Mapping[str, object], received_at: datetime
) -> tuple[Notification, Report]:
    warnings = ParseWarnings()
    beside = {name: added[name] for name in ("users", "private") if name in added}
    report, rejected = parse_report({**foreign.report, **beside}, received_at=received_at)
    warn_of_rejected(rejected, warnings)
    notification = read_report(report, received_at=received_at, warnings=warnings, sender=foreign.sender)
    title = for_error(notification.incident.title)
    event_at, _ = settle_time(read_time(foreign.event_at), received_at=received_at)
    may_open = foreign.firing and foreign.may_open
    transition = "Recovered" if not foreign.firing else "Triggered" if may_open else None
    return (
        replace(
            notification,
            incident=notification.incident.model_copy(update={"transition": transition, "event_at": event_at}),
            recovery_reason=None if foreign.firing else f"{title} recovered: that opens no incident.",
            may_open=may_open,
            delivery_id=foreign.delivery_id,
            is_identified=bool(report.id and report.title and foreign.is_stated),
        ),
        report,
    )


def _as_drill(notification: Notification) -> Notification:
    """Return a test notification as a drill, with an identity apart from the alert that it tries out."""
    incident = notification.incident
    tags = distinct((DRILL_TAG, *incident.tags))
    return replace(
        notification,
        incident=incident.model_copy(update={"key": f"test.{incident.key}", "tags": tags}),
        group=f"test.{notification.group}",
        former_keys=None,
    )


def _routed(incident: Incident, report: Report, routing: RoutingTable) -> Incident:
    """Return the incident with what the routing table states: its severity, and everybody who should come.

    All tags take part in that; then those that decide anything are kept before the others.
    """
    incident = routing.severity.applied_to(incident)
    route = routing.route(incident)
    if report.private:
        route = route.model_copy(update={"private": True})
    warnings = ParseWarnings(incident.flags)
    queries = (*report_users(report, warnings), incident.commander or "", *route.responders)
    responders = bounded_names(queries, field="responders", warnings=warnings, count=MAX_RESPONDERS)
    links = distinct_links((_runbook(route, warnings), *incident.links), warnings=warnings)
    return incident.model_copy(
        update={
            "route": route,
            "responders": responders,
            "links": links,
            "tags": _kept_tags(incident.tags, routing, warnings),
            "flags": warnings.as_tuple(),
        }
    )


def _kept_tags(tags: tuple[str, ...], routing: RoutingTable, warnings: ParseWarnings) -> tuple[str, ...]:
    if len(tags) > MAX_NAMES:
        warnings.add("tags", f"{len(tags)} tags", f"{MAX_NAMES} are kept; all took part in routing")
        tags = tuple(sorted(tags, key=lambda tag: not routing.names_tag(tag)))[:MAX_NAMES]
    return bounded_names(tags, field="tags", warnings=warnings)


def _runbook(route: Route, warnings: ParseWarnings) -> Link | None:
    """Return the runbook that the routing table names. It comes before any that an alert's text calls one."""
    if route.runbook is None:
        return None
    label = f"Runbook {PurePosixPath(urlsplit(route.runbook).path).name}"
    return make_link(route.runbook, label=label, kind=LinkKind.RUNBOOK, field="route.runbook", warnings=warnings)
