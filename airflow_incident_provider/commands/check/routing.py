"""The routing table: that it loads, and that whom and what it names exists."""

from __future__ import annotations

from collections.abc import Iterable

from airflow.utils.session import create_session

from airflow_incident_provider.commands.check.results import (
    NotCheckableError,
    Result,
    Results,
    doubtful,
    good,
    wrong,
)
from airflow_incident_provider.commands.check.site import Site
from airflow_incident_provider.config import settings
from airflow_incident_provider.exceptions import IncidentError, RoutingTableError
from airflow_incident_provider.intake.routing_table import Settings
from airflow_incident_provider.models import Resolution
from airflow_incident_provider.probes import catalogue
from airflow_incident_provider.registry.runs import DagNotReadyError, Runs
from airflow_incident_provider.routing_file import read_routing_table


def table(_: Site) -> Results:
    """Check that the table can be read and says what it should."""
    path = settings().routing_table
    if path is None:
        yield doubtful(
            "table",
            "none is configured: nobody comes but whom an alert names",
            "Name its file in [incident] routing_table, and run: airflow incident setup files --yes",
        )
        return
    try:
        rules = len(read_routing_table().rules)
    except RoutingTableError as error:
        yield wrong("table", error.message, error.fix or f"Correct {path}.")
        return
    yield good("table", f"{path}: {rules} rules")


def people(site: Site) -> Results:
    """Check that Slack knows everybody whom the table names; in a private room by e-mail address or id."""
    layers: list[Settings] = [site.routing.defaults, *site.routing.rules]
    results = [
        *_unknown(
            site, (name for layer in layers if not layer.private for name in layer.responders), private=False
        ),
        *_unknown(site, (name for layer in layers if layer.private for name in layer.responders), private=True),
    ]
    named = {name for layer in layers for name in layer.responders}
    yield from results
    if not results:
        yield good("people", f"all {len(named)} known" if named else "the table names nobody")


def probes(site: Site) -> Results:
    """Check that the catalogue has the probes that the table names."""
    known = {probe.name for probe in catalogue()}
    layers: list[Settings] = [site.routing.defaults, *site.routing.rules]
    unknown = sorted({probe for layer in layers for probe in layer.probes} - known)
    for name in unknown:
        yield wrong("probes", f"there is no probe {name}", f"There are {', '.join(sorted(known))}.")
    if not unknown:
        yield good("probes", "all known")


def dags(site: Site) -> Results:
    """Check that runs of the DAGs that the table names start."""
    named = site.routing.dag_ids
    for dag_id in named:
        with create_session() as session:
            try:
                Runs().ready_dag(session, dag_id)
            except DagNotReadyError as error:
                yield wrong(f"dag: {dag_id}", error.message, f"{error.fix} Or correct the routing table.")
            else:
                yield good(f"dag: {dag_id}", "there and unpaused")
    if not named:
        yield good("dags", "the table names none")


def triage_channel(site: Site) -> Results:
    """Check that the app is in the channel where what needs no room is told."""
    wanted = site.routing.triage.channel
    if wanted is None:
        raise NotCheckableError("the table names no triage channel")
    slack = site.slack
    try:
        found = slack.find_channel(wanted.removeprefix("#")) if wanted.startswith("#") else slack.channel(wanted)
    except IncidentError as error:
        yield wrong("triage channel", error.message, error.fix or "Correct triage.channel in the routing table.")
        return
    if found is None or found.archived:
        how = "is archived" if found else "is not among the app's channels"
        yield wrong("triage channel", f"{wanted} {how}", f"Make it, and invite the app: /invite @app in {wanted}.")
    else:
        yield good("triage channel", f"#{found.name}")


def _unknown(site: Site, names: Iterable[str], private: bool) -> Iterable[Result]:
    """Return a line for each name that comes to nobody."""
    from airflow_incident_provider.people.resolver import resolve
    from airflow_incident_provider.slack.directory_cache import DirectoryCache
    from airflow_incident_provider.slack.people import SlackPeople

    queries = list(dict.fromkeys(names))
    if not queries:
        return []
    with SlackPeople(site.slack, DirectoryCache(settings().directory_folder)) as source:
        source.prefetch(queries)
        try:
            return [_line(each) for each in resolve(queries, source, private=private).unresolved]
        except IncidentError as error:
            return [wrong("people", error.message, error.fix or "Try again: Slack did not answer.")]


def _line(unresolved: Resolution) -> Result:
    meant = ", ".join(candidate.label for candidate in unresolved.candidates)
    fix = f"Correct it in the routing table{f': perhaps {meant}' if meant else ''}."
    return wrong(f"people: {unresolved.query}", unresolved.reason or unresolved.outcome.replace("_", " "), fix)
