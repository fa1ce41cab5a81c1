"""The routing tables: they load, the people and things they name exist, and every severity reaches somebody."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from airflow_incident_provider.cli.checks.context import CheckContext, NotCheckableError, Result, Results, Subject
from airflow_incident_provider.cli.drill import CHANNEL_PREFIX, RULE, TAG
from airflow_incident_provider.cli.installation import DagState
from airflow_incident_provider.cli.output import counted
from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID, DagId, settings
from airflow_incident_provider.exceptions import IncidentError, RoutingTableError
from airflow_incident_provider.intake import RoutingTable
from airflow_incident_provider.intake.policies import Visibility
from airflow_incident_provider.intake.routing_fields import Match
from airflow_incident_provider.intake.routing_table import Rule, Settings
from airflow_incident_provider.models import Resolution, ResolutionOutcome, Severity
from airflow_incident_provider.people.resolver import resolve
from airflow_incident_provider.probes import catalogue
from airflow_incident_provider.routing_file import read_routing_table
from airflow_incident_provider.slack.directory_cache import DirectoryCache
from airflow_incident_provider.slack.people import SlackPeople

SETUP_FILES = "airflow incident setup files --yes"
NEEDS_RESPONDER = (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM)
"""The severities that open a room by default."""

LOOKUP_BUDGET_S = 60.0
"""Seconds for looking up everybody in the table: a person waits for this, not a room."""


@dataclass(frozen=True)
class Table:
    """A routing table in use.

    :param dag_id: the DAG it belongs to; ``None`` for ``[incident] routing_table``.
    :param conn_id: the Slack connection its people are looked up with.
    """

    routing: RoutingTable
    dag_id: str | None = None
    conn_id: str = DEFAULT_SLACK_CONN_ID

    @property
    def layers(self) -> list[Settings]:
        """The defaults and the rules."""
        return [self.routing.defaults, *self.routing.rules]


def table(context: CheckContext, subject: Subject) -> Results:
    """Check that the tables can be read."""
    path = settings().routing_table
    if path is None:
        yield subject.warning(
            "none is configured: only the people that an alert names are invited",
            "Set [incident] routing_table to the path of a file, then install one:",
            SETUP_FILES,
        )
    else:
        yield _readable(subject, path)
    for dag in context.dags:
        if dag.routing_table is not None:
            try:
                read_routing_table(dag.routing_table)
            except RoutingTableError as error:
                yield subject.of(dag.dag_id).failure(error.message, f"Correct routing= in {dag.file}.")


def _readable(subject: Subject, path: str) -> Result:
    try:
        rules = len(read_routing_table().rules)
    except RoutingTableError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return subject.failure(
                error.message, "Correct [incident] routing_table, or install a table there:", SETUP_FILES
            )
        return subject.failure(error.message, f"Correct {path}.")
    return subject.passed(f"{path}: {counted(rules, 'rule')}")


def people(context: CheckContext, subject: Subject) -> Results:
    """Check that Slack finds everybody the tables name; in a private room only by e-mail address or id."""
    for each in _tables(context):
        public = [name for layer in each.layers if not layer.private for name in layer.responders]
        private = [name for layer in each.layers if layer.private for name in layer.responders]
        problems = _unknown(context, subject, each, public, False) + _unknown(context, subject, each, private, True)
        yield from problems
        if not problems:
            names = {*public, *private}
            found = f"all found ({len(names)})" if names else "the table names nobody"
            yield subject.of(each.dag_id).passed(found)


def coverage(context: CheckContext, subject: Subject) -> Results:
    """Check that an incident of every severity that opens a room invites somebody."""
    for each in _tables(context):
        line = subject.of(each.dag_id)
        uncovered = [severity for severity in NEEDS_RESPONDER if not _is_covered(each.routing, severity)]
        if not uncovered:
            yield line.passed("every incident of severity medium or higher invites somebody")
            continue
        yield line.failure(
            f"an incident of severity {' or '.join(uncovered)} that matches no rule invites nobody",
            'Add a default: defaults: {responders: ["@your-oncall-group"]},'
            " or a rule that matches only the severity.",
        )


def _is_covered(routing: RoutingTable, severity: Severity) -> bool:
    """Return whether any incident of this severity has a responder, or triage keeps it out of a room."""
    if routing.defaults.responders:
        return True
    if any(rule.responders and _always_matches(rule.match, severity) for rule in routing.rules):
        return True
    rules = (rule for rule in routing.triage.rules if _always_matches(rule.match, severity))
    return any(rule.presence is not Visibility.ROOM and not rule.transition for rule in rules)


def _always_matches(match: Match, severity: Severity) -> bool:
    """Return whether a match holds for every incident of a severity, whatever else it is."""
    conditions = match.model_dump(exclude={"severity"})
    if any(conditions.values()):
        return False
    severities = list(Severity)
    return match.severity is None or severities.index(severity) <= severities.index(match.severity)


def probes(context: CheckContext, subject: Subject) -> Results:
    """Check that the catalogue has the probes that the tables name."""
    known = {probe.name for probe in catalogue()}
    for each in _tables(context):
        line, named = subject.of(each.dag_id), {probe for layer in each.layers for probe in layer.probes}
        for name in sorted(named - known):
            yield line.failure(f"there is no probe {name}", f"The probes are {', '.join(sorted(known))}.")
        if named <= known:
            yield line.passed("all known")


def dags(context: CheckContext, subject: Subject) -> Results:
    """Check that runs of the DAGs that the table names start, and have the tag that makes them incident DAGs."""
    named = context.routing.dag_ids
    known = {dag.dag_id: dag for dag in context.dags}
    for dag_id in named:
        dag, line = known.get(dag_id), Subject(f"dag: {dag_id}")
        problem = (dag.problem() or dag.unfit()) if dag is not None else None
        if problem is not None:
            found, fix, command = problem
            yield line.failure(found, f"Correct the routing table, or: {fix}", command)
        else:
            yield line.passed("ready")
    if not named:
        yield subject.passed(f"the table names none: {DagId.INCIDENT_RESPONSE} handles every incident")


def drill_rule(context: CheckContext, subject: Subject) -> Result:
    """Check that the rooms of drills can be recognized."""
    rule = next((rule for rule in context.routing.rules if TAG in rule.match.tag), None)
    marked = rule is not None and rule.channel_prefix == CHANNEL_PREFIX and not _hidden_by(context.routing, rule)
    return subject.advised(
        marked,
        "drills get a channel prefix of their own" if marked else "the room of a drill would look like a real one",
        f"Add this as the first of the rules: {json.dumps(RULE)}",
    )


def _hidden_by(routing: RoutingTable, rule: Rule) -> bool:
    """Return whether an earlier rule that matches everything sets another prefix."""
    earlier = routing.rules[: routing.rules.index(rule)]
    return any(each.channel_prefix and _always_matches(each.match, Severity.LOW) for each in earlier)


def triage_channel(context: CheckContext, subject: Subject) -> Result:
    """Check that the app is in the channel that triage posts threads in."""
    wanted = context.routing.triage.channel
    return _channel(context, subject, wanted, "alerts for it open a room instead", "triage.channel")


def announcement_channel(context: CheckContext, subject: Subject) -> Result:
    """Check that the app is in the channel with one line for each incident."""
    return _channel(context, subject, context.routing.announce, "no incident is announced", "announce")


def client_certificates(context: CheckContext, subject: Subject) -> Results:
    """Check that each client certificate of a target is in an Airflow connection."""
    named = {
        target.expect.client_certificate: each
        for each in _tables(context)
        for layer in each.layers
        for target in layer.targets
        if target.expect is not None and target.expect.client_certificate
    }
    for conn_id, each in sorted(named.items()):
        connection = context.connection(conn_id)
        extra = connection.extra_dejson if connection is not None else {}
        has_key = extra.get("private_key") or (connection is not None and connection.password)
        yield (
            Subject(f"client certificate {conn_id}")
            .of(each.dag_id)
            .required(
                bool(extra.get("certificate") and has_key),
                "there is no such connection" if connection is None else "certificate and private_key, as extras",
                f"Put certificate and private_key, in PEM, into the extra of a connection {conn_id}.",
            )
        )
    if not named:
        yield subject.passed("the tables name none")


def _channel(context: CheckContext, subject: Subject, wanted: str | None, costs: str, setting: str) -> Result:
    """Return whether the app is in a channel.

    :raises NotCheckableError: the table names none.
    """
    if wanted is None:
        raise NotCheckableError(f"the table names no {subject.name}")
    client = context.slack()
    try:
        found = client.find_channel(wanted.removeprefix("#")) if wanted.startswith("#") else client.channel(wanted)
    except IncidentError as error:
        return subject.failure(error.message, error.fix or f"Correct {setting} in the routing table.")
    if found is None or found.archived:
        state = "is archived" if found else "does not exist, or the app is not in it"
        return subject.failure(
            f"{wanted} {state}: {costs}",
            f"Create {wanted} and /invite the app there, or correct {setting} in the routing table.",
        )
    return subject.passed(f"#{found.name}")


def _tables(context: CheckContext) -> Iterator[Table]:
    """Yield the platform's table, then those of DAGs; a table that cannot be read has a line of its own."""
    yield Table(context.routing)
    for dag in context.dags:
        if dag.routing_table is None or dag.state is DagState.BROKEN:
            continue
        try:
            routing = read_routing_table(dag.routing_table)
        except RoutingTableError:
            continue
        yield Table(routing, dag.dag_id, next(iter(dag.slack_conn_ids), DEFAULT_SLACK_CONN_ID))


def _unknown(
    context: CheckContext, people: Subject, each: Table, names: Iterable[str], private: bool
) -> list[Result]:
    """Return a line for each name that finds nobody."""
    queries = list(dict.fromkeys(names))
    if not queries:
        return []
    try:
        client = context.slack(each.conn_id)
        cache = DirectoryCache(settings().directory_folder)
        with SlackPeople(client, cache, budget_s=LOOKUP_BUDGET_S) as source:
            source.prefetch(queries)
            found = resolve(queries, source, private=private)
    except IncidentError as error:
        return [people.failure(error.message, error.fix or "Try again: Slack did not answer.")]
    unanswered = (problem for problem in found.problems if not problem.error)
    return [
        *(people.failure(problem.what, problem.fix or "Correct it.") for problem in unanswered),
        *(_line(each, result) for result in found.unresolved),
    ]


def _line(each: Table, found: Resolution) -> Result:
    names = ", ".join(candidate.label for candidate in found.candidates)
    fix = "Correct it in the routing table"
    if found.outcome is ResolutionOutcome.AMBIGUOUS:
        fix = "Use the e-mail address in the routing table"
    reason = found.reason or found.outcome.replace("_", " ")
    subject = Subject(f"people: {found.query}").of(each.dag_id)
    return subject.failure(reason, f"{fix}{f' (candidates: {names})' if names else ''}.")
