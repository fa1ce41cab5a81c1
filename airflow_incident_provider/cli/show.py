"""``airflow incident list`` and ``airflow incident show``."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow_incident_provider.cli.access import connect
from airflow_incident_provider.cli.arguments import listed
from airflow_incident_provider.cli.output import (
    SEVERITY_STYLES,
    Column,
    Line,
    counted,
    is_document,
    print_document,
    print_lines,
    print_rows,
)
from airflow_incident_provider.cli.run import ExitCode, UsageError, command
from airflow_incident_provider.cli.view import IncidentView, find_incident, read_views
from airflow_incident_provider.intake.values import SEVERITY_CHOICES, read_severity
from airflow_incident_provider.lifecycle.records import Status
from airflow_incident_provider.messages.mrkdwn import clock, duration
from airflow_incident_provider.models import Finding, Incident, IncidentSummary, Severity, Verdict, WarRoom
from airflow_incident_provider.probes import CONTROL
from airflow_incident_provider.probes.interpretation import OUR_SIDE
from airflow_incident_provider.room.summary import summary_so_far

DRILL = "drill"
"""What a terminal shows as the status of a drill that is open."""

COLUMNS = (
    Column("severity", styles=SEVERITY_STYLES),
    Column("age"),
    Column("status", styles={"open": "bold", "resolved": "dim", "archived": "dim", "dry run": "dim", DRILL: "dim"}),
    Column("name", flexible=True),
    Column("title", flexible=True),
    Column("room", flexible=True),
)
"""What a terminal shows: it fits 80 columns. The other commands accept the name."""

PIPED_COLUMNS = tuple(
    Column(name)
    for name in (
        "severity", "began_at", "status", "outcome", "title", "services", "env", "room", "key", "run_id", "drill",
        "ended_at", "resolved_by",
    )
)  # fmt: skip

_MARKS = {
    Verdict.FAIL: ("✖", "bold red"),
    Verdict.WARN: ("⚠", "yellow"),
    Verdict.UNKNOWN: ("?", "magenta"),
    Verdict.SKIPPED: ("-", "dim"),
    Verdict.OK: ("✓", "green"),
}
_SINCE = re.compile(r"(\d{1,4})([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Filter = Callable[[IncidentView], bool]


@command
def list_incidents(args: Namespace) -> ExitCode:
    """List incidents: open ones first, then worst first, then newest first."""
    if args.limit < 1:
        raise UsageError(f"--limit {args.limit} is not 1 or more.")
    filters = [*_filters(args, datetime.now(UTC))]
    with connect(args) as airflow:
        views = [view for view in read_views(airflow, args.dag_id) if all(keep(view) for keep in filters)]
    if args.records:
        print_document([view.record.to_json() for view in views if view.record is not None], "json")
        return ExitCode.OK
    newest_first = sorted(views, key=lambda view: view.began_at, reverse=True)
    shown = sorted(newest_first, key=urgency)[: args.limit]
    now = datetime.now(UTC)
    in_terminal = args.output == "table" and sys.stdout.isatty()
    print_rows(
        [_terminal_row(view, now) if in_terminal else row(view, now) for view in shown],
        COLUMNS if in_terminal else PIPED_COLUMNS,
        args.output,
        empty="No incidents match." if filters else "No incidents.",
    )
    if in_terminal and shown:
        print_lines([Line(_footer(shown), style="dim")])
    return ExitCode.OK


@command
def show_incident(args: Namespace) -> ExitCode:
    """Show one incident."""
    with connect(args) as airflow:
        view = find_incident(airflow, args.run, args.dag_id)
    if is_document(args.output):
        print_document(document(view), args.output)
    else:
        print_lines([*report(view)])
    return ExitCode.OK


def urgency(view: IncidentView) -> tuple[bool, int]:
    """Return the sort key that puts open incidents first, and the worst of them before the others."""
    severities = list(Severity)
    return not view.is_open, severities.index(view.severity) if view.severity else len(severities)


def row(view: IncidentView, now: datetime) -> dict[str, object]:
    """Return an incident as one flat object: times in UTC with their zone, numbers as numbers."""
    incident, record, summary = view.incident, view.record, view.summary
    source = record or incident
    no_room = view.no_room
    return {
        "severity": view.severity.value if view.severity else None,
        "age": age(view.began_at, now),
        "began_at": iso(view.began_at),
        "status": view.status,
        "drill": view.is_drill,
        "outcome": view.outcome,
        "title": view.title,
        "services": list(source.services) if source else [],
        "env": source.env if source else None,
        "teams": list(source.teams) if source else [],
        "room": f"#{view.channel_name}" if view.channel_name else f"none: {no_room.what if no_room else ''}",
        "room_url": view.room_url,
        "no_room": no_room.what if no_room else None,
        "invited": len(view.room.invited) if view.room else None,
        "findings": {verdict.value: count for verdict, count in view.verdicts.items() if count},
        "commander": source.commander if source else None,
        "ended_at": iso(record.ended_at) if record and record.ended_at else None,
        "resolved_by": view.resolved_by,
        "total_ms": summary.total_ms if summary else None,
        "key": view.key,
        "id": incident.id if incident else None,
        "dag_id": view.run.dag_id if view.run else None,
        "run_id": view.run.run_id if view.run else None,
        "run_state": view.run.state if view.run else None,
        "run_url": view.run_url,
    }


def _terminal_row(view: IncidentView, now: datetime) -> dict[str, object]:
    is_running_drill = view.is_drill and view.status in (Status.OPEN, Status.RECOVERED)
    return {**row(view, now), "name": _name(view), **({"status": DRILL} if is_running_drill else {})}


def iso(at: datetime) -> str:
    """Return a time as ISO 8601 in UTC, such as ``2026-11-28T14:12:31Z``."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def age(since: datetime, now: datetime) -> str:
    """Return how long ago something was, in one unit: ``3 min``, ``2 h``, ``5 d``."""
    passed = max(now - since, timedelta())
    if passed < timedelta(hours=1):
        return f"{passed // timedelta(minutes=1)} min"
    if passed < timedelta(days=2):
        return f"{passed // timedelta(hours=1)} h"
    return f"{passed // timedelta(days=1)} d"


def _filters(args: Namespace, now: datetime) -> Iterator[Filter]:
    if args.open:
        yield lambda view: view.is_open
    if args.severity:
        wanted = {_severity(name) for name in listed(args.severity)}
        yield lambda view: view.severity in wanted
    if args.service:
        yield partial(_has_any, "services", listed(args.service))
    if args.team:
        yield partial(_has_any, "teams", listed(args.team))
    if args.since:
        start = parse_since(args.since, now)
        yield lambda view: view.began_at >= start


def _severity(name: str) -> Severity:
    severity = read_severity(name)
    if severity is None:
        raise UsageError(f"--severity {name} is not a severity.", fix=f"{SEVERITY_CHOICES.capitalize()}.")
    return severity


def _has_any(field: str, names: Sequence[str], view: IncidentView) -> bool:
    found = getattr(view.record or view.incident, field, ())
    return not {name.casefold() for name in names}.isdisjoint(name.casefold() for name in found)


def parse_since(text: str, now: datetime) -> datetime:
    """Return the start of the time range: a duration before now, or a date or time in UTC.

    :raises UsageError: it is neither.
    """
    if (found := _SINCE.fullmatch(text.strip())) is not None:
        return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"--since {text} is not a time.", fix="Use 30m, 2h, 7d, 2026-11-28 or 2026-11-28T14:00Z."
        ) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _footer(views: Sequence[IncidentView]) -> str:
    counts = Counter(view.severity for view in views if view.is_open)
    parts = ", ".join(f"{counts[severity]} {severity}" for severity in Severity if counts[severity])
    return (
        f"{counts.total()} open{f': {parts}' if parts else ''} · show one: airflow incident show {_name(views[0])}"
    )


def _name(view: IncidentView) -> str:
    """Return the shortest name that ``show`` finds an incident by."""
    names = [view.incident.id if view.incident else None, view.key, view.run.run_id if view.run else None]
    return next((name for name in names if name), "KEY")


def document(view: IncidentView) -> dict[str, Any]:
    """Return all of an incident as JSON: what its steps returned, and its record."""
    return {
        **row(view, datetime.now(UTC)),
        "state": view.run.state if view.run else None,
        "url": view.run_url,
        "failure": view.failure.model_dump(mode="json") if view.failure else None,
        "incident": view.incident.to_xcom() if view.incident else None,
        "room": view.room.to_xcom() if view.room else None,
        "findings": [finding.to_xcom() for finding in view.worst_first],
        "summary": view.summary.to_xcom() if view.summary else None,
        "evidence": view.evidence.to_xcom() if view.evidence else None,
        "record": view.record.to_json() if view.record else None,
    }


def report(view: IncidentView) -> Iterator[Line]:
    """Return an incident for a person, the most important facts first."""
    yield from _headline(view)
    yield from _room(view)
    said = {finding.summary for finding in view.worst_first}
    # Without a record nothing has changed since the first minutes.
    summary_now = summary_so_far(view) or view.summary
    sections = (
        _findings(view.worst_first),
        _conclusions(view.summary, said | {f"{OUR_SIDE}: {text}" for text in said}) if view.summary else (),
        _people(view.room, is_dry_run=view.is_dry_run) if view.room else (),
        _details(view.incident) if view.incident else (),
        _timeline(summary_now) if summary_now else (),
        _references(view),
    )
    for lines in map(list, sections):
        if lines:
            yield from (Line(""), *lines)


def _headline(view: IncidentView) -> Iterator[Line]:
    severity = view.severity.upper() if view.severity else "UNKNOWN SEVERITY"
    yield Line(f"{severity}  {view.title}", style=SEVERITY_STYLES.get(view.severity or "", "bold"), hanging=2)
    reopened = f", reopened {view.record.reopened}x" if view.record and view.record.reopened else ""
    parts = [
        *([DRILL] if view.is_drill else []),
        f"{view.status}{reopened}",
        f"began {iso(view.began_at)} ({age(view.began_at, datetime.now(UTC))} ago)",
        *([f"run {view.outcome.replace('_', ' ')}"] if view.outcome else []),
    ]
    if view.record is not None and view.record.ended_at is not None:
        by = f" by {view.resolved_by}" if view.resolved_by else ""
        parts.insert(-1, f"ended {iso(view.record.ended_at)}{by}")
    firing, alerts = view.firing
    if alerts:
        parts.append(f"{firing} of {counted(alerts, 'alert')} firing")
    if view.incident is not None and view.incident.reporter:
        parts.append(f"reported by {view.incident.reporter}")
    commander = (view.record and view.record.commander) or (view.incident and view.incident.commander)
    if commander:
        parts.append(f"commander {commander}")
    yield Line(" · ".join(parts), hanging=2)


def _room(view: IncidentView) -> Iterator[Line]:
    problem = view.no_room
    if problem is not None:
        yield Line(f"No room: {problem.what}", style="bold red" if view.went_wrong else "yellow", hanging=2)
        if problem.fix:
            yield Line(f"Fix: {problem.fix}", indent=2, hanging=2)
        return
    here = ""
    if view.summary is not None and view.summary.here is not None:
        here = f" · {view.summary.here} of {view.summary.invited} people here"
    yield Line(f"Room  #{view.channel_name}{here}", hanging=2)
    if view.room_url:
        yield Line(view.room_url, indent=2)


def _findings(findings: Sequence[Finding]) -> Iterator[Line]:
    evidence = [finding for finding in findings if finding.probe != CONTROL]
    control = [finding for finding in findings if finding.probe == CONTROL and finding.verdict is not Verdict.OK]
    if findings and not evidence:
        yield Line("Nothing was checked: there is no target to probe.", style="yellow")
    for finding in [*control, *evidence]:
        mark, style = _MARKS[finding.verdict]
        subject = OUR_SIDE if finding.probe == CONTROL else f"{finding.probe} {finding.target or ''}".rstrip()
        yield Line(f"{mark} {finding.verdict.upper()} {subject}: {finding.summary}", style=style, hanging=2)


def _conclusions(summary: IncidentSummary, shown: Set[str]) -> Iterator[Line]:
    """Return what is known and what is not, without what a finding says already."""
    for text in (statement.text for statement in summary.known if statement.text not in shown):
        yield Line(f"Known: {text}", hanging=2)
    for text in (text for text in summary.unknown if text not in shown):
        yield Line(f"Not known: {text}", hanging=2)
    for problem in summary.problems:
        yield Line(
            f"Problem: {problem.what}{f': {problem.error}' if problem.error else ''}", style="red", hanging=2
        )
        if problem.fix:
            yield Line(f"Fix: {problem.fix}", indent=2, hanging=2)


def _people(room: WarRoom, *, is_dry_run: bool) -> Iterator[Line]:
    if room.invited:
        invited = "Would be invited" if is_dry_run else "Invited"
        yield Line(f"{invited}: " + ", ".join(each.user.label for each in room.invited), hanging=2)
    for each in room.not_invited:
        suggestion = f" (perhaps {each.suggestion})" if each.suggestion else ""
        yield Line(f"Not invited: {each.query}: {each.reason}{suggestion}", hanging=2)


def _details(incident: Incident) -> Iterator[Line]:
    where = [*incident.services, *incident.hosts, *([incident.env] if incident.env else []), *incident.teams]
    if where:
        yield Line(f"Where: {', '.join(where)}", hanging=2)
    yield from (Line(f"{link.label}: {link.url}", hanging=2) for link in incident.links)
    for flag in incident.flags:
        yield Line(f'Note: {flag.field} "{flag.value}": {flag.note}', style="yellow", hanging=2)


def _timeline(summary: IncidentSummary) -> Iterator[Line]:
    if not summary.timeline:
        return
    yield Line("Timeline (UTC)")
    earlier = summary.timeline[0].at
    for entry in summary.timeline:
        yield Line(f"{clock(entry.at, seen_from=earlier)}  {entry.what}", indent=2, hanging=10)
        earlier = entry.at
    if summary.time_to_room_ms is not None:
        yield Line(f"Room after {duration(summary.time_to_room_ms)}", indent=2)


def _references(view: IncidentView) -> Iterator[Line]:
    if view.key:
        yield Line(f"Key  {view.key}")
    if view.run is not None:
        yield Line(f"Run  {view.run.run_id} of {view.run.dag_id} ({view.run.state})")
    if view.run_url:
        yield Line(view.run_url, indent=2)
