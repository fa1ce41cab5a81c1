"""The DAGs: there, unpaused, without import errors, and with pools that exist."""

from __future__ import annotations

from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_incident_provider.commands.check.results import Results, advised, good, wrong
from airflow_incident_provider.commands.check.site import Site
from airflow_incident_provider.commands.parsed_dags import pools_of
from airflow_incident_provider.registry.runs import DagNotReadyError, Runs

FEWEST_SLOTS = 16
"""An incident has about ten tasks, some side by side; two incidents at once should not wait."""


def dag(site: Site) -> Results:
    """Check that runs of the DAG start."""
    with create_session() as session:
        try:
            Runs().ready_dag(session, site.dag_id)
        except DagNotReadyError as error:
            yield wrong(site.dag_id, error.message, error.fix or "")
            return
    yield good(site.dag_id, "there and unpaused")


def import_errors(_: Site) -> Results:
    """Check that no DAG file fails to import."""
    from airflow.models.errors import ParseImportError

    with create_session() as session:
        errors = session.execute(select(ParseImportError.filename, ParseImportError.stacktrace)).all()
    if not errors:
        yield good("import errors", "none")
    for filename, trace in errors:
        last = (trace or "").strip().splitlines()[-1:]
        yield wrong("import errors", f"{filename}: {''.join(last)}", "Mend the file.")


def pools(site: Site) -> Results:
    """Check that every pool that the DAG names exists, and has slots for an incident."""
    from airflow.models.pool import Pool

    with create_session() as session:
        named = pools_of(session, site.dag_id)
        slots = dict(session.execute(select(Pool.pool, Pool.slots)).tuples().all())
    for name in named:
        if name not in slots:
            yield wrong(
                name, "it does not exist: tasks would wait for ever", "Run: airflow incident setup airflow --yes"
            )
        else:
            count = slots[name]
            enough = count < 0 or count >= FEWEST_SLOTS
            yield advised(name, enough, f"{count} slots", f"Give it {FEWEST_SLOTS} or more: airflow pools set.")
