"""A decision as text for people, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_incident_provider.lifecycle.decision import Decision
from airflow_incident_provider.lifecycle.records import IncidentRecord, RunRequest
from airflow_incident_provider.text import one_line


def in_words(decision: Decision) -> str:
    """Return the decision in lines: the outcome, the inputs, the rules in their order, and the consequences."""
    return "\n".join(_clean(line) for line in _lines(decision))


def as_json(decision: Decision) -> dict[str, Any]:
    """Return the decision as JSON, without the confs of its runs: they contain the payload."""
    values = decision.model_dump(mode="json", exclude={"record", "others", "runs"})
    return {
        **values,
        "runs": [run.model_dump(mode="json", exclude={"conf"}) for run in decision.runs],
        "record": decision.record.to_json() if decision.record is not None else None,
        "others": [record.to_json() for record in decision.others],
    }


def _lines(decision: Decision) -> Iterator[str]:
    yield f"{decision.action.upper()} {decision.key or 'no incident'}"
    yield f"  {decision.reason}"
    yield "Decided on"
    width = max(len(name) for name in decision.inputs)
    for name, value in decision.inputs.items():
        yield f"  {name.ljust(width, '.')} {value}"
    yield "Rules, in their order"
    for result in decision.rules:
        yield f"  {result.rule}: {'yes' if result.held else 'no'}, {result.why}"
    yield "Consequences"
    yield from _consequences(decision)


def _clean(line: str) -> str:
    """Return a line without control characters, which would move a terminal's cursor; its indentation is kept."""
    return line[: len(line) - len(line.lstrip(" "))] + one_line(line)


def _consequences(decision: Decision) -> Iterator[str]:
    if decision.record is not None:
        yield f"  {_state(decision.record)}{'' if decision.changed else ' (unchanged)'}"
    for record in decision.others:
        yield f"  also changed: {record.key}: {_state(record)}"
    for run in decision.runs:
        yield f"  start {run.dag_id} as {run.run_id}{_when(run)}"
    if not decision.runs:
        yield f"  {_why_no_run(decision)}"


def _state(record: IncidentRecord) -> str:
    reopened = f", reopened {record.reopened}x" if record.reopened else ""
    return (
        f"incident {record.status}, {record.severity}, shown as {record.visibility};"
        f" {record.firing_count} of {record.alert_count} alert{'s' * (record.alert_count != 1)} firing,"
        f" fired {record.times_fired}x{reopened}"
    )


def _when(run: RunRequest) -> str:
    return f", not before {run.run_after:%Y-%m-%d %H:%M:%S} UTC" if run.run_after is not None else " now"


def _why_no_run(decision: Decision) -> str:
    record = decision.record
    if record is not None and decision.changed and record.pending and record.update_due is not None:
        return f"no run: the update run of {record.update_due:%Y-%m-%d %H:%M:%S} UTC posts it"
    return "no run"
