"""``airflow incident export``: a DAG's workflow as JSON, or as a Mermaid diagram."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from airflow.sdk import DAG
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.utils.session import create_session
from pydantic import BaseModel

from airflow_incident_provider.cli.installation import parsed_dag
from airflow_incident_provider.cli.run import ExitCode, UsageError, command
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.probes import catalogue


@command
def export(args: Namespace) -> ExitCode:
    """Print the workflow."""
    workflow = from_file(Path(args.file), args.dag_id) if args.file else from_database(args.dag_id)
    print(mermaid(workflow) if args.format == "mermaid" else workflow.model_dump_json(indent=2))
    return ExitCode.OK


def from_file(path: Path, dag_id: str) -> Workflow:
    """Return the workflow of a DAG in a file, without reading the database.

    :raises UsageError: the file is missing or broken, or has no DAG with this id.
    """
    from airflow.dag_processing.dagbag import DagBag

    if not path.is_file():
        raise UsageError(f"--file {path}: there is no such file.")
    bag = DagBag(str(path), safe_mode=False)
    if bag.import_errors:
        reason = next(iter(bag.import_errors.values())).strip().splitlines()[-1]
        raise UsageError(f"--file {path} cannot be imported: {reason}")
    if dag_id not in bag.dags:
        raise UsageError(f"--file {path} has no DAG {dag_id}.", fix=f"It has: {', '.join(bag.dags) or 'none'}.")
    return _workflow(bag.dags[dag_id])


def from_database(dag_id: str) -> Workflow:
    """Return the workflow of a DAG that Airflow has parsed.

    :raises IncidentError: Airflow has no such DAG.
    """
    with create_session() as session:
        dag = parsed_dag(session, dag_id)
        if dag is None:
            raise IncidentError(f"Airflow has no DAG {dag_id}.", fix="Name its file with --file.")
        return _workflow(dag)


OUTPUTS: Mapping[str, str] = {
    "ParseIncidentOperator": "Incident",
    "SetupSlackOperator": "SlackWorkspace",
    "ResolveSlackUsersOperator": "UserResolution",
    "CreateWarRoomOperator": "WarRoom",
    "PlanInvestigationOperator": "list[ProbeRun]",
    "InvestigateInContainerOperator": "Finding",
    "PostThreadUpdateOperator": "ThreadUpdates",
    "FinalSummaryOperator": "IncidentSummary",
}
"""What each operator pushes to XCom."""


class Step(BaseModel):
    """A task. ``images`` are those its containers may use."""

    id: str
    operator: str
    depends: tuple[str, ...] = ()
    trigger_rule: str
    mapped: bool = False
    outputs: str | None = None
    images: tuple[str, ...] = ()


class Workflow(BaseModel):
    """A DAG, its steps in topological order."""

    dag_id: str
    description: str | None = None
    steps: tuple[Step, ...]


def _workflow(dag: DAG | SerializedDAG) -> Workflow:
    steps = {task.task_id: _step(task) for task in dag.tasks}
    return Workflow(
        dag_id=dag.dag_id, description=dag.description, steps=tuple(steps[name] for name in _in_order(steps))
    )


def _step(task: Any) -> Step:
    return Step(
        id=task.task_id,
        operator=task.task_type,
        depends=tuple(sorted(task.upstream_task_ids)),
        trigger_rule=str(getattr(task.trigger_rule, "value", task.trigger_rule)),
        mapped=bool(task.is_mapped),
        outputs=OUTPUTS.get(task.task_type),
        images=_images(task),
    )


def _images(task: Any) -> tuple[str, ...]:
    """Return the task's image; an investigation without one uses those of the probe catalogue."""
    partial = getattr(task, "partial_kwargs", {})
    named = getattr(task, "image", None) or partial.get("image")
    if isinstance(named, str) and named:
        return (named,)
    if task.task_type == "InvestigateInContainerOperator":
        return tuple(sorted({probe.image for probe in catalogue()}))
    return ()


def _in_order(steps: Mapping[str, Step]) -> list[str]:
    """Return the tasks in topological order, ties in the order of the file."""
    place = list(steps)
    sorter = TopologicalSorter({name: step.depends for name, step in steps.items()})
    sorter.prepare()
    ready: set[str] = set()
    order = []
    while sorter.is_active():
        ready.update(sorter.get_ready())
        first = min(ready, key=place.index)
        ready.remove(first)
        sorter.done(first)
        order.append(first)
    return order


_ENTITIES = str.maketrans({"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "\n": " "})


def mermaid(workflow: Workflow) -> str:
    """Return a flowchart: a mapped step is a stack; dashed edges lead to steps that run whatever the others' state.

    Syntax: https://mermaid.js.org/syntax/flowchart.html
    """
    return "\n".join(("flowchart LR", *_nodes(workflow), *_edges(workflow)))


def _nodes(workflow: Workflow) -> Iterator[str]:
    for number, step in enumerate(workflow.steps):
        opening, closing = ("[[", "]]") if step.mapped else ("[", "]")
        yield f'    s{number}{opening}"{_label(step)}"{closing}'


def _label(step: Step) -> str:
    lines = [step.id, step.operator, *([f"returns {step.outputs}"] if step.outputs else []), *step.images]
    return "<br/>".join(line.translate(_ENTITIES) for line in lines)


def _edges(workflow: Workflow) -> Iterator[str]:
    numbers = {step.id: number for number, step in enumerate(workflow.steps)}
    for number, step in enumerate(workflow.steps):
        arrow = "-->" if step.trigger_rule == "all_success" else "-.->"
        for needed in step.depends:
            yield f"    s{numbers[needed]} {arrow} s{number}"
