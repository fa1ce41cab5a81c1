"""``airflow incident trigger``: read an incident from options, a file or answers, and start its run."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import yaml

from airflow_incident_provider.cli.access import Airflow, Started, connect
from airflow_incident_provider.cli.output import Line, is_document, print_document, print_lines, print_text
from airflow_incident_provider.cli.run import ExitCode, UsageError, command, print_error
from airflow_incident_provider.cli.watch import watch_run
from airflow_incident_provider.config import ConfKey, DagId
from airflow_incident_provider.exceptions import InvalidPayloadError
from airflow_incident_provider.intake import RoutingTable, read_incident
from airflow_incident_provider.intake.conf import checked_conf, requests_dry_run
from airflow_incident_provider.intake.datadog import looks_like_datadog
from airflow_incident_provider.intake.lists import split_names, split_people
from airflow_incident_provider.intake.report_fields import require_valid
from airflow_incident_provider.lifecycle.run_requests import response_dag
from airflow_incident_provider.models import Incident, Source
from airflow_incident_provider.routing_file import active_routing_table

MAX_FILE_CHARACTERS = 1_000_000
"""Datadog's largest payloads have some ten thousand characters."""

_TEXT_FIELDS = ("title", "id", "severity", "description", "started_at", "env")
_LIST_FIELDS = ("users", "services", "hosts", "teams", "tags", "targets")

Ask = Callable[[str], str]


@command
def trigger(args: Namespace) -> ExitCode:
    """Start incident response."""
    if args.interactive and args.from_file == "-":
        raise UsageError("--interactive and --from-file - both read standard input.")
    given = read_file(args.from_file) if args.from_file else {}
    # An option overrides the same field of the file.
    conf = {**given, **_from_options(args)}
    if args.interactive:
        conf = ask_for(conf)
    if not conf:
        raise UsageError("There is nothing to report.", fix="Give --title, or --from-file.")
    conf = checked_conf(conf, received_at=datetime.now(UTC))
    incident = _parsed_incident(conf, remote=args.api_url is not None)
    if args.interactive:
        print_lines([*preview(incident, dry_run=requests_dry_run(conf), routed=args.api_url is None)])
        if not confirm("Start incident response?"):
            print_text("Nothing was started.")
            return ExitCode.INTERRUPTED
    dag_id = args.dag_id or response_dag(incident.route)
    with connect(args) as airflow:
        airflow.require_ready(dag_id)
        if args.dag_id is None and args.api_url is not None:
            _note_other_dags(airflow, dag_id)
        started = airflow.start(dag_id, conf, run_id=run_id_of(incident, conf))
        _print_started(airflow, args, dag_id, incident, started)
        if not args.watch:
            return ExitCode.OK
        return watch_run(airflow, dag_id, started.run_id, timeout=args.timeout, output=args.output)


def _note_other_dags(airflow: Airflow, dag_id: str) -> None:
    """Name the teams' DAGs of a remote Airflow: its routing table, which chooses among them, is not read here."""
    others = sorted({*airflow.incident_dag_ids()} - {*DagId})
    if others:
        print_error(f"Note: {dag_id} opens the room. For a team's DAG use --dag-id: {', '.join(others)}.")


def run_id_of(incident: Incident, conf: Mapping[str, Any]) -> str | None:
    """Return the run id that makes triggering twice harmless; ``None`` for an incident without an identity."""
    has_identity = incident.source is not Source.MANUAL or bool(conf.get("id"))
    return incident.key if has_identity else None


def _parsed_incident(conf: Mapping[str, Any], *, remote: bool) -> Incident:
    """Return the incident as Airflow will read it.

    :raises InvalidPayloadError: it cannot be read; the message names the field.
    :raises NotAnIncidentError: it opens no incident.
    """
    try:
        json.dumps(conf)
    except ValueError as error:
        raise UsageError(f"The incident is not valid JSON: {error}.") from None
    routing = RoutingTable() if remote else local_routing()
    incident = read_incident(conf, received_at=datetime.now(UTC), routing=routing)
    for flag in incident.flags:
        print_error(f"Note: {flag.field}: {flag.note}")
    return incident


def local_routing() -> RoutingTable:
    """Return the table that the webhook uses now, and print what is wrong with its file."""
    active = active_routing_table(keep=False)
    if active.problem is not None:
        print_error(f"Note: {active.problem}")
    return active.table


def _print_started(airflow: Airflow, args: Namespace, dag_id: str, incident: Incident, started: Started) -> None:
    if is_document(args.output):
        if not args.watch:
            row = {
                "dag_id": dag_id,
                "run_id": started.run_id,
                "state": "started" if started.new else "known already",
                "key": incident.key,
                "severity": incident.severity.value,
                "title": incident.title,
                "url": airflow.url(dag_id, started.run_id),
            }
            print_document([row], args.output)
        return
    state = "Started" if started.new else "Known already"
    follow = None if args.watch else f"Follow it: airflow incident watch {started.run_id}"
    below = (f"Run {started.run_id} of {dag_id}", airflow.url(dag_id, started.run_id), follow)
    print_lines([Line(f"{state}: {incident.severity} · {incident.title}", hanging=2)])
    print_lines([Line(text) for text in below if text])


# --- the conf, from options and a file -------------------------------------------------------------------


def read_file(name: str) -> dict[str, Any]:
    """Return the fields of a file; a Datadog payload becomes ``{"datadog": ...}``.

    :param name: a path, or ``-`` for standard input.
    :raises UsageError: it cannot be read, is neither JSON nor YAML, or holds no object.
    """
    content = _parsed(_text(name), name)
    if not isinstance(content, dict):
        raise UsageError(
            f"--from-file {name} does not hold an object.", fix='Write fields, such as {"title": ...}.'
        )
    return {str(ConfKey.DATADOG): content} if looks_like_datadog(content) else content


def _text(name: str) -> str:
    try:
        if name == "-":
            text = sys.stdin.read(MAX_FILE_CHARACTERS + 1)
        else:
            with Path(name).open(encoding="utf-8") as file:
                text = file.read(MAX_FILE_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"--from-file {name} cannot be read: {reason}.") from None
    if len(text) > MAX_FILE_CHARACTERS:
        raise UsageError(f"--from-file {name} has more than {MAX_FILE_CHARACTERS:,} characters.")
    return text


def _parsed(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as not_json:
        try:
            return _as_json(yaml.safe_load(text))
        except (yaml.YAMLError, ValueError, RecursionError):
            raise UsageError(f"--from-file {name} is neither JSON nor YAML. As JSON: {not_json}.") from None
    except RecursionError:
        raise UsageError(f"--from-file {name} is nested too deeply.") from None


def _as_json(value: Any) -> Any:
    """Return a YAML value with JSON's types: times become text."""
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def _from_options(args: Namespace) -> dict[str, Any]:
    given = {name: value for name, value in vars(args).items() if value}
    texts = {field: given[field] for field in _TEXT_FIELDS if field in given}
    lists = {field: _split(field, given[field]) for field in _LIST_FIELDS if field in given}
    links = {"links": list(given["links"])} if "links" in given else {}
    flags = {field: True for field in ("private", str(ConfKey.DRY_RUN)) if field in given}
    return {**texts, **lists, **links, **flags}


def _split(field: str, values: Sequence[str]) -> list[str]:
    split = split_people if field == "users" else split_names
    return [part for value in values for part in split(value)]


# --- --interactive ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """A question, and the field of the trigger form that its answer sets."""

    field: str
    text: str
    several: bool = False
    required: bool = False


QUESTIONS = (
    Question("title", "Title", required=True),
    Question("severity", "Severity (critical, high, medium, low)", required=True),
    Question("users", "People to invite: e-mail addresses, @groups, names (comma-separated)", several=True),
    Question("services", "Service", several=True),
    Question("teams", "Team (the routing table matches it)", several=True),
    Question("env", "Environment, such as prod"),
    Question("targets", "Targets to probe: URLs, hosts, host:port", several=True),
    Question("links", "Links to dashboards or runbooks", several=True),
    Question("description", "What is known so far"),
    Question("private", "Private room (yes or no)"),
)


def ask_for(conf: Mapping[str, Any], ask: Ask = input) -> dict[str, Any]:
    """Return ``conf`` with the answers; an empty answer keeps the value that was given.

    :param ask: shows a prompt and returns one line.
    :raises UsageError: standard input is no terminal.
    """
    if ask is input and not sys.stdin.isatty():
        raise UsageError("--interactive asks questions, which needs a terminal.", fix="Use the options, or a file.")
    if ConfKey.DATADOG in conf:
        return dict(conf)
    print_text("Title and severity are required; press Enter to skip the rest. Ctrl-C starts nothing.")
    answers = dict(conf)
    for question in QUESTIONS:
        answer = _answer(question, answers.get(question.field), ask)
        if answer is not None:
            answers[question.field] = answer
    return answers


def confirm(question: str, ask: Ask = input) -> bool:
    """Return whether the answer is yes; an empty answer is no."""
    return ask(f"{question} [y/N] ").strip().casefold() in ("y", "yes")


def _answer(question: Question, given: Any, ask: Ask) -> Any:
    """Ask until the answer is valid; return ``None`` if it is empty."""
    while True:
        answer = ask(f"{question.text}{_default(given)}: ").strip() or given
        if not answer and not question.required:
            return None
        try:
            if not answer:
                raise InvalidPayloadError(f"A {question.field} is required.")
            require_valid({question.field: answer}, received_at=datetime.now(UTC))
        except InvalidPayloadError as error:
            print_text(f"  {error}")
            given = None if answer == given else given
            continue
        return _split(question.field, [answer]) if question.several and isinstance(answer, str) else answer


def _default(given: Any) -> str:
    if given in (None, "", []):
        return ""
    return f" [{', '.join(map(str, given)) if isinstance(given, list) else given}]"


def preview(incident: Incident, *, dry_run: bool, routed: bool) -> Iterator[Line]:
    """Return the incident as a person checks it before it is opened.

    :param dry_run: whether nothing will be posted.
    :param routed: whether the routing table was read, so that the list of people is complete.
    """
    route = incident.route
    facts = {
        "Title": incident.title,
        "Severity": incident.severity,
        "Started": f"{incident.occurred_at:%Y-%m-%d %H:%M:%S} UTC",
        "Description": incident.description,
        "Service": ", ".join(incident.services),
        "Host": ", ".join(incident.hosts),
        "Environment": incident.env,
        "Team": ", ".join(incident.teams),
        "People": ", ".join(incident.responders) + ("" if routed else " (and those of the remote routing table)"),
        "To probe": ", ".join(str(target) for target in (*incident.targets, *route.targets)),
        "Links": ", ".join(link.url for link in incident.links),
        "Room": ("private" if route.private else "public") + (" (dry run: not opened)" if dry_run else ""),
    }
    notes = (("Note", f"{flag.field}: {flag.note}") for flag in incident.flags)
    for name, value in (*facts.items(), *notes):
        if value:
            yield Line(f"{name}: {value}", indent=2, hanging=4)
