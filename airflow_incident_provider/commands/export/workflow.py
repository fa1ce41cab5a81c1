"""A DAG as data: its steps, what each waits for, what runs it, and what it leaves."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pydantic import BaseModel

from airflow_incident_provider.probes import catalogue

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

INVESTIGATOR = "InvestigateInContainerOperator"


class Task(Protocol):
    """What is read of a task: of one in a file, or of a serialized one."""

    task_id: str
    trigger_rule: Any

    @property
    def upstream_task_ids(self) -> set[str]:
        """The tasks that it waits for."""

    @property
    def task_type(self) -> str:
        """The name of its operator's class."""

    @property
    def is_mapped(self) -> bool:
        """Whether it runs once for each item of a list."""


class Step(BaseModel):
    """A task. ``images`` are those that its containers may be made of."""

    id: str
    operator: str
    depends: tuple[str, ...] = ()
    trigger_rule: str
    mapped: bool = False
    outputs: str | None = None
    images: tuple[str, ...] = ()


class Workflow(BaseModel):
    """A DAG, its steps in an order in which they can run."""

    dag_id: str
    description: str | None = None
    steps: tuple[Step, ...]


def workflow_of(dag_id: str, description: str | None, tasks: Sequence[Task]) -> Workflow:
    """Return a DAG as data."""
    steps = {task.task_id: _step(task) for task in tasks}
    return Workflow(
        dag_id=dag_id, description=description, steps=tuple(steps[name] for name in _in_order(steps, tasks))
    )


def _step(task: Task) -> Step:
    return Step(
        id=task.task_id,
        operator=task.task_type,
        depends=tuple(sorted(task.upstream_task_ids)),
        trigger_rule=str(getattr(task.trigger_rule, "value", task.trigger_rule)),
        mapped=bool(task.is_mapped),
        outputs=OUTPUTS.get(task.task_type),
        images=_images(task),
    )


def _images(task: Task) -> tuple[str, ...]:
    """Return the image that the task names; an investigator without one takes those of the catalogue."""
    partial = getattr(task, "partial_kwargs", {})
    named = getattr(task, "image", None) or partial.get("image")
    if isinstance(named, str) and named:
        return (named,)
    if task.task_type == INVESTIGATOR:
        return tuple(sorted({probe.image for probe in catalogue()}))
    return ()


def _in_order(steps: Mapping[str, Step], tasks: Sequence[Task]) -> list[str]:
    """Return the tasks so that each comes after those it waits for; of several, as the file has them."""
    place = {task.task_id: number for number, task in enumerate(tasks)}
    waiting = {name: set(step.depends) for name, step in steps.items()}
    ready = [(place[name], name) for name, depends in waiting.items() if not depends]
    heapq.heapify(ready)
    order = []
    while ready:
        _, done = heapq.heappop(ready)
        order.append(done)
        for name, depends in waiting.items():
            if done in depends:
                depends.remove(done)
                if not depends:
                    heapq.heappush(ready, (place[name], name))
    return order
