"""``airflow incident explain``: what the webhook would do with an alert, why, and who would be invited."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from airflow_incident_provider.cli.access import connect
from airflow_incident_provider.cli.drill import recorded_alert
from airflow_incident_provider.cli.output import Line, is_document, print_document, print_lines
from airflow_incident_provider.cli.run import ExitCode, command, print_error
from airflow_incident_provider.cli.trigger import local_routing
from airflow_incident_provider.cli.view import read_all_stored
from airflow_incident_provider.config import DEFAULT_DATADOG_CONN_ID, ConfKey
from airflow_incident_provider.exceptions import IncidentError, InvalidPayloadError, RoutingTableError
from airflow_incident_provider.intake import RoutingTable, load_routing_table
from airflow_incident_provider.intake.request_body import UnreadableBodyError, parse_body
from airflow_incident_provider.intake.routing_table import Settings
from airflow_incident_provider.lifecycle.decision import decide
from airflow_incident_provider.lifecycle.explain import as_json, in_words
from airflow_incident_provider.lifecycle.records import IncidentRecord
from airflow_incident_provider.lifecycle.run_requests import response_dag
from airflow_incident_provider.lifecycle.signals import read_signal
from airflow_incident_provider.messages.channel import channel_name
from airflow_incident_provider.models import Incident, LinkKind
from airflow_incident_provider.probes import CONTROL
from airflow_incident_provider.probes.planning import plan_probes
from airflow_incident_provider.slack.access import connection_is_configured


@command
def explain(args: Namespace) -> ExitCode:
    """Print the decision on a payload, its reasons, and how the incident would be handled."""
    now = datetime.now(UTC)
    routing = _routing(args)
    signal = read_signal(_payload(args.payload), received_at=now, routing=routing)
    decision = decide(signal, _records(args), routing, now)
    route = Handling(signal.incident, routing)
    if is_document(args.output):
        print_document({**as_json(decision), "handling": route.as_json()}, args.output)
    else:
        for text in in_words(decision).splitlines():
            print_lines([Line(text.strip(), indent=len(text) - len(text.lstrip(" ")), hanging=4)])
        print_lines([*route.lines()])
    return ExitCode.OK


@dataclass(frozen=True)
class Handling:
    """How an incident would be handled: room, people, probes, evidence, each with the rule that says so."""

    incident: Incident
    routing: RoutingTable

    @property
    def responders(self) -> list[tuple[str, str]]:
        """Who would be invited, each with what names them first."""
        named = [(name, source) for source, layer in self._layers() for name in layer.responders]
        by_name = {name.casefold(): (name, source) for name, source in reversed(named)}
        responders = dict.fromkeys(self.incident.responders)
        return [by_name.get(name.casefold(), (name, "the alert")) for name in responders]

    def _layers(self) -> list[tuple[str, Settings]]:
        """Return the rules that match, in their order, then the defaults."""
        rules = [(f"rule {rule.name!r}", rule) for rule in self.routing.rules if rule.match.matches(self.incident)]
        return [*rules, ("defaults", self.routing.defaults)]

    def _decided_by(self, field: str, value: object = None) -> str:
        """Return what sets a field first; with ``value``, what sets it to that value first."""
        set_to = ((source, getattr(layer, field)) for source, layer in self._layers())
        named = (source for source, found in set_to if found is not None and value in (None, found))
        return next(named, "built in")

    @property
    def probes(self) -> list[str]:
        """The probes that would run, each with its target, and why one would not."""
        return [
            f"{run.probe} {run.target}{f' (not run: {run.refused})' if run.refused else ''}"
            for run in plan_probes(self.incident)
            if run.probe != CONTROL
        ]

    @property
    def evidence(self) -> str:
        """Whether evidence would be collected from Datadog."""
        if connection_is_configured(DEFAULT_DATADOG_CONN_ID):
            return f"from Datadog, with the connection {DEFAULT_DATADOG_CONN_ID}"
        return f"none: there is no connection {DEFAULT_DATADOG_CONN_ID}"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        route, runbook = self.incident.route, self.incident.link(LinkKind.RUNBOOK)
        return {
            "rules": list(route.matched),
            "dag_id": response_dag(route),
            "channel_name": channel_name(self.incident),
            "private": route.private,
            "responders": [{"name": name, "because_of": source} for name, source in self.responders],
            "probes": self.probes,
            "targets": [str(target) for target in (*self.incident.targets, *route.targets)],
            "evidence": self.evidence,
            "runbook": runbook.url if runbook is not None else None,
        }

    def lines(self) -> Iterator[Line]:
        """Return it for a person."""
        route, runbook = self.incident.route, self.incident.link(LinkKind.RUNBOOK)
        yield Line("How it would be handled")
        yield Line(f"rules: {', '.join(route.matched) or 'none matches'}", indent=2, hanging=2)
        yield Line(f"DAG: {response_dag(route)} ({self._decided_by('dag')})", indent=2, hanging=2)
        private = f"private ({self._decided_by('private', True)})" if route.private else "public"
        room = f"#{channel_name(self.incident)}, {private}; prefix: {self._decided_by('channel_prefix')}"
        yield Line(f"room: {room}", indent=2, hanging=2)
        yield Line("invited:" if self.responders else "invited: nobody", indent=2)
        yield from (Line(f"{name} ({source})", indent=4, hanging=2) for name, source in self.responders)
        yield Line("probes:" if self.probes else "probes: none, because no target is known", indent=2)
        yield from (Line(text, indent=4, hanging=2) for text in self.probes)
        yield Line(f"evidence: {self.evidence}", indent=2, hanging=2)
        if runbook is not None:
            yield Line(f"runbook: {runbook.url}", indent=2, hanging=2)


def _payload(name: str | None) -> dict[str, Any]:
    if name is None:
        return dict(recorded_alert()[str(ConfKey.DATADOG)])
    alerts = parse_body(_bytes(name))
    if len(alerts) > 1:
        raise InvalidPayloadError(
            f"{name} holds {len(alerts)} alerts.",
            fix="The webhook decides on each by itself: explain one at a time.",
        )
    [alert] = alerts
    if isinstance(alert, UnreadableBodyError):
        raise alert
    return alert


def _records(args: Namespace) -> Sequence[IncidentRecord]:
    """Return the incidents that the decision is about: a file's, none, or those of Airflow's registry."""
    if args.no_records:
        return []
    if args.records is not None:
        return _records_of_file(args.records)
    try:
        with connect(args) as airflow:
            return [stored.record for stored in read_all_stored(airflow).values()]
    except SQLAlchemyError as error:
        print_error(
            f"Note: Airflow's database cannot be used ({type(error).__name__}): decided as if no incident existed."
        )
        return []


def _records_of_file(name: str) -> list[IncidentRecord]:
    try:
        return TypeAdapter(list[IncidentRecord]).validate_python(_json("The records", _text(name)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise InvalidPayloadError(f"The records cannot be read: {place}: {first['msg']}.") from None


def _routing(args: Namespace) -> RoutingTable:
    """Return the table of a file, else the one that the webhook uses now."""
    if args.routing_table:
        return load_routing_table(_text(args.routing_table, error=RoutingTableError))
    if args.api_url is not None:
        print_error("Note: the remote routing table cannot be read; name a copy of it with --routing-table.")
    return local_routing()


def _json(what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidPayloadError(f"{what} cannot be read as JSON: {error}.") from None


def _bytes(name: str, error: type[IncidentError] = InvalidPayloadError) -> bytes:
    try:
        return sys.stdin.read().encode() if name == "-" else Path(name).read_bytes()
    except (OSError, UnicodeDecodeError) as failed:
        reason = failed.strerror if isinstance(failed, OSError) else "it is not UTF-8"
        raise error(f"{name} cannot be read: {reason}.") from None


def _text(name: str, error: type[IncidentError] = InvalidPayloadError) -> str:
    try:
        return _bytes(name, error).decode()
    except UnicodeDecodeError:
        raise error(f"{name} cannot be read: it is not UTF-8.") from None
