"""``airflow incident drill``."""

from __future__ import annotations

import json
import signal
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_incident_provider.commands.access.airflow import Airflow
from airflow_incident_provider.commands.access.opening import opened
from airflow_incident_provider.commands.drill.payload import (
    CHANNEL_PREFIX,
    RULE,
    as_drill,
    recorded_alert,
    with_drill_rule,
)
from airflow_incident_provider.commands.drill.score import Goal, score
from airflow_incident_provider.commands.incidents.records import findings, recorded
from airflow_incident_provider.commands.output import print_document, print_rows, print_text
from airflow_incident_provider.commands.running import ExitCode, UsageError, command, complain
from airflow_incident_provider.commands.trigger.command import run_id_of
from airflow_incident_provider.commands.trigger.conf import normalised, read_file
from airflow_incident_provider.commands.watch.command import Watcher
from airflow_incident_provider.commands.watch.screens import screen_for
from airflow_incident_provider.intake import RoutingTable, read_incident
from airflow_incident_provider.models import Incident
from airflow_incident_provider.routing_file import read_routing_table


@command
def drill(args: Namespace) -> ExitCode:
    """Rehearse, and exit with 1 if a goal was missed."""
    conf = normalised(as_drill(read_file(args.from_file) if args.from_file else recorded_alert()))
    with _site(args) as airflow:
        incident = _marked_incident(conf, args)
        goals, run_id = rehearse(airflow, args.dag_id, incident, conf, args)
    _tell(goals, run_id, args.output)
    return ExitCode.OK if all(goal.met for goal in goals) else ExitCode.NOT_WELL


def rehearse(
    airflow: Airflow, dag_id: str, incident: Incident, conf: Mapping[str, Any], args: Namespace
) -> tuple[list[Goal], str]:
    """Run the workflow with a drill's conf; return how it went, and the run."""
    airflow.require_ready(dag_id)
    started = airflow.start(dag_id, conf, run_id=run_id_of(incident, conf))
    with screen_for(args.output) as screen:
        run = Watcher(airflow, dag_id, started.run_id, screen).until_over(args.timeout)
    goals = score(recorded(airflow, run), findings(airflow, run), room_within_s=args.room_within)
    return goals, started.run_id


def _site(args: Namespace) -> Any:
    if not args.sandbox:
        return opened(args)
    if args.api_url is not None:
        raise UsageError("--sandbox brings an Airflow of its own, and --api-url names another.")
    return _sandbox(Path(args.home).resolve(), Path(args.dags).resolve(), args.dag_id)


@contextmanager
def _sandbox(home: Path, dags: Path, dag_id: str) -> Iterator[Airflow]:
    """Start the demo's world and an Airflow in it, whose routing table knows drills."""
    from incident_sandbox.demo.environment import demo_environment
    from incident_sandbox.demo.local_airflow import LocalAirflow

    from airflow_incident_provider.commands.access.remote import RemoteAirflow

    if not (dags / "incident_response.py").is_file():
        raise UsageError(f"{dags} has no incident_response.py.", fix="Run this in a clone, or name it with --dags.")
    # A polite end clears everything away, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home.mkdir(parents=True, exist_ok=True)
    with demo_environment(home, sandbox_port=0, progress=complain) as there:
        table = json.loads(there.routing_table.read_text(encoding="utf-8"))
        there.routing_table.write_text(json.dumps(with_drill_rule(table)), encoding="utf-8")
        with LocalAirflow(
            home / "airflow", dags, connections=there.connections, environment=there.environment, progress=complain
        ) as airflow:
            airflow.wait_for_dag(dag_id)
            airflow.warm_up()
            yield RemoteAirflow(airflow.api)


def _marked_incident(conf: Mapping[str, Any], args: Namespace) -> Incident:
    """Return the incident, if people will see that it is a drill.

    :raises UsageError: the routing table here would name the room like that of an incident.
    """
    here = args.api_url is None and not args.sandbox
    routing = read_routing_table() if here else RoutingTable()
    incident = read_incident(conf, received_at=datetime.now(UTC), routing=routing)
    rule = f"The first of the rules has to be: {json.dumps(RULE)}"
    if here and incident.route.channel_prefix != CHANNEL_PREFIX:
        raise UsageError("The routing table would not name the room as a drill.", fix=rule)
    if args.api_url is not None:
        complain(f"Note: the routing table of {args.api_url} cannot be seen from here. {rule}")
    return incident


def _tell(goals: list[Goal], run_id: str, output: str) -> None:
    met = sum(goal.met for goal in goals)
    if output in ("json", "yaml"):
        listed = [{"goal": goal.name, "met": goal.met, "seen": goal.seen} for goal in goals]
        print_document({"run_id": run_id, "met": met, "of": len(goals), "goals": listed}, output)
        return
    print_rows([{"goal": goal.name, "met": goal.met, "seen": goal.seen} for goal in goals], output)
    print_text(f"Score: {met} of {len(goals)}")
