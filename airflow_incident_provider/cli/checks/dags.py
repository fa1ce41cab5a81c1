"""The incident DAGs: parsed, unpaused, up to date, and with pools that exist."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from airflow.models.errors import ParseImportError
from airflow.models.pool import Pool
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_incident_provider.cli.checks.airflow import MIN_ACTIVE_RUNS
from airflow_incident_provider.cli.checks.context import CheckContext
from airflow_incident_provider.cli.checks.result import Result, Results, advised, failure, passed, warning
from airflow_incident_provider.cli.installation import (
    PARSE_COMMAND,
    IncidentDag,
    dag_folders,
    files_to_parse,
)
from airflow_incident_provider.cli.setup.files import edited_files

MIN_SLOTS = 16
"""An incident has about ten tasks, some in parallel; two incidents at once should not wait."""


def dag_folder(_: CheckContext) -> Results:
    """Check that the DAGs folder exists."""
    folders = dag_folders()
    missing = [folder for folder in folders if not folder.is_dir()]
    for folder in missing:
        yield failure("DAGs folder", f"{folder} does not exist", "Create it:", f"mkdir -p {folder}")
    if not missing:
        yield passed("DAGs folder", ", ".join(map(str, folders)))


def dags(context: CheckContext) -> Results:
    """Check that runs of every incident DAG start."""
    for dag in context.dags:
        problem = dag.problem()
        if problem is not None:
            yield failure(dag.dag_id, *problem)
        else:
            yield _limits(dag)


def _limits(dag: IncidentDag) -> Result:
    runs = dag.max_active_runs
    return advised(
        dag.dag_id,
        runs is None or runs >= MIN_ACTIVE_RUNS,
        f"max_active_runs = {runs}: in a storm further incidents wait"
        if runs and runs < MIN_ACTIVE_RUNS
        else "ready",
        f"Set max_active_runs of the DAG to {MIN_ACTIVE_RUNS} or more.",
    )


def unparsed_files(context: CheckContext) -> Results:
    """Check that Airflow has parsed every DAG file that uses this package."""
    paths = files_to_parse(context.dags)
    for path in paths:
        yield warning("unparsed file", f"{path} is not parsed yet", "Parse it now:", PARSE_COMMAND)
    if not paths:
        yield passed("unparsed files", "none")


def file_versions(_: CheckContext) -> Results:
    """Check that the installed DAG files are those of this version."""
    edited = [path for folder in dag_folders() for path in edited_files(folder)]
    for path in edited:
        yield warning(
            path.name,
            f"{path} differs from the file of this version",
            "If you did not edit it, replace it; the old file is kept beside it:",
            f"airflow incident setup files --to {path.parent} --replace --yes",
        )
    if not edited:
        yield passed("DAG files", "of this version")


def import_errors(_: CheckContext) -> Results:
    """Check that no DAG file fails to import."""
    with create_session() as session:
        found = session.execute(select(ParseImportError.filename, ParseImportError.stacktrace)).tuples()
        errors = [(filename or "?", trace) for filename, trace in found]
    if not errors:
        yield passed("import errors", "none")
    for filename, trace in errors:
        last = "".join((trace or "").strip().splitlines()[-1:])
        yield failure(
            "import errors",
            f"{Path(filename).name}: {last}",
            "Correct the file. Its errors:",
            "airflow dags list-import-errors",
        )


def pools(context: CheckContext) -> Results:
    """Check that the pools of every incident DAG exist, and have slots for two incidents."""
    with create_session() as session:
        slots = {str(pool): count for pool, count in session.execute(select(Pool.pool, Pool.slots)).tuples()}
    users: dict[str, list[str]] = {}
    for dag in context.dags:
        for pool in dag.pools:
            users.setdefault(pool, []).append(dag.dag_id)
    for pool, dag_ids in sorted(users.items()):
        yield _pool(pool, dag_ids, slots)


def _pool(pool: str, dag_ids: list[str], slots: Mapping[str, int]) -> Result:
    if pool not in slots:
        return failure(
            pool,
            f"it does not exist: tasks of {', '.join(dag_ids)} would wait forever",
            "Create it:",
            "airflow incident setup airflow --yes",
        )
    count = slots[pool]
    if count == 0:
        return failure(
            pool,
            f"it has no slots: tasks of {', '.join(dag_ids)} would wait forever",
            f"Give it {MIN_SLOTS} or more:",
            f"airflow pools set {pool} {4 * MIN_SLOTS} 'Incident response'",
        )
    return advised(
        pool,
        count < 0 or count >= MIN_SLOTS,
        f"{count} slots",
        f"Give it {MIN_SLOTS} or more:",
        f"airflow pools set {pool} {4 * MIN_SLOTS} 'Incident response'",
    )
