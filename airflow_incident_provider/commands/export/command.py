"""``airflow incident export``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from airflow_incident_provider.commands.export.mermaid import mermaid
from airflow_incident_provider.commands.export.workflow import Workflow, workflow_of
from airflow_incident_provider.commands.running import ExitCode, UsageError, command
from airflow_incident_provider.exceptions import IncidentError


@command
def export(args: Namespace) -> ExitCode:
    """Print the workflow."""
    workflow = from_file(Path(args.file), args.dag_id) if args.file else from_database(args.dag_id)
    print(mermaid(workflow) if args.format == "mermaid" else workflow.model_dump_json(indent=2))
    return ExitCode.OK


def from_file(path: Path, dag_id: str) -> Workflow:
    """Return the workflow that a DAG file holds; no database is read.

    :raises UsageError: the file is missing or broken, or holds no DAG of this id.
    """
    from airflow.dag_processing.dagbag import DagBag

    if not path.is_file():
        raise UsageError(f"--file {path}: there is no such file.")
    bag = DagBag(str(path), safe_mode=False)
    if bag.import_errors:
        reason = next(iter(bag.import_errors.values())).strip().splitlines()[-1]
        raise UsageError(f"--file {path} cannot be imported: {reason}")
    if dag_id not in bag.dags:
        raise UsageError(f"--file {path} holds no DAG {dag_id}.", fix=f"It holds: {', '.join(bag.dags) or 'none'}.")
    return _workflow(bag.dags[dag_id])


def from_database(dag_id: str) -> Workflow:
    """Return the workflow as Airflow has it.

    :raises IncidentError: Airflow has no such DAG.
    """
    from airflow.utils.session import create_session

    from airflow_incident_provider.commands.parsed_dags import parsed_dag

    with create_session() as session:
        dag = parsed_dag(session, dag_id)
        if dag is None:
            raise IncidentError(f"Airflow has no DAG {dag_id}.", fix="Name its file with --file.")
        return _workflow(dag)


def _workflow(dag: Any) -> Workflow:
    return workflow_of(dag.dag_id, dag.description, dag.tasks)
