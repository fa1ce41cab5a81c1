"""Every check, by area: the order is that of the report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator

from sqlalchemy.exc import SQLAlchemyError

from airflow_incident_provider.commands.check import (
    airflow_settings,
    dags,
    datadog,
    docker,
    routing,
    slack,
    webhook,
)
from airflow_incident_provider.commands.check.results import NotCheckableError, Outcome, Result, Results, wrong
from airflow_incident_provider.commands.check.site import Site
from airflow_incident_provider.exceptions import IncidentError

Check = Callable[[Site], Results]

log = logging.getLogger(__name__)

CHECKS: tuple[tuple[str, str, Check], ...] = (
    ("airflow", "version", airflow_settings.airflow_version),
    ("airflow", "database", airflow_settings.database),
    ("airflow", "components", airflow_settings.components),
    ("airflow", "executor", airflow_settings.executor),
    ("airflow", "idle sleep", airflow_settings.idle_sleep),
    ("airflow", "base URL", airflow_settings.base_url),
    ("airflow", "Fernet key", airflow_settings.fernet_key),
    ("airflow", "[incident]", airflow_settings.own_settings),
    ("dag", "DAG", dags.dag),
    ("dag", "import errors", dags.import_errors),
    ("pool", "pools", dags.pools),
    ("slack", "token", slack.token),
    ("slack", "scopes", slack.scopes),
    ("slack", "rooms", slack.rooms),
    ("clock", "clock", slack.clock),
    ("datadog", "keys", datadog.keys),
    ("datadog", "webhook", datadog.webhook),
    ("webhook", "secret", webhook.secret),
    ("webhook", "reachable", webhook.reachable),
    ("docker", "engine", docker.engine),
    ("docker", "images", docker.images),
    ("docker", "network", docker.network),
    ("docker", "hardened container", docker.hardened),
    ("routing", "table", routing.table),
    ("routing", "people", routing.people),
    ("routing", "probes", routing.probes),
    ("routing", "dags", routing.dags),
    ("routing", "triage channel", routing.triage_channel),
)
"""The area, what the line is called while nothing more exact is known, and the check."""

AREAS = tuple(dict.fromkeys(area for area, _, _ in CHECKS))


def run_checks(site: Site, areas: Collection[str] = AREAS) -> Iterator[tuple[str, Result]]:
    """Yield each line with its area, as it is known. A check that breaks is a line, too, and ends no other."""
    for area, subject, check in CHECKS:
        if area in areas:
            for result in _results(check, site, subject):
                yield area, result


def _results(check: Check, site: Site, subject: str) -> Iterator[Result]:
    try:
        yield from check(site)
    except NotCheckableError as reason:
        yield Result(subject, Outcome.SKIP, f"not checked: {reason}")
    except SQLAlchemyError:
        yield Result(subject, Outcome.SKIP, "not checked: the database does not work")
    except IncidentError as error:
        yield wrong(subject, error.message, error.fix or "See the line before.")
    except Exception as error:
        # Only the class is shown: another library's message may quote a secret.
        log.exception("The check %s could not be made", subject)
        yield wrong(subject, f"it could not be checked: {type(error).__name__}", "See its log with --verbose.")
