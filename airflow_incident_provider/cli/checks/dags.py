"""The incident DAGs: parsed, unpaused, up to date, and with pools that exist."""

from __future__ import annotations

from pathlib import Path

from airflow.models.errors import ParseImportError
from airflow.models.pool import Pool
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_incident_provider.cli.checks.airflow import MIN_ACTIVE_RUNS
from airflow_incident_provider.cli.checks.context import CheckContext, Result, Results, Subject
from airflow_incident_provider.cli.installation import PARSE_COMMAND, dag_folders, files_to_parse
from airflow_incident_provider.cli.setup.files import edited_files

MIN_SLOTS = 16
"""An incident has about ten tasks, some in parallel; two incidents at once should not wait."""

_MORE_SLOTS = f"Give it {MIN_SLOTS} or more:"


def dag_folder(_: CheckContext, subject: Subject) -> Results:
    """Check that the DAGs folder exists."""
    folders = dag_folders()
    missing = [folder for folder in folders if not folder.is_dir()]
    for folder in missing:
        yield subject.failure(f"{folder} does not exist", "Create it:", f"mkdir -p {folder}")
    if not missing:
        yield subject.passed(", ".join(map(str, folders)))


def dags(context: CheckContext, _: Subject) -> Results:
    """Check that runs of every incident DAG start."""
    for dag in context.dags:
        subject, problem = Subject(dag.dag_id), dag.problem()
        yield subject.failure(*problem) if problem is not None else _limits(subject, dag.max_active_runs)


def _limits(subject: Subject, runs: int | None) -> Result:
    if not runs or runs >= MIN_ACTIVE_RUNS:
        return subject.passed("ready")
    return subject.warning(
        f"max_active_runs = {runs}: in a storm further incidents wait",
        f"Set max_active_runs of the DAG to {MIN_ACTIVE_RUNS} or more.",
    )


def unparsed_files(context: CheckContext, subject: Subject) -> Results:
    """Check that Airflow has parsed every DAG file that uses this package."""
    paths = files_to_parse(context.dags)
    for path in paths:
        yield Subject("unparsed file").warning(f"{path} is not parsed yet", "Parse it now:", PARSE_COMMAND)
    if not paths:
        yield subject.passed("none")


def file_versions(_: CheckContext, subject: Subject) -> Results:
    """Check that the installed DAG files are those of this version."""
    edited = [path for folder in dag_folders() for path in edited_files(folder)]
    for path in edited:
        yield Subject(path.name).warning(
            f"{path} differs from the file of this version",
            "If you did not edit it, replace it; the old file is kept beside it:",
            f"airflow incident setup files --to {path.parent} --replace --yes",
        )
    if not edited:
        yield subject.passed("of this version")


def import_errors(_: CheckContext, subject: Subject) -> Results:
    """Check that no DAG file fails to import."""
    with create_session() as session:
        found = session.execute(select(ParseImportError.filename, ParseImportError.stacktrace)).tuples()
        errors = [(filename or "?", trace) for filename, trace in found]
    if not errors:
        yield subject.passed("none")
    for filename, trace in errors:
        last = "".join((trace or "").strip().splitlines()[-1:])
        yield subject.failure(
            f"{Path(filename).name}: {last}", "Correct the file. Its errors:", "airflow dags list-import-errors"
        )


def pools(context: CheckContext, _: Subject) -> Results:
    """Check that the pools of every incident DAG exist, and have slots for two incidents."""
    with create_session() as session:
        slots = {str(pool): count for pool, count in session.execute(select(Pool.pool, Pool.slots)).tuples()}
    users: dict[str, list[str]] = {}
    for dag in context.dags:
        for pool in dag.pools:
            users.setdefault(pool, []).append(dag.dag_id)
    for pool, dag_ids in sorted(users.items()):
        yield _pool(Subject(pool), ", ".join(dag_ids), slots.get(pool))


def _pool(pool: Subject, dag_ids: str, slots: int | None) -> Result:
    """Return whether a pool has slots enough; ``None`` slots for one that does not exist."""
    command = f"airflow pools set {pool.name} {4 * MIN_SLOTS} 'Incident response'"
    if slots is None:
        return pool.failure(
            f"it does not exist: tasks of {dag_ids} would wait forever",
            "Create it:",
            "airflow incident setup airflow --yes",
        )
    if slots == 0:
        return pool.failure(f"it has no slots: tasks of {dag_ids} would wait forever", _MORE_SLOTS, command)
    return pool.advised(slots < 0 or slots >= MIN_SLOTS, f"{slots} slots", _MORE_SLOTS, command)
