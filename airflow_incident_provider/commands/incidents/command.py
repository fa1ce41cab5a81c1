"""``airflow incident list`` and ``airflow incident show``."""

from __future__ import annotations

from argparse import Namespace

from airflow_incident_provider.commands.access.opening import opened
from airflow_incident_provider.commands.incidents.detail import as_document, in_words
from airflow_incident_provider.commands.incidents.records import RecordedIncident, findings, recorded
from airflow_incident_provider.commands.output import print_document, print_rows, print_text
from airflow_incident_provider.commands.running import ExitCode, UsageError, command
from airflow_incident_provider.commands.watch.finding_runs import find_run, incident_dags, newest_runs
from airflow_incident_provider.messages.findings import verdict_counts


@command
def list_incidents(args: Namespace) -> ExitCode:
    """List the newest incidents."""
    if args.limit < 1:
        raise UsageError(f"--limit {args.limit} is not 1 or more.")
    with opened(args) as airflow:
        runs = newest_runs(airflow, incident_dags(airflow, args.dag_id), args.limit)
        rows = [_row(recorded(airflow, run)) for run in runs]
    print_rows(rows, args.output, empty="There are no incidents.")
    return ExitCode.OK


@command
def show_incident(args: Namespace) -> ExitCode:
    """Show one incident."""
    with opened(args) as airflow:
        run = find_run(airflow, args.run, args.dag_id)
        incident, found = recorded(airflow, run), findings(airflow, run)
        url = airflow.url(run.dag_id, run.run_id)
    if args.output in ("json", "yaml"):
        print_document(as_document(incident, found, url), args.output)
    else:
        print_text(in_words(incident, found, url))
    return ExitCode.OK


def _row(entry: RecordedIncident) -> dict[str, object]:
    incident, room, summary = entry.incident, entry.room, entry.summary
    return {
        "asked_at": f"{entry.run.asked_at:%Y-%m-%d %H:%M:%S}",
        "severity": incident.severity.value if incident else None,
        "title": incident.title if incident else None,
        "status": entry.status,
        "room": room.channel_name if room else None,
        "invited": len(room.invited) if room else None,
        "findings": verdict_counts(entry.findings) if any(entry.findings.values()) else None,
        "total_ms": summary.total_ms if summary else None,
        "run_id": entry.run.run_id,
    }
