"""``airflow incident watch``: show a run's steps as they finish, then the outcome of the incident."""

from __future__ import annotations

import sys
from abc import abstractmethod
from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import IO, Self

from pydantic import TypeAdapter, ValidationError

from airflow_incident_provider.cli.access import NEVER, Airflow, Run, Step, connect, find_run, wait_for_run
from airflow_incident_provider.cli.output import counted, is_document, print_document, print_lines
from airflow_incident_provider.cli.run import ExitCode, command
from airflow_incident_provider.cli.show import report
from airflow_incident_provider.cli.view import read_incident_view, read_problem
from airflow_incident_provider.config import TaskId
from airflow_incident_provider.messages.mrkdwn import between, duration
from airflow_incident_provider.models import (
    Finding,
    Incident,
    IncidentSummary,
    Mode,
    SlackWorkspace,
    ThreadUpdates,
    UserResolution,
    Verdict,
    WarRoom,
)
from airflow_incident_provider.text import one_line, shorten

FINAL_TASK_STATES = frozenset({"success", "failed", "skipped", "upstream_failed"})
LONGEST_RESULT = 160

_STATE_STYLES = {"failed": "bold red", "upstream_failed": "red", "skipped": "dim", "running": "cyan"}
_VERDICT_STYLES = {
    Verdict.FAIL: "bold red",
    Verdict.WARN: "yellow",
    Verdict.UNKNOWN: "magenta",
    Verdict.OK: "green",
}


@command
def watch(args: Namespace) -> ExitCode:
    """Show a run until it is finished."""
    with connect(args) as airflow:
        run = find_run(airflow, args.run, args.dag_id)
        return watch_run(airflow, run.dag_id, run.run_id, timeout=args.timeout, output=args.output)


def watch_run(airflow: Airflow, dag_id: str, run_id: str, *, timeout: float, output: str) -> ExitCode:
    """Show a run until it is finished, then the incident.

    :param timeout: seconds.
    :returns: ``FAILED`` if the run failed, or left no room where there should be one.
    :raises IncidentError: the run is still running then; it keeps running.
    """
    run = follow_run(airflow, dag_id, run_id, timeout=timeout, output=output)
    view = read_incident_view(airflow, run)
    if is_document(output):
        no_room, summary = view.no_room, view.summary
        document = {
            "dag_id": dag_id,
            "run_id": run_id,
            "state": run.state,
            "no_room": no_room.what if no_room else None,
            "url": view.run_url,
            "summary": summary.to_xcom() if summary else None,
        }
        print_document(document, output)
    else:
        print_lines([*report(view)])
    return ExitCode.FAILED if view.went_wrong else ExitCode.OK


def follow_run(airflow: Airflow, dag_id: str, run_id: str, *, timeout: float, output: str) -> Run:
    """Show a run until it is finished, and return it; the parameters are those of :func:`watch_run`."""
    with screen_for(output) as screen:
        return wait_for_run(
            airflow,
            dag_id,
            run_id,
            timeout=timeout,
            fix=f"It keeps running; see it with: airflow incident watch {run_id}",
            on_poll=partial(screen.update, airflow),
        )


@dataclass(frozen=True)
class StepProgress:
    """A step with its result, once it has finished."""

    step: Step
    result: str
    style: str = ""

    @property
    def name(self) -> str:
        """The task, and which of its instances."""
        return one_line(f"{self.step.task_id} {self.step.label or ''}")

    @property
    def duration(self) -> str:
        """How long it took, once it has finished."""
        if self.step.started_at is None or self.step.ended_at is None:
            return ""
        return duration(max(0, between(self.step.started_at, self.step.ended_at)))


class Screen(AbstractContextManager["Screen"]):
    """Shows the progress of a run."""

    def __init__(self) -> None:
        self._results: dict[tuple[str, int], tuple[str, str]] = {}

    def __exit__(self, *_: object) -> None:
        """End; what was shown stays."""

    def update(self, airflow: Airflow, run: Run) -> None:
        """Read the steps, and show them in the order in which they finished; each result is read once."""
        steps = airflow.steps(run.dag_id, run.run_id)
        for step in steps:
            if step.state in FINAL_TASK_STATES and step.name not in self._results:
                self._results[step.name] = describe_step(airflow, run, step)
        in_order = sorted(steps, key=lambda step: (step.ended_at or NEVER, step.started_at or NEVER))
        self.show(run, [StepProgress(step, *self._results.get(step.name, ("", ""))) for step in in_order])

    @abstractmethod
    def show(self, run: Run, steps: Sequence[StepProgress]) -> None:
        """Show the current state."""


def screen_for(output: str) -> Screen:
    """Return where progress is shown: on standard error when a program reads standard output."""
    if is_document(output):
        return LineScreen(sys.stderr)
    return TableScreen() if sys.stdout.isatty() else LineScreen(sys.stdout)


class LineScreen(Screen):
    """Prints a line for each finished step, and one when the run's state changes."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__()
        self._stream = stream
        self._seen: set[tuple[str, int]] = set()
        self._state = ""

    def show(self, run: Run, steps: Sequence[StepProgress]) -> None:
        """Print what is new."""
        if run.state != self._state and not run.is_finished:
            self._state = run.state
            self._print(f"{run.run_id} is {run.state}")
        for progress in steps:
            if progress.step.state in FINAL_TASK_STATES and progress.step.name not in self._seen:
                self._seen.add(progress.step.name)
                state = progress.step.state or ""
                self._print(f"{state:<16}{progress.name}  {progress.duration}  {progress.result}".rstrip())

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class TableScreen(Screen):
    """A table in a terminal, redrawn when something changes."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__()
        self._live = Live(console=Console(), refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last table on the screen."""
        self._live.stop()

    def show(self, run: Run, steps: Sequence[StepProgress]) -> None:
        """Draw the table. It holds alert text, so every cell is plain text, not markup."""
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(f"{run.run_id}: {run.state}"), title_justify="left", box=None, pad_edge=False)
        for column in ("step", "state", "took"):
            table.add_column(column, overflow="ellipsis", no_wrap=True)
        table.add_column("", overflow="ellipsis", no_wrap=True, ratio=1)
        for progress in steps:
            state = progress.step.state or "waiting"
            style = progress.style or _STATE_STYLES.get(state, "")
            table.add_row(
                Text(progress.name),
                Text(state, style=_STATE_STYLES.get(state, "")),
                progress.duration,
                Text(progress.result, style=style),
            )
        self._live.update(table)


def describe_step(airflow: Airflow, run: Run, step: Step) -> tuple[str, str]:
    """Return the result of a finished step as text and rich style; both empty if it left nothing readable."""
    if step.state == "failed":
        problem = read_problem(airflow, run, step)
        text = f"{problem.what} {problem.fix or ''}" if problem is not None else "failed; its log has the reason"
        return shorten(one_line(text), LONGEST_RESULT), "bold red"
    model = _RETURNED.get(step.task_id)
    if model is None or step.state != "success":
        return "", ""
    value = airflow.value(run.dag_id, run.run_id, step.task_id, map_index=step.map_index)
    try:
        text, style = _described(TypeAdapter(model).validate_python(value)) if value is not None else ("", "")
    except ValidationError:
        return "", ""
    return shorten(one_line(text), LONGEST_RESULT), style


_RETURNED: Mapping[str, type] = {
    TaskId.PARSE_INCIDENT: Incident,
    TaskId.SETUP_SLACK: SlackWorkspace,
    TaskId.RESOLVE_USERS: UserResolution,
    TaskId.CREATE_WAR_ROOM: WarRoom,
    TaskId.PLAN_INVESTIGATION: list,
    TaskId.INVESTIGATE: Finding,
    TaskId.POST_UPDATES: ThreadUpdates,
    TaskId.FINAL_SUMMARY: IncidentSummary,
}
"""What each task returns."""


def _described(value: object) -> tuple[str, str]:
    """Return what a task returned as text, with a rich style."""
    text, style = "", ""
    match value:
        case Incident():
            text = f"{value.severity}: {value.title}"
        case SlackWorkspace(mode=Mode.DRY_RUN):
            text, style = f"dry-run: {value.reason or ''}", "yellow"
        case SlackWorkspace(scopes_missing=scopes):
            lacking = counted(len(scopes), "scope")
            text = f"{value.team}{f', {lacking} missing' if scopes else ''}"
        case UserResolution():
            text = f"{len(value.resolved)} of {len(value.resolutions)} found"
        case WarRoom(not_invited=others):
            text = f"#{value.channel_name}: {len(value.invited)} invited{f', {len(others)} not' if others else ''}"
        case list():
            text = counted(len(value), "probe")
        case Finding():
            text, style = f"{value.verdict}: {value.summary}", _VERDICT_STYLES.get(value.verdict, "")
        case ThreadUpdates():
            text = counted(len(value.messages) or len(value.would_post), "message")
        case IncidentSummary():
            text = str(value.outcome)
    return text, style
