"""
Generate the Mermaid sources of the documentation's diagrams from the code.

Usage: python docs/draw_diagrams.py   (or: make diagrams; writes docs/diagrams/*.mmd)

A test compares each file with the output of this script, so that no diagram is outdated.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from airflow_incident_provider.cli.export import OUTPUTS, Workflow, from_file, mermaid

ROOT = Path(__file__).resolve().parents[1]
DAGS = ROOT / "dags"
DIAGRAMS = ROOT / "docs" / "diagrams"
PACKAGE = "airflow_incident_provider"

LAYERS: Mapping[str, tuple[str, ...]] = {
    "Entry points": ("plugins", "notifications", "cli"),
    "Airflow": ("operators", "room"),
    "Input and output": ("slack", "datadog", "registry", "events"),
    "Domain: no Airflow, no I/O": (
        "messages",
        "interaction",
        "lifecycle",
        "people",
        "probes",
        "evidence",
        "intake",
        "models",
    ),
}
"""The packages, as grouped in the architecture page."""

VALUES = {given: re.sub(r"list\[(\w+)\]", r"\1", given) for given in OUTPUTS.values()}
"""The model of each step's value, alone or in a list."""


def incident_response() -> str:
    """Return the workflow of the first minutes, as ``airflow incident export`` prints it."""
    return mermaid(_workflow("incident_response"))


def incident_update() -> str:
    """Return the workflow after the first minutes, as ``airflow incident export`` prints it."""
    return mermaid(_workflow("incident_update"))


def architecture() -> str:
    """Return which package imports which; an arrow that follows from other arrows is omitted."""
    imports = _imports()
    named = {name for layer in LAYERS.values() for name in layer}
    lines = ["flowchart TB"]
    for number, (title, names) in enumerate(LAYERS.items()):
        lines.append(f'    subgraph layer{number}["{title}"]')
        lines.extend(f"        {name}" for name in names)
        lines.append("    end")
    for name in sorted(named):
        lines.extend(f"    {name} --> {other}" for other in sorted(_direct(imports, name, named)))
    return "\n".join(lines)


def system() -> str:
    """Return the processes and the connections between them, with the names that the code uses."""
    from airflow_incident_provider.config import DEFAULT_DATADOG_CONN_ID as DATADOG
    from airflow_incident_provider.config import DEFAULT_SLACK_CONN_ID as SLACK
    from airflow_incident_provider.config import DEFAULT_WEBHOOK_CONN_ID as WEBHOOK
    from airflow_incident_provider.config import DagId
    from airflow_incident_provider.plugins.api.plugin import URL_PREFIX

    return "\n".join(
        (
            "flowchart TB",
            "    datadog([Datadog])",
            "    people([people and scripts])",
            "    slack([Slack])",
            '    subgraph airflow["Airflow"]',
            f'        server["API server<br/>webhook under {URL_PREFIX}<br/>incidents page"]',
            '        database[("database<br/>runs, XCom, registry")]',
            f'        worker["workers<br/>{DagId.INCIDENT_RESPONSE}<br/>{DagId.INCIDENT_UPDATE}"]',
            "    end",
            '    engine["Docker Engine<br/>probes, locked down"]',
            '    targets(["what the alert is about"])',
            f"    datadog -->|alert, secret of {WEBHOOK}| server",
            "    people -->|form, REST API, commands| server",
            "    server --> database",
            "    worker -->|Airflow's task API| server",
            f"    worker -->|token of {SLACK}| slack",
            f"    worker -->|keys of {DATADOG}, if any| datadog",
            "    worker --> engine",
            "    engine -->|names, ports, TLS, HTTP, gRPC| targets",
        )
    )


def data_flow() -> str:
    """Return which step reads which step's value, from the models in each operator's module."""
    workflow = _workflow("incident_response")
    giver = {step.outputs: step.id for step in workflow.steps if step.outputs}
    lines = ["flowchart TB", '    payload(["payload or form"]) --> parse_incident_event']
    for step in workflow.steps:
        returned = f"<br/>returns {_label(step.outputs)}" if step.outputs else ""
        lines.append(f'    {step.id}["{step.id}{returned}"]')
        read = sorted(_values_read_by(step.operator) - {step.outputs})
        lines.extend(f"    {giver[value]} --> {step.id}" for value in read if value in giver)
    return "\n".join(lines)


def container() -> str:
    """Return the sequence of one probe, with the limits that the code requests from the engine."""
    asked = _what_the_engine_is_asked_for()
    limits, spec = asked["host_config"], asked
    seconds = asked["timeout_s"]
    bounds = (
        f"user {spec['user']}, read-only root, capabilities {' '.join(limits['cap_drop'])} dropped,<br/>"
        f"{', '.join(limits['security_opt'])},<br/>"
        f"memory {limits['mem_limit']}, {limits['nano_cpus'] / 1e9:g} CPU, {limits['pids_limit']} processes, "
        f"no mounts,<br/>network {limits['network_mode']}"
    )
    return "\n".join(
        (
            "sequenceDiagram",
            "    participant T as investigate (task)",
            "    participant E as Docker Engine, or the proxy before it",
            "    participant C as container",
            "    participant X as XCom",
            "    Note over T: target checked by plan_investigation,<br/>and again in the container",
            "    T->>E: inspect the image",
            f"    T->>E: create: {bounds}",
            "    T->>E: start",
            "    E->>C: the probe's script, with the target in its environment",
            f"    C-->>E: facts and evidence, ended from inside after {seconds['inside']} s",
            f"    T->>E: wait, {seconds['outside']} s at the most, then kill",
            f"    T->>E: read the output, {seconds['bytes'] // 1024} KiB at the most",
            "    T->>E: remove the container, whatever happened",
            "    T->>E: remove what earlier attempts left, by its label",
            "    T->>X: Finding: verdict, facts, evidence without secrets",
        )
    )


DRAWN: Mapping[str, Callable[[], str]] = {
    "incident_response": incident_response,
    "incident_update": incident_update,
    "system": system,
    "architecture": architecture,
    "data_flow": data_flow,
    "container": container,
}
"""Every diagram, by the name of its file."""


def _workflow(dag_id: str) -> Workflow:
    return from_file(DAGS / f"{dag_id}.py", dag_id)


def _imports() -> dict[str, set[str]]:
    """Return the packages that each package imports."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / PACKAGE).rglob("*.py"):
        owner = path.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")
        names = {name for name in _imported(path) if name != owner}
        found.setdefault(owner, set()).update(names)
    return found


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}."):
            yield str(node.module).split(".")[1]


def _direct(imports: Mapping[str, set[str]], name: str, named: set[str]) -> set[str]:
    """Return the imports of a package that do not follow from its other imports."""
    direct = imports.get(name, set()) & named
    return {one for one in direct if not any(one in _reached(imports, other) for other in direct - {one})}


def _reached(imports: Mapping[str, set[str]], name: str) -> set[str]:
    reached: set[str] = set()
    waiting = set(imports.get(name, set()))
    while waiting:
        one = waiting.pop()
        if one not in reached:
            reached.add(one)
            waiting |= imports.get(one, set())
    return reached


def _values_read_by(operator: str) -> set[str]:
    """Return the step values that an operator reads: those that its module names, or all, with a snapshot."""
    from airflow_incident_provider import operators

    source = (ROOT / PACKAGE / "operators" / f"{operators.MODULES[operator]}.py").read_text(encoding="utf-8")
    return {
        value
        for value, model in VALUES.items()
        if "snapshot_of_run(" in source
        or re.search(rf"(read_value\(\s*{model}\b|{model}\.model_validate\()", source)
    }


def _label(value: str) -> str:
    return value.replace("[", "#91;").replace("]", "#93;")


def _what_the_engine_is_asked_for() -> dict[str, Any]:
    """Return the arguments with which a probe's container is created, using a mocked engine."""
    from docker import APIClient

    from airflow_incident_provider.containers import LockedDownContainer, probe_container
    from airflow_incident_provider.models import ProbeRun, Target
    from airflow_incident_provider.probes import MAX_OUTPUT_BYTES, get_probe

    probe = get_probe("http")
    run = ProbeRun(probe=probe.name, target=Target(url="https://checkout.example.com/"))
    spec = probe_container(run, owner="task", network="bridge")
    engine = MagicMock(spec=APIClient)
    engine.create_host_config.side_effect = lambda **limits: limits
    engine.wait.return_value = {"StatusCode": 0}
    engine.logs.return_value = ()
    engine.inspect_container.return_value = {"State": {}}
    LockedDownContainer(engine, spec, host="worker-1").run()
    asked = dict(engine.create_container.call_args.kwargs)
    return {
        **asked,
        "timeout_s": {"inside": probe.timeout_s, "outside": spec.timeout_s, "bytes": MAX_OUTPUT_BYTES},
    }


def main() -> None:
    """Write all sources."""
    DIAGRAMS.mkdir(exist_ok=True)
    for name, draw in DRAWN.items():
        (DIAGRAMS / f"{name}.mmd").write_text(draw() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
