"""The demo: start the environment and Airflow, post the alert, and follow the run."""

from __future__ import annotations

import statistics
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_incident_provider.messages.mrkdwn import duration
from airflow_incident_provider.models import IncidentSummary, RunOutcome, Verdict
from incident_sandbox.demo.alert import alert
from incident_sandbox.demo.environment import DemoEnvironment, demo_environment
from incident_sandbox.demo.local_airflow import LocalAirflow
from incident_sandbox.demo.processes import LocalProcessError

DAG_ID = "incident_response"
RUN_TIMEOUT_S = 120
POLL_S = 0.1

_DONE = frozenset({"success", "failed", "skipped", "upstream_failed"})


@dataclass(frozen=True)
class RunResult:
    """One incident's result: seconds from the REST call to the brief and to the summary in the room."""

    run_id: str
    summary: IncidentSummary
    to_brief_s: float | None
    to_summary_s: float | None

    @property
    def succeeded(self) -> bool:
        """Whether brief and summary are in the room, and no step failed."""
        complete = self.summary.outcome in (RunOutcome.COMPLETE, RunOutcome.DEGRADED)
        return complete and self.to_brief_s is not None and self.to_summary_s is not None


class Demo:
    """The demo, with all its files in one folder.

    :param home: the folder; a second run reuses it.
    :param dags_folder: the folder with ``incident_response.py``.
    """

    def __init__(
        self, *, home: Path, dags_folder: Path, airflow_port: int | None = None, sandbox_port: int = 0
    ) -> None:
        self._home = home.resolve()
        self._dags_folder = dags_folder.resolve()
        self._airflow_port = airflow_port
        self._sandbox_port = sandbox_port

    def run(self, *, runs: int, stay: bool) -> bool:
        """Run incidents one after another and return whether all succeeded.

        :param runs: the number of incidents.
        :param stay: keep everything running afterwards, until Ctrl-C.
        """
        if not (self._dags_folder / f"{DAG_ID}.py").is_file():
            raise LocalProcessError(
                f"{self._dags_folder} has no {DAG_ID}.py.",
                fix="Run this in a clone, or pass the folder with --dags.",
            )
        self._home.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with ExitStack() as stack:
            environment = stack.enter_context(
                demo_environment(self._home, sandbox_port=self._sandbox_port, progress=_print)
            )
            airflow = stack.enter_context(
                LocalAirflow(
                    self._home / "airflow",
                    self._dags_folder,
                    connections=environment.connections,
                    environment=environment.environment,
                    port=self._airflow_port,
                    progress=_print,
                )
            )
            airflow.wait_for_dag(DAG_ID)
            airflow.warm_up()
            environment.sandbox.connect_app(airflow.url)
            results = [self._run_incident(airflow, environment) for _ in range(runs)]
            self._print_results(airflow, environment, results, time.monotonic() - began)
            if stay:
                _print("Everything keeps running until Ctrl-C.")
                threading.Event().wait()
            return all(result.succeeded for result in results)

    def _run_incident(self, airflow: LocalAirflow, environment: DemoEnvironment) -> RunResult:
        """Post one alert to Airflow's REST API and follow its run."""
        environment.play()
        payload = alert()
        run_id = f"dd.{payload['alert']['id']}.{payload['alert']['cycle_key']}"
        _print(f"Posting the Datadog alert to {airflow.url}/api/v2/dags/{DAG_ID}/dagRuns")
        posted_at = time.time()
        airflow.api.trigger(DAG_ID, {"datadog": payload}, run_id=run_id)
        self._watch(airflow, run_id)
        summary = IncidentSummary.model_validate(airflow.api.xcom(DAG_ID, run_id, "final_summary"))
        room = airflow.api.xcom(DAG_ID, run_id, "create_war_room")
        return RunResult(
            run_id=run_id,
            summary=summary,
            to_brief_s=_after(posted_at, room.get("brief_ts")),
            to_summary_s=_after(posted_at, summary.posted_ts),
        )

    def _watch(self, airflow: LocalAirflow, run_id: str) -> None:
        """Print each step as it ends, until the run does."""
        seen: set[tuple[str, int]] = set()
        deadline = time.monotonic() + RUN_TIMEOUT_S
        while time.monotonic() < deadline:
            run = airflow.api.run(DAG_ID, run_id)
            for task in sorted(airflow.api.task_instances(DAG_ID, run_id), key=lambda task: task["end_date"] or ""):
                name = (task["task_id"], task["map_index"])
                if task["state"] in _DONE and name not in seen:
                    seen.add(name)
                    _print(f"  {_step(task)}")
            if run["state"] in ("success", "failed"):
                return
            time.sleep(POLL_S)
        raise LocalProcessError(f"The run {run_id} did not end within {RUN_TIMEOUT_S} s.", fix=f"See {self._home}.")

    def _print_results(
        self, airflow: LocalAirflow, environment: DemoEnvironment, results: list[RunResult], total_s: float
    ) -> None:
        last = results[-1].summary
        findings = ", ".join(
            f"{last.findings[verdict]} {verdict}" for verdict in Verdict if verdict in last.findings
        )
        _print("")
        _print(f"The room     {environment.sandbox.url}  (#{last.channel_name})")
        user, password = airflow.credentials
        _print(f"Airflow      {airflow.url}  (user {user}, password {password})")
        _print(f"Outcome      {last.outcome}: {last.here} of {last.invited} people here; {findings}")
        for problem in last.problems:
            _print(f"             {problem.what}: {problem.error}")
        _print(
            "Timeline     "
            + " · ".join(f"{entry.at:%H:%M:%S.%f}"[:-5] + f" {entry.what}" for entry in last.timeline)
        )
        _print(f"REST call to brief    {_spread([result.to_brief_s for result in results])}")
        _print(f"REST call to summary  {_spread([result.to_summary_s for result in results])}")
        _print(f"Total time: {duration(round(total_s * 1000))}")


def _step(task: dict[str, Any]) -> str:
    label = task["rendered_map_index"] or ""
    took = f"{task['duration']:.1f} s" if task["duration"] is not None else ""
    return f"{task['state']:<16}{task['task_id']:<28}{label:<60}{took}".rstrip()


def _after(posted_at: float, ts: str | None) -> float | None:
    """Return the seconds from the call until Slack's timestamp of a message."""
    return float(ts) - posted_at if ts else None


def _spread(seconds: list[float | None]) -> str:
    """Format the median, with the extremes if there are several values."""
    known = [value for value in seconds if value is not None]
    if not known:
        return "never"
    median = f"{statistics.median(known):.1f} s"
    return median if len(known) == 1 else f"median {median} of {len(known)}, {min(known):.1f} to {max(known):.1f} s"


def _print(line: str) -> None:
    print(line, flush=True)
