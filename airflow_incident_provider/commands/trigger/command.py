"""``airflow incident trigger``: read, check, perhaps ask, start, perhaps watch."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_incident_provider.commands.access.airflow import Airflow, Started
from airflow_incident_provider.commands.access.opening import opened
from airflow_incident_provider.commands.output import print_rows, print_text
from airflow_incident_provider.commands.running import ExitCode, UsageError, command, complain
from airflow_incident_provider.commands.trigger.conf import given_conf, normalised
from airflow_incident_provider.commands.trigger.preview import preview
from airflow_incident_provider.commands.trigger.questions import ask_for, confirm
from airflow_incident_provider.intake import RoutingTable, read_incident
from airflow_incident_provider.lifecycle.decision import response_dag
from airflow_incident_provider.models import Incident, Source
from airflow_incident_provider.routing_file import read_routing_table


@command
def trigger(args: Namespace) -> ExitCode:
    """Start incident response."""
    if args.interactive and args.from_file == "-":
        raise UsageError("--interactive and --from-file - both read standard input.")
    conf = given_conf(args)
    if args.interactive:
        conf = ask_for(conf)
    conf = normalised(conf)
    incident = _checked(conf, remote=args.api_url is not None)
    if args.interactive and not _agreed(incident, conf, args):
        print_text("Nothing was started.")
        return ExitCode.INTERRUPTED
    dag_id = args.dag_id or response_dag(incident.route)
    with opened(args) as airflow:
        airflow.require_ready(dag_id)
        started = airflow.start(dag_id, conf, run_id=run_id_of(incident, conf))
        _tell(airflow, args, dag_id, incident, started)
        if not args.watch:
            return ExitCode.OK
        from airflow_incident_provider.commands.watch.command import watch_run

        return watch_run(airflow, dag_id, started.run_id, timeout=args.timeout, output=args.output)


def run_id_of(incident: Incident, conf: Mapping[str, Any]) -> str | None:
    """Return the run id that makes sending it twice harmless; none for an incident without an identity."""
    has_identity = incident.source is not Source.MANUAL or bool(conf.get("id"))
    return incident.key if has_identity else None


def _checked(conf: Mapping[str, Any], *, remote: bool) -> Incident:
    """Return the incident as Airflow will read it.

    :raises InvalidPayloadError: it cannot be read; the message names the field.
    :raises NotAnIncidentError: it opens none.
    """
    try:
        json.dumps(conf)
    except ValueError as error:
        raise UsageError(f"This is no JSON: {error}.") from None
    routing = RoutingTable() if remote else read_routing_table()
    incident = read_incident(conf, received_at=datetime.now(UTC), routing=routing)
    for flag in incident.flags:
        complain(f"Note: {flag.field}: {flag.note}")
    return incident


def _agreed(incident: Incident, conf: Mapping[str, Any], args: Namespace) -> bool:
    print_text(preview(incident, dry_run=conf.get("dry_run") is True, routed=args.api_url is None))
    return confirm("Start incident response?")


def _tell(airflow: Airflow, args: Namespace, dag_id: str, incident: Incident, started: Started) -> None:
    if args.watch and args.output in ("json", "yaml"):
        return
    row = {
        "dag_id": dag_id,
        "run_id": started.run_id,
        "state": "started" if started.new else "known already",
        "severity": incident.severity.value,
        "title": incident.title,
        "url": airflow.url(dag_id, started.run_id),
    }
    print_rows([row], args.output)
