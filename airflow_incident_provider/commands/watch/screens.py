"""Where progress is shown: a table that changes in a terminal, a line for each ended step elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Protocol, Self

from airflow_incident_provider.commands.access.airflow import Run, Step
from airflow_incident_provider.commands.watch.telling import ENDED
from airflow_incident_provider.messages.mrkdwn import between, duration
from airflow_incident_provider.text import one_line

_STYLES = {"success": "green", "failed": "bold red", "upstream_failed": "red", "skipped": "dim", "running": "cyan"}


@dataclass(frozen=True)
class Progress:
    """A step with what it came to, as far as it has ended."""

    step: Step
    told: str

    @property
    def name(self) -> str:
        """The task, and which of its instances."""
        return one_line(f"{self.step.task_id} {self.step.label or ''}")

    @property
    def took(self) -> str:
        """How long it took, once it has ended."""
        if self.step.started_at is None or self.step.ended_at is None:
            return ""
        return duration(max(0, between(self.step.started_at, self.step.ended_at)))


class Screen(Protocol):
    """Shows how far a run has come."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, leaving on the screen what is there."""

    def show(self, run: Run, steps: Sequence[Progress]) -> None:
        """Show the state of now."""


def screen_for(output: str) -> Screen:
    """Return where progress goes: not to standard output when a program reads that."""
    if output in ("json", "yaml"):
        return LinesScreen(sys.stderr)
    return LiveScreen() if sys.stdout.isatty() else LinesScreen(sys.stdout)


class LinesScreen(AbstractContextManager["LinesScreen"]):
    """A line for each step when it has ended, and one when the run's state changes."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._seen: set[tuple[str, int]] = set()
        self._state = ""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to do."""

    def show(self, run: Run, steps: Sequence[Progress]) -> None:
        """Print what is new."""
        if run.state != self._state and not run.is_over:
            self._state = run.state
            self._print(f"{run.run_id} is {run.state}")
        for progress in steps:
            if progress.step.state in ENDED and progress.step.name not in self._seen:
                self._seen.add(progress.step.name)
                self._print(
                    f"{progress.step.state or '':<16}{progress.name}  {progress.took}  {progress.told}".rstrip()
                )

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class LiveScreen(AbstractContextManager["LiveScreen"]):
    """A table that is drawn again when something has changed."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(), refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last table."""
        self._live.stop()

    def show(self, run: Run, steps: Sequence[Progress]) -> None:
        """Draw the table."""
        from rich.table import Table
        from rich.text import Text

        # Text, not markup: titles and findings hold what an alert brought.
        table = Table(title=Text(f"{run.run_id}: {run.state}"), title_justify="left", box=None, pad_edge=False)
        for column in ("step", "state", "took", ""):
            table.add_column(column, overflow="fold")
        for progress in steps:
            state = progress.step.state or "waiting"
            table.add_row(
                Text(progress.name), Text(state, style=_STYLES.get(state, "")), progress.took, Text(progress.told)
            )
        self._live.update(table)
