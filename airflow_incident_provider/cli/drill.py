"""``airflow incident drill``: send a recorded alert through the whole workflow, and score the result."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from airflow_incident_provider.cli.access import Airflow, connect
from airflow_incident_provider.cli.airflow_api import AirflowApi
from airflow_incident_provider.cli.output import (
    Column,
    counted,
    is_document,
    print_document,
    print_rows,
    print_text,
)
from airflow_incident_provider.cli.remote_airflow import RemoteAirflow
from airflow_incident_provider.cli.run import ExitCode, UsageError, command, print_error
from airflow_incident_provider.cli.setup.files import packaged_dags
from airflow_incident_provider.cli.trigger import read_file, run_id_of
from airflow_incident_provider.cli.view import IncidentView, read_incident_view
from airflow_incident_provider.cli.watch import follow_run
from airflow_incident_provider.config import ConfKey, DagId
from airflow_incident_provider.evidence.model import ApiCall, CallOutcome
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.intake import RoutingTable, read_incident
from airflow_incident_provider.intake.conf import checked_conf
from airflow_incident_provider.intake.datadog.text import read_title
from airflow_incident_provider.intake.values import is_unset
from airflow_incident_provider.lifecycle.run_requests import response_dag
from airflow_incident_provider.messages.mrkdwn import duration
from airflow_incident_provider.models import Finding, Incident, IncidentSummary, Verdict, WarRoom
from airflow_incident_provider.routing_file import read_routing_table

MARK = "DRILL"
TAG = "drill:true"
CHANNEL_PREFIX = "drill"

RULE = {"name": "drill", "match": {"tag": TAG}, "channel_prefix": CHANNEL_PREFIX}
"""The routing rule that gives the channel of a drill its prefix. It has to come before other prefixes."""

ADD_RULE = f"Add this as the first of the rules: {json.dumps(RULE)}"

REHEARSAL_GROUP = "airflow_incident_provider.rehearsal"
"""The entry point group of :class:`Rehearsal`: ``--sandbox`` uses the installed one."""

_COULD_NOT_RUN = (Verdict.UNKNOWN, Verdict.SKIPPED)
# A rejection is an answer: nobody else's Datadog knows the monitor of a recorded alert.
_ANSWERED = (CallOutcome.ANSWERED, CallOutcome.PARTIAL, CallOutcome.REJECTED)


class Rehearsal(Protocol):
    """Starts an Airflow of its own, with stand-ins for Slack and Datadog, for the length of a ``with`` block."""

    def story_alert(self, name: str) -> Mapping[str, Any]:
        """Return the Datadog payload of a story's alert.

        :raises ValueError: there is no such story.
        """

    def __call__(
        self,
        *,
        home: Path,
        dags: Path,
        dag_id: str,
        rules: Sequence[Mapping[str, Any]],
        progress: Callable[[str], None],
        story: str | None = None,
    ) -> AbstractContextManager[AirflowApi]:
        """Return the context manager; it yields a client of the Airflow once the DAG can run.

        :param home: the folder for everything that is written.
        :param dags: the folder of the DAG files.
        :param rules: routing rules that go before its own.
        :param progress: called with one line at every step of the start and the stop.
        :param story: the story that the sandbox's Datadog plays.
        """


@command
def drill(args: Namespace) -> ExitCode:
    """Rehearse; return ``FAILED`` if a goal was missed."""
    payload = _alert(args)
    conf = checked_conf(as_drill(payload), received_at=datetime.now(UTC))
    with _connect(args) as airflow:
        incident, dag_id = _drill_incident(conf, args)
        airflow.require_ready(dag_id)
        started = airflow.start(dag_id, conf, run_id=run_id_of(incident, conf))
        run = follow_run(airflow, dag_id, started.run_id, timeout=args.timeout, output=args.output)
        goals = score(read_incident_view(airflow, run), room_within_s=args.room_within)
    _print_score(goals, started.run_id, args.output)
    return ExitCode.OK if all(goal.met for goal in goals) else ExitCode.FAILED


def _alert(args: Namespace) -> Mapping[str, Any]:
    """Return the conf to rehearse with.

    :raises UsageError: the options do not go together, or there is no such story.
    """
    if args.story is None:
        return read_file(args.from_file) if args.from_file else recorded_alert()
    if args.from_file or not args.sandbox:
        raise UsageError(
            "--story plays on this machine, with its own alert.", fix="Add --sandbox; drop --from-file."
        )
    try:
        return {str(ConfKey.DATADOG): _installed_rehearsal().story_alert(args.story)}
    except ValueError as error:
        raise UsageError(f"--story: {error}.") from None


@contextmanager
def _connect(args: Namespace) -> Iterator[Airflow]:
    if not args.sandbox:
        with connect(args) as airflow:
            yield airflow
        return
    if args.api_url is not None:
        raise UsageError("--sandbox starts an Airflow of its own, and --api-url names another.")
    with packaged_dags() as packaged:
        dags = Path(args.dags).resolve() if args.dags else packaged
        if not (dags / f"{DagId.INCIDENT_RESPONSE}.py").is_file():
            raise UsageError(f"{dags} has no {DagId.INCIDENT_RESPONSE}.py.", fix="Name its folder with --dags.")
        rehearsal = _installed_rehearsal()(
            home=Path(args.home).resolve(),
            dags=dags,
            dag_id=args.dag_id or DagId.INCIDENT_RESPONSE,
            rules=[RULE],
            progress=print_error,
            story=args.story,
        )
        with rehearsal as api:
            yield RemoteAirflow(api)


def _installed_rehearsal() -> Rehearsal:
    """Return the rehearsal of another distribution.

    :raises IncidentError: none is installed, or it lacks packages.
    """
    install = "pip install 'airflow-incident-provider[demo]'"
    for entry_point in entry_points(group=REHEARSAL_GROUP):
        try:
            rehearsal: Rehearsal = entry_point.load()
        except ModuleNotFoundError as error:
            raise IncidentError(
                f"--sandbox needs packages that are not installed: {error.name}.",
                fix=f"Install them with: {install}",
            ) from error
        return rehearsal
    raise IncidentError("--sandbox is in a distribution of its own.", fix=f"Install it with: {install}")


def _drill_incident(conf: Mapping[str, Any], args: Namespace) -> tuple[Incident, str]:
    """Return the incident, if its room will be recognizable as a drill, and the DAG that handles it.

    :raises UsageError: the local routing table does not give drills their channel prefix.
    """
    now = datetime.now(UTC)
    if args.api_url is not None or args.sandbox:
        if args.api_url is not None:
            print_error(f"Note: the routing table of {args.api_url} cannot be read from here. {ADD_RULE}")
        incident = read_incident(conf, received_at=now, routing=RoutingTable())
        return incident, args.dag_id or DagId.INCIDENT_RESPONSE
    routed = read_incident(conf, received_at=now, routing=read_routing_table())
    dag_id = args.dag_id or response_dag(routed.route)
    table, where = _table_of(dag_id)
    incident = read_incident(conf, received_at=now, routing=table)
    if incident.route.channel_prefix != CHANNEL_PREFIX:
        raise UsageError(f"{where} does not mark the rooms of drills.", fix=ADD_RULE)
    return incident, dag_id


def _table_of(dag_id: str) -> tuple[RoutingTable, str]:
    """Return the routing table that a DAG's first step uses, and what it is called."""
    # Loads Airflow's models, which a remote drill does not need.
    from airflow_incident_provider.cli.installation import incident_dags

    [dag] = incident_dags([dag_id])
    if dag.routing_table is None:
        return read_routing_table(), "The routing table"
    return read_routing_table(dag.routing_table), f"The routing table of {dag_id}"


def _print_score(goals: Sequence[Goal], run_id: str, output: str) -> None:
    met = sum(goal.met for goal in goals)
    rows = [{"goal": goal.name, "met": goal.met, "seen": goal.seen} for goal in goals]
    if is_document(output):
        print_document({"run_id": run_id, "met": met, "of": len(goals), "goals": rows}, output)
        return
    print_rows(rows, (Column("goal"), Column("met"), Column("seen", flexible=True)), output)
    print_text(f"Score: {met} of {len(goals)}")


# --- the alert -------------------------------------------------------------------------------------------


def recorded_alert() -> dict[str, Any]:
    """Return the conf of a recorded Datadog alert."""
    text = files(__package__).joinpath("recorded_alert.json").read_text(encoding="utf-8")
    return {str(ConfKey.DATADOG): json.loads(text)}


def as_drill(conf: Mapping[str, Any], *, now_ns: int | None = None) -> dict[str, Any]:
    """Return a conf marked as a drill: its title, its tags, and an identity that no real incident has.

    :param now_ns: nanoseconds since the epoch; the same value gives the same drill.
    :raises UsageError: the Datadog payload is not an object.
    """
    stamp = now_ns if now_ns is not None else time.time_ns()
    if ConfKey.DATADOG in conf:
        payload = conf[ConfKey.DATADOG]
        if not isinstance(payload, Mapping):
            raise UsageError("The Datadog payload is not an object.")
        return {**conf, str(ConfKey.DATADOG): _marked_payload(payload, stamp)}
    tags = conf.get("tags") or []
    listed = tags.split(",") if isinstance(tags, str) else list(tags)
    title = _marked_title(str(conf.get("title") or ""))
    return {**conf, "title": title, "tags": [*listed, TAG], "id": f"drill-{stamp}"}


def _marked_payload(payload: Mapping[str, Any], stamp: int) -> dict[str, Any]:
    """Return a Datadog payload as another alert, or incident, that has just begun."""
    now_ms = str(stamp // 1_000_000)
    marked = {
        **payload,
        "title": _marked_title(str(payload.get("title") or "")),
        "tags": ",".join(filter(None, (str(payload.get("tags") or ""), TAG))),
        "id": f"drill-{stamp}",
        "date": now_ms,
        "last_updated": now_ms,
    }
    alert, incident = payload.get("alert"), payload.get("incident")
    if isinstance(alert, Mapping):
        title = {"title": _marked_title(str(alert["title"]))} if alert.get("title") else {}
        marked["alert"] = {**alert, **title, "id": f"drill-{alert.get('id') or 0}", "cycle_key": str(stamp)}
    if isinstance(incident, Mapping) and not is_unset(incident.get("public_id") or incident.get("uuid")):
        marked["incident"] = _marked_incident(incident, stamp)
    return marked


def _marked_incident(incident: Mapping[str, Any], stamp: int) -> dict[str, Any]:
    return {
        **incident,
        "title": _marked_title(str(incident.get("title") or "")),
        "public_id": f"drill-{stamp}",
        "uuid": None,
        # The channel of the real incident: nobody there must see a drill.
        "integrations": None,
    }


def _marked_title(text: str) -> str:
    """Return a title with the mark before the monitor's name, after Datadog's own prefixes."""
    name = read_title(text).name
    return f"{text.strip().removesuffix(name)}{MARK} {name}".strip()


# --- the score -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goal:
    """A goal of the rehearsal, whether it was met, and what was seen."""

    name: str
    met: bool
    seen: str


def score(view: IncidentView, *, room_within_s: float) -> list[Goal]:
    """Return the goals.

    :param room_within_s: seconds until the room should exist.
    """
    room, problem = view.room, view.no_room
    to_room = view.summary.time_to_room_ms if view.summary is not None else None
    in_time = to_room is not None and to_room <= room_within_s * 1000
    goals = [
        Goal(
            "a room",
            room is not None and room.channel_id is not None,
            f"#{view.channel_name}" if problem is None else problem.what,
        ),
        Goal(f"room within {room_within_s:g} s", in_time, _time(view.summary)),
        Goal(
            "room marked as a drill",
            room is not None and room.channel_name.startswith(f"{CHANNEL_PREFIX}-"),
            room.channel_name if room else "no room",
        ),
        _goal("everybody invited", *_people(room)),
        _goal("every probe ran", *_probes(view.findings)),
        _goal("no problems", *_problems(view.summary)),
    ]
    calls = view.evidence.calls if view.evidence is not None else ()
    # What Datadog does not know about the service of a recorded alert is no failure; what it did not answer is.
    return [*goals, _goal("Datadog answered", *_calls(calls))] if calls else goals


def _goal(name: str, missing: Sequence[str], otherwise: str) -> Goal:
    """Return a goal that is met if nothing is missing."""
    return Goal(name, not missing, "; ".join(missing) or otherwise)


def _time(summary: IncidentSummary | None) -> str:
    if summary is None or summary.time_to_room_ms is None:
        return "unknown"
    parts = [f"room after {duration(summary.time_to_room_ms)}"]
    if summary.time_to_first_evidence_ms is not None:
        parts.append(f"first evidence after {duration(summary.time_to_first_evidence_ms)}")
    if summary.total_ms is not None:
        parts.append(f"summary after {duration(summary.total_ms)}")
    return ", ".join(parts)


def _people(room: WarRoom | None) -> tuple[list[str], str]:
    if room is None:
        return ["nobody"], ""
    missing = [f"{each.query}: {each.reason}" for each in room.not_invited]
    return missing, counted(len(room.invited), "person", "people")


def _probes(findings: Sequence[Finding]) -> tuple[list[str], str]:
    not_run = [finding for finding in findings if finding.verdict in _COULD_NOT_RUN]
    missing = [f"{finding.probe} {finding.target}: {finding.summary}" for finding in not_run]
    return missing if findings else ["none ran"], counted(len(findings), "probe")


def _calls(calls: Sequence[ApiCall]) -> tuple[list[str], str]:
    unanswered = (call for call in calls if call.outcome not in _ANSWERED)
    missing = dict.fromkeys(f"{call.endpoint}: {call.reason or call.outcome}" for call in unanswered)
    return [*missing], counted(len(calls), "call")


def _problems(summary: IncidentSummary | None) -> tuple[list[str], str]:
    if summary is None:
        return ["there is no summary"], ""
    return [f"{problem.what} {problem.error or ''}".strip() for problem in summary.problems], "none"
