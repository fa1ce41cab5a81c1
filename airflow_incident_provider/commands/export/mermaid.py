"""A workflow as a Mermaid flowchart."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_incident_provider.commands.export.workflow import Step, Workflow

_ENTITIES = str.maketrans({"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "\n": " "})
_PLAIN_RULE = "all_success"


def mermaid(workflow: Workflow) -> str:
    """Return the diagram: a mapped step is a stack; dashed edges lead to what runs whatever became of the rest.

    Source of the syntax: https://mermaid.js.org/syntax/flowchart.html
    """
    return "\n".join(("flowchart LR", *_nodes(workflow), *_edges(workflow)))


def _nodes(workflow: Workflow) -> Iterator[str]:
    for number, step in enumerate(workflow.steps):
        opening, closing = ("[[", "]]") if step.mapped else ("[", "]")
        yield f'    s{number}{opening}"{_label(step)}"{closing}'


def _label(step: Step) -> str:
    lines = [step.id, step.operator, *([f"gives {step.outputs}"] if step.outputs else []), *step.images]
    return "<br/>".join(line.translate(_ENTITIES) for line in lines)


def _edges(workflow: Workflow) -> Iterator[str]:
    numbers = {step.id: number for number, step in enumerate(workflow.steps)}
    for number, step in enumerate(workflow.steps):
        arrow = "-->" if step.trigger_rule == _PLAIN_RULE else "-.->"
        for needed in step.depends:
            yield f"    s{numbers[needed]} {arrow} s{number}"
