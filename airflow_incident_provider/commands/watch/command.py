"""``airflow incident watch``: look, show what is new, and again, until the run is over."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from typing import TypeVar

from pydantic import ValidationError

from airflow_incident_provider.airflow_api import AirflowApiError
from airflow_incident_provider.commands.access.airflow import Airflow, Run, Step
from airflow_incident_provider.commands.access.opening import opened
from airflow_incident_provider.commands.output import print_document, print_text
from airflow_incident_provider.commands.running import ExitCode, UsageError, command
from airflow_incident_provider.commands.watch.finding_runs import find_run
from airflow_incident_provider.commands.watch.screens import Progress, Screen, screen_for
from airflow_incident_provider.commands.watch.telling import ENDED, told
from airflow_incident_provider.config import TaskId
from airflow_incident_provider.exceptions import IncidentError
from airflow_incident_provider.messages.plain import plain_text
from airflow_incident_provider.messages.summary import summary_message
from airflow_incident_provider.models import Incident, IncidentSummary, RunOutcome, XComValue

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 30.0
"""How long Airflow's API may not answer, as when its server is restarted, before watching ends."""

Value = TypeVar("Value", bound=XComValue)


@command
def watch(args: Namespace) -> ExitCode:
    """Show a run until it is over."""
    with opened(args) as airflow:
        run = find_run(airflow, args.run, args.dag_id)
        return watch_run(airflow, run.dag_id, run.run_id, timeout=args.timeout, output=args.output)


def watch_run(airflow: Airflow, dag_id: str, run_id: str, *, timeout: float, output: str) -> ExitCode:
    """Show a run until it is over, then its summary; the exit code says whether it failed.

    :param timeout: seconds.
    :raises IncidentError: it is still running then; it goes on running.
    """
    with screen_for(output) as screen:
        run = Watcher(airflow, dag_id, run_id, screen).until_over(timeout)
    summary = value_of(IncidentSummary, airflow, run, TaskId.FINAL_SUMMARY)
    if output in ("json", "yaml"):
        state = {"dag_id": dag_id, "run_id": run_id, "state": run.state}
        print_document({**state, "summary": summary.to_xcom() if summary else None}, output)
    elif summary is not None:
        print_text("\n" + summary_text(summary, value_of(Incident, airflow, run, TaskId.PARSE_INCIDENT)))
    else:
        print_text(f"\nThe run is over ({run.state}), and left no summary.")
    failed = run.state != "success" or (summary is not None and summary.outcome is RunOutcome.FAILED)
    return ExitCode.NOT_WELL if failed else ExitCode.OK


def summary_text(summary: IncidentSummary, incident: Incident | None) -> str:
    """Return the summary as it is in the room, for a terminal."""
    text = "\n\n".join(plain_text(message) for message in summary_message(summary, incident))
    return f"{text}\n{summary.room_url}" if summary.room_url and summary.room_url not in text else text


def value_of(model: type[Value], airflow: Airflow, run: Run, task_id: str) -> Value | None:
    """Return what a step returned, or nothing if it returned nothing that can be read."""
    value = airflow.value(run.dag_id, run.run_id, task_id)
    try:
        return model.model_validate(value) if value is not None else None
    except ValidationError:
        return None


class Watcher:
    """Looks at one run, and shows it.

    :param screen: where.
    """

    def __init__(self, airflow: Airflow, dag_id: str, run_id: str, screen: Screen) -> None:
        self._airflow = airflow
        self._dag_id = dag_id
        self._run_id = run_id
        self._screen = screen
        self._told: dict[tuple[str, int], str] = {}

    def until_over(self, timeout: float) -> Run:
        """Return the run when it is over.

        :param timeout: seconds.
        :raises UsageError: there is no such run.
        :raises IncidentError: it is not over in time, or Airflow does not answer for long.
        """
        deadline = time.monotonic() + timeout
        answered = time.monotonic()
        while True:
            try:
                run = self._look()
                answered = time.monotonic()
            except AirflowApiError as error:
                if error.status is not None or time.monotonic() - answered > PATIENCE_SECONDS:
                    raise
            else:
                if run.is_over:
                    return run
            if time.monotonic() > deadline:
                raise IncidentError(
                    f"The run {self._run_id} is not over after {timeout:.0f} s.",
                    fix=f"It goes on; see it with: airflow incident watch {self._run_id}",
                )
            time.sleep(POLL_SECONDS)

    def _look(self) -> Run:
        run = self._airflow.run(self._dag_id, self._run_id)
        if run is None:
            raise UsageError(f"There is no run {self._run_id} of {self._dag_id}.")
        steps = self._airflow.steps(self._dag_id, self._run_id)
        self._screen.show(run, self._progress(run, steps))
        return run

    def _progress(self, run: Run, steps: Sequence[Step]) -> list[Progress]:
        """Return the steps, those that ended first before the others; what each came to is asked for once."""
        for step in steps:
            if step.state in ENDED and step.name not in self._told:
                self._told[step.name] = told(self._airflow, run, step)
        return [Progress(step, self._told.get(step.name, "")) for step in sorted(steps, key=_order)]


def _order(step: Step) -> tuple[bool, float, bool, float]:
    ended, started = step.ended_at, step.started_at
    return (
        ended is None,
        ended.timestamp() if ended else 0.0,
        started is None,
        started.timestamp() if started else 0.0,
    )
