"""``airflow incident explain``: what the webhook would do with an alert, and why."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from airflow_incident_provider.cli.run import ExitCode, command
from airflow_incident_provider.exceptions import IncidentError, InvalidPayloadError, RoutingTableError
from airflow_incident_provider.intake import RoutingTable, load_routing_table
from airflow_incident_provider.lifecycle.decision import decide
from airflow_incident_provider.lifecycle.explain import as_json, in_words
from airflow_incident_provider.lifecycle.records import IncidentRecord
from airflow_incident_provider.lifecycle.signals import read_signal
from airflow_incident_provider.routing_file import read_routing_table


@command
def explain(args: Namespace) -> ExitCode:
    """Print the decision on a payload, and its reasons."""
    now = datetime.now(UTC)
    routing = _routing(args.routing_table)
    signal = read_signal(_payload(args.payload), received_at=now, routing=routing)
    decision = decide(signal, _records(args.records), routing, now)
    print(json.dumps(as_json(decision), indent=2) if args.output == "json" else in_words(decision))
    return ExitCode.OK


def _payload(name: str) -> dict[str, Any]:
    content = _json("The payload", sys.stdin.read() if name == "-" else _text(name))
    if not isinstance(content, dict):
        raise InvalidPayloadError("The payload is not a JSON object.")
    return content


def _records(name: str | None) -> list[IncidentRecord]:
    if name is None:
        return []
    try:
        return TypeAdapter(list[IncidentRecord]).validate_python(_json("The records", _text(name)))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise InvalidPayloadError(f"The records cannot be read: {place}: {first['msg']}.") from None


def _routing(name: str | None) -> RoutingTable:
    return load_routing_table(_text(name, error=RoutingTableError)) if name else read_routing_table()


def _json(what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidPayloadError(f"{what} cannot be read as JSON: {error}.") from None


def _text(name: str, error: type[IncidentError] = InvalidPayloadError) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as reason:
        raise error(f"{name} cannot be read: {reason}.") from None
